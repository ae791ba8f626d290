package controllers

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	lru "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/record/util"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

const (
	// announcerLanes is how many events are written at a time. Those of a session are in one lane, so that warnings are written in order, and
	// so is what is routine.
	announcerLanes = 8

	// longestYield is for how long an event that warns of nothing lets sessions go first that wait for their turn: where thousands
	// begin at once, their events would take the API server's time from their logins. What happened keeps its own time.
	longestYield = 3 * time.Minute
	// yieldLook is between two looks whether they still wait.
	yieldLook = time.Second

	// announcerTries is how often an event is sent before it is given up, with pauses that double: two minutes in all, as
	// long as client-go's recorder tries.
	announcerTries = 9
	announcerRetry = 500 * time.Millisecond

	// mostAlike is how often a session tells the same within alikeWhile: somebody who quarrels with the operator over a target
	// is no reason to fill the cluster with events. What was told is known of so many sessions, the last ones.
	mostAlike  = 10
	alikeWhile = time.Minute
	alikeKnown = 1024

	// farewell is how long a process that stops goes on to write what waits.
	farewell = 3 * time.Second
)

// creator is what an announcer needs of a client.
type creator interface {
	Create(ctx context.Context, o client.Object, options ...client.CreateOption) error
}

// announcer writes events in the background, and keeps nothing of one that is written. That is why it stands in for client-go's
// recorder, which holds each event for minutes to recognize those that come again: ours tell of transitions alone.
type announcer struct {
	live     creator
	clock    clock.Clock
	timeout  time.Duration // of one attempt
	instance string
	count    func(result string)
	logger   logr.Logger
	passes   cache.Cache
	crowded  func() bool // more sessions wait for their turn than can be worked on

	seed  maphash.Seed
	lanes [announcerLanes]*lane

	mu    sync.Mutex
	alike *lru.LRUExpireCache // counts of what was told, by likeness
}

// likeness is what events have in common that tell the same.
type likeness struct {
	session types.UID
	reason  string
}

// told is how often the same was told since a moment.
type told struct {
	times int
	since time.Time
}

func newAnnouncer(
	live creator, c clock.Clock, timeout time.Duration, count func(result string), crowded func() bool, logger logr.Logger, passes cache.Cache,
) *announcer {
	a := &announcer{
		live: live, clock: c, timeout: timeout, instance: reportingInstance(), count: count, crowded: crowded, logger: logger, passes: passes,
		seed: maphash.MakeSeed(), alike: lru.NewLRUExpireCacheWithClock(alikeKnown, c),
	}
	for i := range a.lanes {
		a.lanes[i] = newLane()
	}
	return a
}

// reportingInstance names this process in its events, as client-go does.
func reportingInstance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return api.ManagedBy + "-" + host
}

// announce has an event written. It never waits: one for which there is no room, or that tells the same once too often, is
// counted and left out.
func (a *announcer) announce(s *api.SecretServerSession, t transition) {
	t.note = clip(t.note)
	n := announcement{s.Namespace, s.Name, s.UID, s.ResourceVersion, a.clock.Now(), t}
	if a.tooOften(likeness{s.UID, t.reason}) || !a.lane(s.UID).put(n) {
		a.count(resultSkipped)
	}
}

// tooOften counts that something is told, and reports whether it was told as often as it may.
func (a *announcer) tooOften(what likeness) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	count, ok := told{since: now}, false
	if known, found := a.alike.Get(what); found {
		count, ok = known.(told)
	}
	if !ok || now.Sub(count.since) >= alikeWhile {
		count = told{since: now}
	}
	count.times++
	a.alike.Add(what, count, alikeWhile)
	return count.times > mostAlike
}

func (a *announcer) lane(uid types.UID) *lane {
	return a.lanes[maphash.String(a.seed, string(uid))%announcerLanes]
}

// event is the event of a transition. Its name is random, so that one that is there already is the same one.
func (a *announcer) event(n announcement) *eventsv1.Event {
	name := util.GenerateEventName(n.name, rand.Int64()) //nolint:gosec // a name, not a secret
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: n.namespace, Name: name},
		EventTime:           metav1.NewMicroTime(n.at),
		ReportingController: api.ManagedBy,
		ReportingInstance:   a.instance,
		Type:                n.kind,
		Reason:              n.reason,
		Action:              n.action,
		Note:                n.note,
		Regarding: corev1.ObjectReference{
			APIVersion: api.SchemeGroupVersion.String(), Kind: api.Kind, Namespace: n.namespace, Name: n.name,
			UID: n.session, ResourceVersion: n.version,
		},
	}
}

// GetCache makes the manager stop the announcer with its caches, and so when the last pass is over: what that one tells is
// written too.
func (a *announcer) GetCache() cache.Cache { return a.passes }

// Start writes events until the context ends, and then for a short while what still waits.
func (a *announcer) Start(ctx context.Context) error {
	writing, stop := context.WithCancel(log.IntoContext(context.WithoutCancel(ctx), a.logger))
	defer stop()
	context.AfterFunc(ctx, func() {
		if a.pause(writing, farewell, nil) {
			stop()
		}
	})
	var lanes sync.WaitGroup
	for _, l := range a.lanes {
		lanes.Go(func() {
			a.serve(ctx, writing, l)
			a.drain(writing, l)
		})
	}
	lanes.Wait()
	return nil
}

// serve writes what comes until the context ends.
func (a *announcer) serve(ctx, writing context.Context, l *lane) {
	for ctx.Err() == nil {
		switch n, found, yielding := l.take(a.yields); {
		case found:
			a.write(writing, n)
		case yielding:
			a.pause(ctx, yieldLook, l.arrived)
		default:
			select {
			case <-ctx.Done():
			case <-l.arrived:
			}
		}
	}
}

// yields reports whether one that warns of nothing lets sessions go first.
func (a *announcer) yields(announced time.Time) bool {
	return a.clock.Since(announced) < longestYield && a.crowded()
}

// drain writes what waits, for as long as there is time.
func (a *announcer) drain(writing context.Context, l *lane) {
	for left := 0; ; {
		n, found, _ := l.take(func(time.Time) bool { return false })
		switch {
		case found && writing.Err() == nil:
			a.write(writing, n)
		case found:
			a.count(resultFailed)
			left++
		default:
			if left > 0 {
				a.logger.Info("events are left out, because the process stops", "events", left)
			}
			return
		}
	}
}

// write writes one event, and tries again what the API server did not get to decide.
func (a *announcer) write(ctx context.Context, n announcement) {
	e := a.event(n)
	pauses := wait.Backoff{Duration: announcerRetry, Factor: 2, Jitter: 0.25, Steps: announcerTries - 1}
	for {
		err := a.create(ctx, e)
		if err == nil || apierrors.IsAlreadyExists(err) { // the answer to an earlier attempt was lost
			a.count(resultSucceeded)
			return
		}
		if !undecided(err) || pauses.Steps == 0 || !a.pause(ctx, pauses.Step(), nil) {
			a.count(resultFailed)
			a.logger.Info("an event could not be written", "namespace", e.Regarding.Namespace, "name", e.Regarding.Name,
				"event", e.Reason, "error", err.Error())
			return
		}
	}
}

func (a *announcer) create(ctx context.Context, e *eventsv1.Event) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return a.live.Create(ctx, e) //nolint:wrapcheck // it is classified, and then logged
}

// pause waits, and reports whether the time went by before the context ended, or something came.
func (a *announcer) pause(ctx context.Context, d time.Duration, sooner <-chan struct{}) bool {
	timer := a.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-sooner:
	case <-timer.C():
		return true
	}
	return false
}
