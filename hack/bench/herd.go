package main

import (
	"context"
	"time"
)

// The herd's sessions are due 48 to 64 s after they logged in: after all have, and long before a token ends. That is 62 a second, of which a
// slow machine is capable too; with tokens of 20 minutes it would be 8.
const herdLifetime, herdPercent = 160 * time.Second, 40

// gather measures sessions that are due together.
func (r *run) gather(ctx context.Context, w *world) error {
	x, err := r.open(ctx, w, herdPercent)
	if err != nil {
		return err
	}
	r.say("herd: %d sessions log in", r.herd)
	if err := w.vault.lifetimes(ctx, 0, herdLifetime); err != nil {
		return err
	}
	if err := x.fleet.begin(ctx, w, r.herd, herdPercent); err != nil {
		return err
	}
	if err := x.herdTogether(ctx); err != nil {
		return err
	}
	if err := x.herdOverdue(ctx); err != nil {
		return err
	}
	return x.close()
}

// herdTogether lets sessions that began together come due for the first time. The schedule spreads them.
func (x *scaling) herdTogether(ctx context.Context) error {
	size := x.fleet.size
	x.say("herd: %d sessions that began together come due", size)
	x.observer.forget()
	begun := time.Now()
	if err := x.observer.allRenewed(ctx, x.fleet, size, herdLifetime+patienceFor(size)); err != nil {
		return err
	}
	p50, p99, most := quantiles(x.observer.late())
	x.tell(partHerd, size,
		figure{What: "began together: lateness p99", Value: float64(p99) / float64(x.bare.alone), Unit: ratio}.timed().with(
			"p50 %.0f ms, p99 %.0f ms, max %.0f ms; lifetime %v, all renewed after %.0f s", ms(p50), ms(p99), ms(most),
			herdLifetime, time.Since(begun).Seconds()),
		figure{What: "began together: lateness p99 in seconds", Value: p99.Seconds(), Unit: "s"}.atMost(1).timed(),
	)
	return nil
}

// herdOverdue stops the operator until all sessions are due, and starts it again: there is a queue as long as the herd.
func (x *scaling) herdOverdue(ctx context.Context) error {
	size := x.fleet.size
	x.say("herd: %d sessions wait until all are due", size)
	if err := x.subject.Stop(); err != nil {
		return err
	}
	if err := pause(ctx, herdLifetime*herdPercent/100); err != nil {
		return err
	}
	x.observer.forget()
	before, err := x.now(ctx, nil)
	if err != nil {
		return err
	}
	if x.subject, err = x.startOperator(ctx, "operator"); err != nil {
		return err
	}
	begun := time.Now()
	if err := x.observer.allRenewed(ctx, x.fleet, size, patienceFor(size)); err != nil {
		return err
	}
	took := time.Since(begun)
	after, err := x.now(ctx, x.subject)
	if err != nil {
		return err
	}
	bare := float64(size) / x.bare.rate()
	x.tell(partHerd, size,
		figure{What: "all overdue: renewed after", Value: took.Seconds() / bare, Unit: ratio}.timed().with(
			"%.1f s from when the watches stood; bare client %.1f s", took.Seconds(), bare),
		figure{What: "all overdue: logins", Value: float64(before.until(after).logins)}.exactly(0),
	)
	return nil
}
