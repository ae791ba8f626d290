package controllers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// refusedRetry is the default of --rejected-credentials-retry.
const refusedRetry = 65 * time.Minute

// process is one run of the operator: all that a crash wipes out. Around the real reconciler it has a model of the
// manager: a cache, the watches' handlers, and the queue.
type process struct {
	trial      *trial
	name       string
	reconciler *Reconciler
	cache      *memoryCache
	clock      *clocktesting.FakeClock
	skew       time.Duration   // of its machine's clock
	ctx        context.Context //nolint:containedctx // its end is the process's end
	cancel     context.CancelFunc

	unsure  bool                          // that it leads, and it knows that
	deposed map[types.NamespacedName]bool // not nil once there is a successor: sessions that had their last pass

	flights []*flight
	queue   map[types.NamespacedName]time.Time // when to look at a session, in true time
	retries map[types.NamespacedName]int
	stood   map[types.NamespacedName]bool // down, in the last pass: that one decided nothing
	heard   map[objectKind]predicate.Predicate
}

// newProcess starts an operator.
func (tr *trial) newProcess(name string, skew time.Duration) *process {
	p := &process{
		trial: tr, name: name, skew: skew,
		cache:   newMemoryCache(tr.kubernetes),
		clock:   clocktesting.NewFakeClock(tr.wallTime().Add(skew)),
		queue:   map[types.NamespacedName]time.Time{},
		retries: map[types.NamespacedName]int{},
		stood:   map[types.NamespacedName]bool{},
	}
	p.ctx, p.cancel = context.WithCancel(tr.ctx)
	soon := func(name types.NamespacedName) { p.enqueue(name, 0) }
	p.reconciler = &Reconciler{
		options: Options{
			RejectedCredentialsRetry: refusedRetry,
			EndpointConcurrency:      tr.concurrency,
			Leading:                  tr.mutant.leading(p.leads),
		},
		clock:        storeClock{p.clock, p},
		dial:         p.dial,
		events:       eventLog{tr},
		live:         memoryClient{kubernetes: tr.kubernetes, send: tr.mutant.wrap(tr.kubernetes, p.send)},
		cache:        p.cache,
		look:         soon,
		accounts:     newAccounts(refusedRetry),
		places:       newGate(placesOf(Options{EndpointConcurrency: tr.concurrency, MaxConcurrentReconciles: 2 * tr.concurrency}), soon),
		outages:      newOutages(p.clock, logr.Discard(), p),
		revocations:  newRevocations(),
		bundles:      newBundles(),
		expectations: newExpectations(p.clock),
		codes:        newCodes(),
		identities:   newIdentities(),
		memory:       newMemory(),
		verified:     newVerifications(),
		metrics:      tr.metrics,
		liveness:     newLiveness(SystemClocks(p.clock), func() int { return 0 }, nil),
		waits:        flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(waitsTold, waitsTold, p.clock),
	}
	p.heard = map[objectKind]predicate.Predicate{
		sessionObject: p.reconciler.sessionChanges(),
		secretObject:  p.reconciler.secretChanges(),
	}
	for name := range p.cache.sessions {
		p.enqueue(name, 0)
	}
	tr.processes = append(tr.processes, p)
	return p
}

// wakeLater and wakeAll are what the outages ask of the queue.
func (p *process) wakeLater(name types.NamespacedName, after time.Duration) { p.enqueue(name, after) }

func (p *process) wakeAll(names []types.NamespacedName) {
	for _, name := range names {
		p.enqueue(name, 0)
	}
}

func newTestMetrics() *metrics {
	m, err := newMetrics(prometheus.NewRegistry(), func() int { return 0 })
	if err != nil {
		panic(err)
	}
	return m
}

// enqueue brings a session back after a while; an earlier time stands.
func (p *process) enqueue(name types.NamespacedName, after time.Duration) {
	at := p.trial.truth.Add(after)
	if old, ok := p.queue[name]; !ok || at.Before(old) {
		p.queue[name] = at
	}
}

