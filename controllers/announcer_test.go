package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// eventServer is an API server that takes events.
type eventServer struct {
	mu      sync.Mutex
	answers []error // to the next requests; after them it takes all
	hangs   bool    // it answers nothing
	asked   int
	notes   map[types.UID][]string // of the events that it took, by session
}

func (s *eventServer) Create(ctx context.Context, o client.Object, _ ...client.CreateOption) error {
	if s.hang() {
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) > 0 {
		answer := s.answers[0]
		s.answers = s.answers[1:]
		if answer != nil {
			return answer
		}
	}
	e := o.(*eventsv1.Event) //nolint:forcetypeassert // nothing else is written
	s.notes[e.Regarding.UID] = append(s.notes[e.Regarding.UID], e.Note)
	return nil
}

func (s *eventServer) hang() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.hangs
}

func (s *eventServer) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = false
}

// written are the notes of the session billing, in order.
func (s *eventServer) written() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.notes["uid of billing"])
}

func (s *eventServer) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := 0
	for _, notes := range s.notes {
		taken += len(notes)
	}
	return taken
}

// newsroom is an announcer with what surrounds it, within a bubble of synctest.
type newsroom struct {
	*announcer

	server *eventServer
	stop   func()      // waits for it to end
	crowd  atomic.Bool // of sessions that wait for a token

	mu     sync.Mutex
	counts map[string]int
	log    strings.Builder
}

func openNewsroom(t *testing.T, server *eventServer) *newsroom {
	t.Helper()
	server.notes = map[types.UID][]string{}
	n := &newsroom{server: server, counts: map[string]int{}}
	count := func(result string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.counts[result]++
	}
	logger := funcr.New(func(prefix, args string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		fmt.Fprintln(&n.log, prefix, args)
	}, funcr.Options{})
	n.announcer = newAnnouncer(server, clock.RealClock{}, requestTimeout, count, n.crowd.Load, logger, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Start(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the announcer ended with %v", err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

func (n *newsroom) expect(t *testing.T, succeeded, failed, skipped int) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.counts[resultSucceeded] != succeeded || n.counts[resultFailed] != failed || n.counts[resultSkipped] != skipped {
		t.Errorf("counted %v, want %d %s, %d %s and %d %s", n.counts,
			succeeded, resultSucceeded, failed, resultFailed, skipped, resultSkipped)
	}
}

func (n *newsroom) lines() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(n.log.String(), "\n")
}

func newsOf(name string) *api.SecretServerSession {
	return &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{
		Namespace: "payments", Name: name, UID: types.UID("uid of " + name), ResourceVersion: "7",
	}}
}

func saying(note string) transition {
	return transition{corev1.EventTypeNormal, api.EventLoggedIn, "Login", note}
}

// warning is one of an event that somebody may have to act on.
func warning(note string) transition {
	return transition{corev1.EventTypeWarning, api.EventRefreshFailed, "Renew", note}
}

// news is as no other, so that a session may tell of it.
func news(i int) transition {
	t := saying(fmt.Sprintf("the news number %d", i))
	t.reason = fmt.Sprintf("Reason%d", i)
	return t
}

// busy are answers of an API server that may take the same event a little later.
var busy = map[string]error{
	"too many requests": apierrors.NewTooManyRequests("wait", 0),
	"an internal error": apierrors.NewInternalError(errors.New("etcd")),
	"no leader":         &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusServiceUnavailable}},
	"no connection":     errors.New("connection refused"),
}

func TestAnEventNamesTheSessionTheTransitionAndTheOperator(t *testing.T) {
	a := newAnnouncer(nil, clock.RealClock{}, requestTimeout, nil, nil, logr.Discard(), nil)
	told := func(what transition) announcement {
		a.announce(newsOf("billing"), what)
		n, found, _ := a.lane("uid of billing").take(func(time.Time) bool { return false })
		if !found {
			t.Fatal("nothing waits to be written")
		}
		return n
	}
	e := a.event(told(saying(strings.Repeat("long ", 1000))))
	want := corev1.ObjectReference{
		APIVersion: "secretserver.tokensync.dev/v1alpha1", Kind: "SecretServerSession", Namespace: "payments", Name: "billing",
		UID: "uid of billing", ResourceVersion: "7",
	}
	if e.Regarding != want {
		t.Errorf("regards %+v, want %+v", e.Regarding, want)
	}
	if e.Namespace != "payments" || !strings.HasPrefix(e.Name, "billing.") {
		t.Errorf("is called %s/%s", e.Namespace, e.Name)
	}
	if e.Type != corev1.EventTypeNormal || e.Reason != api.EventLoggedIn || e.Action != "Login" || len(e.Note) != longestNote {
		t.Errorf("tells %s %s %s, a note of %d bytes", e.Type, e.Reason, e.Action, len(e.Note))
	}
	if e.ReportingController != api.ManagedBy || !strings.HasPrefix(e.ReportingInstance, api.ManagedBy+"-") || e.EventTime.IsZero() {
		t.Errorf("is told by %q, %q at %v", e.ReportingController, e.ReportingInstance, e.EventTime)
	}
	if other := a.event(told(saying("the same"))); other.Name == e.Name {
		t.Errorf("two events are called %s", e.Name)
	}
}

