package main

import (
	"context"
	"fmt"
	"time"
)

// partStart is measured wherever sessions are made for something else.
const partStart = "start"

// A beginning is what was measured of sessions that were applied at once.
type beginning struct {
	size, more           int           // sessions, and how many of them are new
	applied, first, last time.Duration // until all were applied, and until the first and the last of them were Ready
	untilReady, after    span          // after: until all their logins were told of
	operator             footprint     // then
}

// start applies sessions at once, until there are so many. It returns when all are Ready and their logins are told of.
func (x *scaling) start(ctx context.Context, size int, lifetime time.Duration) (b beginning, err error) {
	from := x.fleet.size
	b.size, b.more = size, size-from
	x.say("start: %d more sessions", b.more)
	if err := x.fleet.credentials(ctx, size); err != nil {
		return b, err
	}
	if err := x.vault.lifetimes(ctx, 0, lifetime); err != nil {
		return b, err
	}
	if err := pause(ctx, settling/2); err != nil {
		return b, err
	}
	before, err := x.now(ctx, x.subject)
	if err != nil {
		return b, err
	}
	begun := time.Now()
	if err := x.fleet.grow(ctx, size, x.percent); err != nil {
		return b, err
	}
	b.applied = time.Since(begun)
	first, last, err := x.observer.readiness(ctx, x.fleet, from, patienceFor(size))
	if err != nil {
		return b, err
	}
	b.first, b.last = first.Sub(begun), last.Sub(begun)
	ready, err := x.now(ctx, x.subject)
	if err != nil {
		return b, err
	}
	told, err := x.told(ctx, before, b.more)
	b.untilReady, b.after, b.operator = before.until(ready), ready.until(told), told.operator
	return b, err
}

// told waits until so many logins since a moment are told of, in an event each: these let sessions go first that wait for their turn.
func (x *scaling) told(ctx context.Context, since moment, logins int) (all moment, err error) {
	err = x.subject.await(ctx, patienceFor(logins), "done telling of logins", func(ctx context.Context) (bool, error) {
		var err error
		all, err = x.now(ctx, x.subject)
		return err == nil && since.until(all).requests.events() >= logins, err
	})
	return all, err
}

// paceNow measures the bare client's pace beside the fleet, as it is then: a machine can become a half slower while 10,000 sessions begin.
// There is no operator meanwhile, and another one after it. The observer looks on as it did for the operator.
func (x *scaling) paceNow(ctx context.Context) (pace, error) {
	if err := x.subject.Stop(); err != nil {
		return pace{}, err
	}
	b, p, err := x.beginBare(ctx, x.world, "bare-after", bareBeginners)
	if err != nil {
		return p, err
	}
	if err := b.close(ctx); err != nil {
		return p, err
	}
	if x.subject, err = x.startOperator(ctx, "operator"); err != nil {
		return p, err
	}
	return p, pause(ctx, settling) // it looks at each session
}

func (x *scaling) tellStart(b beginning, bare pace) {
	needs, more, got := bare.begins(b.more), float64(b.more), b.untilReady
	start := figure{What: fmt.Sprintf("%d more sessions: all Ready after", b.more), Value: b.last.Seconds() / needs.Seconds(), Unit: ratio}
	if b.size >= fullSize { // of a few, it is their API server's first seconds that count
		start = start.atMost(1.3)
	}
	requests := float64(got.requests.writes() + got.requests.reads())
	x.tell(partStart, b.size, start.
		timed().with("first after %.2f s, last after %.1f s, of which all were applied after %.1f s; bare client %.1f s: "+
		"it makes %.0f sessions a second, and then logs in %.0f a second (the logins alone: %.1f s)",
		b.first.Seconds(), b.last.Seconds(), b.applied.Seconds(), needs.Seconds(), bare.makes, bare.logins, more/bare.logins),
		figure{What: "Kubernetes requests per new session, its creation included, until all are Ready", Value: requests / more}.
			with("%s; CPU of the operator %.1f s, of kube-apiserver %.1f s, of etcd %.1f s; then %d more events in %.1f s", got.requests,
				got.operator.Seconds(), got.api.Seconds(), got.db.Seconds(), b.after.requests.events(), b.after.took.Seconds()),
		figure{What: "HTTPS requests per new session", Value: float64(got.logins+got.refreshes+got.others) / more}.with("%d logins", got.logins),
		figure{What: "memory, resident, once their logins are told of", Value: mib(float64(b.operator.rss)), Unit: "MiB"}.atMost(memoryBound(b.size, 0)).
			with("peak %.1f MiB", mib(float64(b.operator.peak))),
	)
}