// hear is what the watches' handlers do with an event.
func (p *process) hear(kind objectKind, what any) {
	var objects []client.Object
	var passes bool
	switch e := what.(type) {
	case event.CreateEvent:
		objects, passes = []client.Object{e.Object}, p.heard[kind].Create(e)
	case event.UpdateEvent:
		objects, passes = []client.Object{e.ObjectOld, e.ObjectNew}, p.heard[kind].Update(e)
	case event.DeleteEvent:
		objects, passes = []client.Object{e.Object}, p.heard[kind].Delete(e)
	}
	if !passes {
		return
	}
	for _, o := range objects {
		if kind == sessionObject {
			p.enqueue(nameOf(o), 0)
			continue
		}
		for _, request := range p.reconciler.sessionsOfSecret(p.ctx, o) {
			p.enqueue(request.NamespacedName, 0)
		}
	}
}

// catchUp delivers all that happened.
func (p *process) catchUp() {
	for _, kind := range []objectKind{sessionObject, secretObject} {
		for p.cache.deliver(kind, p.hear) {
		}
	}
}

// flightOf is the pass of a session that is under way; there is one at most.
func (p *process) flightOf(name types.NamespacedName) *flight {
	if i := slices.IndexFunc(p.flights, func(f *flight) bool { return f.session == name }); i >= 0 {
		return p.flights[i]
	}
	return nil
}

// mayBegin reports whether a pass of a session can begin. One who lost the lease, and has not noticed yet, begins one
// more at most.
func (p *process) mayBegin(name types.NamespacedName) bool {
	return p.flightOf(name) == nil && !p.deposed[name]
}

// leaseDuration is how long a leader is not heard of before another takes over, as controller-runtime has it.
const leaseDuration = 15 * time.Second

// depose makes a process one that lost the lease and has not noticed yet.
func (tr *trial) depose(p *process) {
	p.deposed = map[types.NamespacedName]bool{}
	tr.doubt(p)
	for _, uid := range tr.atStake(p) {
		tr.allow(uid, twoLeaders, "what "+p.name+" is about")
	}
}

// begin takes a session off the queue and starts its pass.
func (p *process) begin(name types.NamespacedName) *flight {
	delete(p.queue, name)
	if p.deposed != nil {
		p.deposed[name] = true
	}
	return p.fly(name)
}

// land ends a pass and puts its session back as controller-runtime would.
func (p *process) land(f *flight) {
	p.flights = slices.DeleteFunc(slices.Clone(p.flights), func(other *flight) bool { return other == f })
	if f.doubts {
		p.unsure = p.deposed != nil // the lease is renewed
	}
	p.stood[f.session] = f.doubtful
	const first, longest = 100 * time.Millisecond, 30 * time.Second
	switch {
	case f.err != nil:
		p.enqueue(f.session, min(first<<min(p.retries[f.session], 16), longest))
		p.retries[f.session]++
		return
	case f.result.RequeueAfter > 0:
		p.enqueue(f.session, f.result.RequeueAfter)
	}
	delete(p.retries, f.session)
}

// drop ends a pass that was cut short.
func (p *process) drop(f *flight) {
	f.err = errCutShort
	p.land(f)
}

var errCutShort = errors.New("the pass was cut short")

// send is the way of a request to the API server.
func (p *process) send(ctx context.Context, request apiRequest, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	kind := apiEffect
	if request.verb == patchVerb || request.verb == applyVerb {
		kind = contendedEffect
	}
	v := p.trial.running.pause(effect{kind: kind, request: request})
	var err error
	if v.acts {
		err = do()
		p.trial.written(p.trial.running, request, err)
	}
	if v.err != nil {
		p.trial.spoiled(p.trial.running, request, v)
		return v.err
	}
	if err == nil {
		p.trial.endStored(request)
	}
	return err
}

// storeClock is a process's clock. Waiting to store is an effect too: much can happen meanwhile.
type storeClock struct {
	*clocktesting.FakeClock

	process *process
}

var _ clock.Clock = storeClock{}

func (c storeClock) After(d time.Duration) <-chan time.Time {
	c.process.trial.running.pause(effect{kind: waitEffect, wait: d})
	passed := make(chan time.Time, 1)
	passed <- c.Now()
	return passed
}

// eventLog takes events and looks for secrets in them.
type eventLog struct{ trial *trial }

func (l eventLog) announce(_ *api.SecretServerSession, t transition) {
	l.trial.mustNotTell("an event", t.reason+t.action+t.note, passwordMark, refreshMark, accessMark)
}