func TestEventsOfASessionAreWrittenInOrderWhateverFailsInPassing(t *testing.T) {
	for name, trouble := range busy {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := openNewsroom(t, &eventServer{answers: []error{nil, trouble, trouble}})
				want := []string{"first", "second", "third"}
				for _, note := range want {
					n.announce(newsOf("billing"), saying(note))
				}
				<-time.After(time.Minute)
				if got := n.server.written(); !slices.Equal(got, want) {
					t.Errorf("written %q, want %q", got, want)
				}
				n.expect(t, 3, 0, 0)
				if n.lines() > 0 {
					t.Errorf("logged %s", n.log.String())
				}
			})
		})
	}
}

func TestAnEventThatIsRefusedIsLeftOutWithALineInTheLog(t *testing.T) {
	resource := schema.GroupResource{Group: eventsv1.GroupName, Resource: "events"}
	for name, refusal := range map[string]error{
		"no right":              apierrors.NewForbidden(resource, "", errors.New("RBAC")),
		"the namespace is gone": apierrors.NewNotFound(resource, ""),
		"a conflict":            apierrors.NewConflict(resource, "", errors.New("UID")),
		"invalid":               apierrors.NewInvalid(schema.GroupKind{Kind: "Event"}, "", nil),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := openNewsroom(t, &eventServer{answers: []error{refusal}})
				n.announce(newsOf("billing"), saying("first"))
				n.announce(newsOf("billing"), saying("second"))
				synctest.Wait()
				if got, want := n.server.written(), []string{"second"}; !slices.Equal(got, want) {
					t.Errorf("written %q, want %q", got, want)
				}
				n.expect(t, 1, 1, 0)
				if n.lines() != 1 {
					t.Errorf("%d lines in the log, want 1:\n%s", n.lines(), n.log.String())
				}
			})
		})
	}
}

func TestAnEventWhoseAnswerWasLostIsNotWrittenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{answers: []error{
			errors.New("connection reset"), apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, ""),
		}})
		n.announce(newsOf("billing"), saying("once"))
		<-time.After(time.Hour)
		n.expect(t, 1, 0, 0)
		if n.server.asked != 2 {
			t.Errorf("asked %d times, want 2", n.server.asked)
		}
	})
}

func TestAnEventIsGivenUpAfterTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{answers: slices.Repeat([]error{errors.New("connection refused")}, 100)})
		n.announce(newsOf("billing"), saying("lost"))
		<-time.After(100 * time.Second)
		n.expect(t, 0, 0, 0)
		<-time.After(100 * time.Second)
		n.expect(t, 0, 1, 0)
		if n.server.asked != announcerTries {
			t.Errorf("asked %d times, want %d", n.server.asked, announcerTries)
		}
	})
}

func TestAnnouncingNeverWaitsAndIsBoundedWhileTheAPIServerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{hangs: true})
		began := time.Now()
		n.announce(newsOf("billing"), saying("in flight"))
		synctest.Wait()
		for i := range mostRoutine + 5 {
			n.announce(newsOf("billing"), news(i)) // it waits, or is left out
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited for %v", waited)
		}
		n.expect(t, 0, 0, 5)
		n.server.wake()
		<-time.After(2 * requestTimeout)
		n.expect(t, 1+mostRoutine, 0, 5)
	})
}

func TestASessionTellsTheSameTenTimesAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{})
		for range 3 * mostAlike {
			n.announce(newsOf("billing"), saying("somebody quarrels over the target"))
		}
		n.announce(newsOf("billing"), news(0))
		n.announce(newsOf("payroll"), saying("somebody quarrels over the target"))
		synctest.Wait()
		n.expect(t, mostAlike+2, 0, 2*mostAlike)

		<-time.After(alikeWhile)
		n.announce(newsOf("billing"), saying("somebody quarrels over the target"))
		synctest.Wait()
		n.expect(t, mostAlike+3, 0, 2*mostAlike)
	})
}

