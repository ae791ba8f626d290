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
	// announcerLanes is how many events are written at a time, and laneLength how many wait for that in each lane. Those of a
	// session are in one lane, so that they are written in order.
	announcerLanes = 8
	laneLength     = 128

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

	seed  maphash.Seed
	lanes [announcerLanes]chan *eventsv1.Event

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

func newAnnouncer(live creator, c clock.Clock, timeout time.Duration, count func(result string), logger logr.Logger, passes cache.Cache) *announcer {
	a := &announcer{
		live: live, clock: c, timeout: timeout, instance: reportingInstance(), count: count, logger: logger, passes: passes,
		seed: maphash.MakeSeed(), alike: lru.NewLRUExpireCacheWithClock(alikeKnown, c),
	}
	for i := range a.lanes {
		a.lanes[i] = make(chan *eventsv1.Event, laneLength)
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
	if a.tooOften(likeness{s.UID, t.reason}) {
		a.count(resultSkipped)
		return
	}
	select {
	case a.lane(s.UID) <- a.event(s, t):
	default:
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

func (a *announcer) lane(uid types.UID) chan *eventsv1.Event {
	return a.lanes[maphash.String(a.seed, string(uid))%announcerLanes]
}

// event is the event of a transition. Its name is random, so that one that is there already is the same one.
func (a *announcer) event(s *api.SecretServerSession, t transition) *eventsv1.Event {
	name := util.GenerateEventName(s.Name, rand.Int64()) //nolint:gosec // a name, not a secret
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: s.Namespace, Name: name},
		EventTime:           metav1.NewMicroTime(a.clock.Now()),
		ReportingController: api.ManagedBy,
		ReportingInstance:   a.instance,
		Type:                t.kind,
		Reason:              t.reason,
		Action:              t.action,
		Note:                clip(t.note),
		Regarding: corev1.ObjectReference{
			APIVersion: api.SchemeGroupVersion.String(), Kind: api.Kind, Namespace: s.Namespace, Name: s.Name,
			UID: s.UID, ResourceVersion: s.ResourceVersion,
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
		if a.pause(writing, farewell) {
			stop()
		}
	})
	var lanes sync.WaitGroup
	for _, lane := range a.lanes {
		lanes.Go(func() {
			a.serve(ctx, writing, lane)
			a.drain(writing, lane)
		})
	}
	lanes.Wait()
	return nil
}

// serve writes what comes until the context ends.
func (a *announcer) serve(ctx, writing context.Context, lane <-chan *eventsv1.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-lane:
			a.write(writing, e)
		}
	}
}

// drain writes what waits.
func (a *announcer) drain(writing context.Context, lane <-chan *eventsv1.Event) {
	for {
		select {
		case e := <-lane:
			a.write(writing, e)
		default:
			return
		}
	}
}

// write writes one event, and tries again what the API server did not get to decide.
func (a *announcer) write(ctx context.Context, e *eventsv1.Event) {
	pauses := wait.Backoff{Duration: announcerRetry, Factor: 2, Jitter: 0.25, Steps: announcerTries - 1}
	for {
		err := a.create(ctx, e)
		if err == nil || apierrors.IsAlreadyExists(err) { // the answer to an earlier attempt was lost
			a.count(resultSucceeded)
			return
		}
		if !undecided(err) || pauses.Steps == 0 || !a.pause(ctx, pauses.Step()) {
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

// pause waits, and reports whether the time went by before the context ended.
func (a *announcer) pause(ctx context.Context, d time.Duration) bool {
	timer := a.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
