package main

import (
	"context"
	"errors"
	"time"
)

// A yardstick is what the bare client can do.
type yardstick struct {
	span
	pace
	alone time.Duration // one refresh while nothing else goes on: the median
}

// A pace is how fast the bare client begins, a second.
type pace struct {
	makes  float64 // sessions
	logins float64 // each with its writes
}

// begins is how long the bare client takes to make sessions, and to log each in.
func (p pace) begins(sessions int) time.Duration {
	return time.Duration(float64(sessions) * (1/p.makes + 1/p.logins) * float64(time.Second))
}

// and is the pace of two times, with as many sessions each, together.
func (p pace) and(other pace) pace {
	together := func(a, b float64) float64 { return 2 / (1/a + 1/b) }
	return pace{makes: together(p.makes, other.makes), logins: together(p.logins, other.logins)}
}

// measureBare has the bare client log in and refresh, one session at a time and then many, for so long. No operator must run. While it
// begins, the observer looks on: so it does when the operator begins, and it takes its part of the machine.
func (r *run) measureBare(ctx context.Context, w *world, prefix string, sessions int, alone, many time.Duration) (y yardstick, err error) {
	o, err := w.observe(ctx, percent)
	if err != nil {
		return y, err
	}
	b, pace, err := r.beginBare(ctx, w, prefix, sessions)
	if err := errors.Join(err, o.close()); err != nil {
		return y, err
	}
	y, err = r.watchBare(ctx, w, b, alone, many)
	y.pace = pace
	return y, errors.Join(err, b.close(ctx))
}

// watchBare has the bare client refresh, one session at a time and then many, for so long. What it has used is read as soon as it is done, and
// only then, at the benchmark's own cost, what was counted. The time is that in which its workers were busy, all of them: the last ones end alone.
func (r *run) watchBare(ctx context.Context, w *world, b *bareClient, alone, many time.Duration) (y yardstick, err error) {
	times, err := b.refresh(ctx, 1, alone)
	if err != nil {
		return y, err
	}
	y.alone, _, _ = quantiles(times)
	before, err := w.now(ctx, nil)
	if err != nil {
		return y, err
	}
	times, err = b.refresh(ctx, bareWorkers, many)
	if err != nil {
		return y, err
	}
	var after moment
	if err := w.weigh(&after, nil); err != nil {
		return y, err
	}
	if err := w.count(ctx, &after); err != nil {
		return y, err
	}
	y.span = before.until(after)
	y.took = 0
	for _, one := range times {
		y.took += one / bareWorkers
	}
	r.say("bare client: %.0f refreshes/s, %.2f CPU s per 1,000", y.rate(), y.perThousand(y.self))
	return y, nil
}

// beginBare has the bare client make sessions and log them in.
func (r *run) beginBare(ctx context.Context, w *world, prefix string, sessions int) (b *bareClient, p pace, err error) {
	r.say("bare client: %d sessions", sessions)
	b, err = w.openBare(ctx, prefix, sessions)
	if err != nil {
		return nil, p, err
	}
	p.makes = b.makes
	half := sessions / 2 // see openBare
	if err := b.logIn(ctx, 0, half); err != nil {
		return nil, p, err
	}
	start := time.Now()
	if err := b.logIn(ctx, half, sessions); err != nil {
		return nil, p, err
	}
	p.logins = float64(sessions-half) / time.Since(start).Seconds()
	r.say("bare client: %.0f sessions made/s, %.0f logins/s", p.makes, p.logins)
	return b, p, nil
}