func TestASessionWhoseEventHangsDoesNotHoldUpMostOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{hangs: true})
		n.announce(newsOf("billing"), saying("hangs"))
		synctest.Wait()
		n.server.wake()
		others := 0
		for i := range 100 {
			s := newsOf(fmt.Sprint("other-", i))
			if n.lane(s.UID) != n.lane("uid of billing") {
				n.announce(s, saying("told"))
				others++
			}
		}
		synctest.Wait()
		if n.server.taken() != others || others < 50 {
			t.Errorf("%d of %d were written", n.server.taken(), others)
		}
	})
}

func TestWhatWaitsIsWrittenWhenTheProcessStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{answers: []error{errors.New("connection refused")}})
		n.announce(newsOf("billing"), saying("is tried again"))
		synctest.Wait()
		for i := range 20 {
			n.announce(newsOf("billing"), news(i))
		}
		n.stop()
		n.expect(t, 21, 0, 0)
	})
}

func TestWhatIsRoutineYieldsWhileSessionsWaitForTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{})
		n.crowd.Store(true)
		n.announce(newsOf("billing"), saying("first"))
		n.announce(newsOf("billing"), saying("second"))
		<-time.After(longestYield / 2)
		n.expect(t, 0, 0, 0)
		n.crowd.Store(false)
		<-time.After(2 * yieldLook)
		if got, want := n.server.written(), []string{"first", "second"}; !slices.Equal(got, want) {
			t.Errorf("written %q once nobody waits, want %q", got, want)
		}
	})
}

func TestWhatIsRoutineDoesNotYieldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{})
		n.crowd.Store(true)
		n.announce(newsOf("billing"), saying("told"))
		<-time.After(longestYield + yieldLook)
		n.expect(t, 1, 0, 0)
	})
}

func TestAWarningDoesNotYieldNorWaitForThoseThatDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{})
		n.crowd.Store(true)
		n.announce(newsOf("billing"), saying("routine"))
		synctest.Wait()
		n.announce(newsOf("billing"), warning("act"))
		synctest.Wait()
		if got, want := n.server.written(), []string{"act"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

func TestALaneThatFillsUpDoesNotYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{})
		n.crowd.Store(true)
		for i := range mostRoutine {
			n.announce(newsOf("billing"), news(i))
			synctest.Wait()
		}
		n.expect(t, mostRoutine-fewRoutine, 0, 0)
	})
}

func TestWhatYieldsIsWrittenWhenTheProcessStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{})
		n.crowd.Store(true)
		n.announce(newsOf("billing"), saying("told"))
		synctest.Wait()
		n.stop()
		n.expect(t, 1, 0, 0)
	})
}

func TestAStopLeavesOutWhatItHasNoTimeForInOneLineOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{hangs: true})
		for i := range 20 {
			n.announce(newsOf("billing"), news(i))
		}
		synctest.Wait()
		n.stop()
		n.expect(t, 0, 20, 0)
		if want := 2; n.lines() != want { // that which was under way, and the others
			t.Errorf("%d lines in the log, want %d:\n%s", n.lines(), want, n.log.String())
		}
	})
}

func TestAStopIsNotHeldUpByAnAPIServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNewsroom(t, &eventServer{hangs: true})
		for i := range 20 {
			n.announce(newsOf(strconv.Itoa(i)), saying("lost"))
		}
		synctest.Wait()
		began := time.Now()
		n.stop()
		if took := time.Since(began); took != farewell {
			t.Errorf("the stop took %v, want %v", took, farewell)
		}
		n.expect(t, 0, 20, 0)
	})
}

// fleeting is an API server that remembers where the events were in memory.
type fleeting struct {
	mu   sync.Mutex
	seen []weak.Pointer[eventsv1.Event]
}

func (f *fleeting) Create(_ context.Context, o client.Object, _ ...client.CreateOption) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, weak.Make(o.(*eventsv1.Event))) //nolint:forcetypeassert // nothing else is written
	return nil
}

func TestNothingIsKeptOfAnEventThatIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &fleeting{}
		a := newAnnouncer(server, clock.RealClock{}, requestTimeout, func(string) {}, func() bool { return false }, logr.Discard(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = a.Start(ctx) }() //nolint:errcheck // it returns none
		const events = 500
		for i := range events {
			a.announce(newsOf(strconv.Itoa(i)), saying("told"))
		}
		synctest.Wait()
		runtime.GC()
		kept := 0
		for _, e := range server.seen {
			if e.Value() != nil {
				kept++
			}
		}
		if len(server.seen) != events || kept > 0 {
			t.Errorf("%d of %d events were written, and %d are kept", len(server.seen), events, kept)
		}
		runtime.KeepAlive(a)
	})
}
