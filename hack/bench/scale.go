package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	// percent of the lifetime after which the sessions renew: the API's default.
	percent = 67
	// fullLifetime is Secret Server's default, and that of the tokens of fullSize sessions. Fewer sessions have shorter ones, so
	// that there are as many refreshes a second at each size.
	fullLifetime, fullSize = 20 * time.Minute, 10000
	// leastLifetime is renewed after the least wait that the operator plans, and a little.
	leastLifetime = 8 * time.Second
	// quietLifetime is longer than any run.
	quietLifetime = 24 * time.Hour
	// quietLength is how long to look that nothing comes after a restart.
	quietLength = 10 * time.Second
	// settling is how long to let things calm down before measuring.
	settling = 5 * time.Second
)

// scaling is a world with a fleet that grows, an operator that serves it, and somebody who looks on.
type scaling struct {
	*run
	*world

	percent  int32 // of the lifetime, after which the sessions renew
	bare     yardstick
	fleet    *fleet
	observer *observer
	subject  *subject
	renewals int
	foreign  int
}

// open starts an operator for an empty fleet. The first time in a run, it has the bare client work before.
func (r *run) open(ctx context.Context, w *world, percent int32) (*scaling, error) {
	if r.bare == nil {
		y, err := r.measureBare(ctx, w, "bare", bareBeginners, bareBriefly, bareBriefly)
		if err != nil {
			return nil, err
		}
		r.bare = &y
	}
	x := &scaling{run: r, world: w, percent: percent, bare: *r.bare}
	var err error
	if x.fleet, err = w.fleet(ctx, "bench"); err != nil {
		return nil, err
	}
	if x.observer, err = w.observe(ctx, int(percent)); err != nil {
		return nil, err
	}
	x.subject, err = w.startOperator(ctx, "operator")
	return x, err
}

// close ends the operator, in order, and the looking on.
func (x *scaling) close() error { return errors.Join(x.subject.Stop(), x.observer.close()) }

// scaleSmaller measures the operator at one size after the other, but for the largest.
func (r *run) scaleSmaller(ctx context.Context, w *world) error {
	x, err := r.open(ctx, w, percent)
	if err != nil {
		return err
	}
	for _, size := range r.smaller() {
		begun, err := x.start(ctx, size, lifetimeFor(size))
		if err != nil {
			return fmt.Errorf("%d sessions: %w", size, err)
		}
		x.tellStart(begun, x.bare.pace)
		if err := x.steadily(ctx); err != nil {
			return fmt.Errorf("%d sessions: %w", size, err)
		}
	}
	return x.close()
}

// scaleLargest measures the operator with as many sessions as there are at most, and all that wants so many. They have long
// tokens until sessions are wanted that are due.
func (r *run) scaleLargest(ctx context.Context, w *world) error {
	x, err := r.open(ctx, w, percent)
	if err != nil {
		return err
	}
	begun, err := x.start(ctx, r.largest(), quietLifetime)
	if err != nil {
		return err
	}
	pace := x.bare.pace
	after, err := x.paceNow(ctx)
	if err == nil {
		pace = pace.and(after)
	}
	x.tellStart(begun, pace)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		part string
		do   func(context.Context) error
	}{
		{partIdle, x.idle}, {partReaction, x.react}, {partRestart, x.restart},
		{partSteady, x.steadily}, {partForeign, x.crowd}, {partForeign, x.steadily},
	} {
		if !r.wants(step.part) {
			continue
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.part, err)
		}
	}
	return x.close()
}

// lifetimeFor is that of the tokens of so many sessions; see fullLifetime.
func lifetimeFor(size int) time.Duration {
	return max(fullLifetime*time.Duration(size)/fullSize, leastLifetime*3/2)
}

// stagger renews tokens with lifetimes by chance, so that from then on sessions are due evenly over time. Of a large fleet with
// long tokens, it renews as many as come due while that is measured, and while it renews them: the others would only be waited for.
func (x *scaling) stagger(ctx context.Context) error {
	lifetime := lifetimeFor(x.fleet.size)
	interval := lifetime * time.Duration(x.percent) / 100
	ahead := min(interval, 2*(settling+x.steady))
	due := int(int64(x.fleet.size) * int64(ahead) / int64(interval))
	x.say("steady: %d of %d sessions renew, to be due at different times in the next %v", due, x.fleet.size, ahead.Round(time.Second))
	longest := ahead * 100 / time.Duration(x.percent)
	if err := x.vault.lifetimes(ctx, max(longest/20, leastLifetime), longest); err != nil {
		return err
	}
	x.observer.forget()
	x.renewals++
	if err := x.fleet.renew(ctx, due, strconv.Itoa(x.renewals)); err != nil {
		return err
	}
	if err := x.observer.allRenewed(ctx, x.fleet, due, patienceFor(due)); err != nil {
		return err
	}
	if err := x.vault.lifetimes(ctx, 0, lifetime); err != nil {
		return err
	}
	return pause(ctx, settling)
}

// steadily measures sessions that are due at different times.
func (x *scaling) steadily(ctx context.Context) error {
	if err := x.stagger(ctx); err != nil {
		return err
	}
	size := x.fleet.size
	x.say("steady: measuring %d sessions and %d foreign Secrets for %v", size, x.foreign, x.steady)
	earlier, err := x.subject.look(ctx)
	if err != nil {
		return err
	}
	before, err := x.now(ctx, x.subject)
	if err != nil {
		return err
	}
	x.observer.forget()
	memory, err := sampleMemory(ctx, x.subject.ID(), x.steady)
	if err != nil {
		return err
	}
	late := x.observer.late()
	after, err := x.now(ctx, x.subject)
	if err != nil {
		return err
	}
	inside, err := x.subject.look(ctx)
	if err != nil {
		return err
	}
	x.tellSteady(size, before.until(after), late, memory, inside.since(earlier))
	return nil
}

func (x *scaling) tellSteady(size int, got span, late []time.Duration, memory sample, inside inner) {
	p50, p99, most := quantiles(late)
	per := func(n int) float64 { return float64(n) / float64(max(got.refreshes, 1)) }
	writes, edge := got.perRefresh(got.requests.writes())
	part, suffix := partSteady, ""
	if x.foreign > 0 {
		part, suffix = partForeign, fmt.Sprintf(", with %d foreign Secrets", x.foreign)
	}
	x.tell(part, size,
		figure{What: "lateness p99", Value: float64(p99) / float64(x.bare.alone), Unit: ratio}.timed().with(
			"p50 %.0f ms, p99 %.0f ms, max %.0f ms of %d refreshes; bare client's refresh %.1f ms", ms(p50), ms(p99), ms(most), len(late), ms(x.bare.alone)),
		figure{What: "lateness p99 in seconds", Value: p99.Seconds(), Unit: "s"}.atMost(1).timed(),
		figure{What: "Kubernetes requests per refresh", Value: writes}.atMost(4+edge).atLeast(4-edge).with("%s", got.requests),
		figure{What: "of those GET or LIST", Value: per(got.requests.reads())}.exactly(0).with("%s", inside.gets()),
		figure{What: "TCP connections per 1,000 grants", Value: 1000 * per(got.connections)}.timed().with(
			"%d for %d grants", got.connections, got.refreshes),
		figure{What: "CPU of the operator, of one core", Value: got.operator.Seconds() / got.took.Seconds(), Unit: "cores"}.timed().with(
			"%.2f s per 1,000 refreshes at %.1f a second; kube-apiserver %.2f cores",
			got.perThousand(got.operator), got.rate(), got.api.Seconds()/got.took.Seconds()),
		figure{What: "memory, resident", Value: mib(memory.median()), Unit: "MiB"}.atMost(memoryBound(size, x.foreign)).with(
			"peak %.1f MiB, heap in use %.1f MiB, %.0f goroutines", mib(float64(memory.peak)), mib(inside.heap), inside.goroutines),
	)
	x.report.Lateness = add(x.report.Lateness, "p50"+suffix, float64(size), ms(p50))
	x.report.Lateness = add(x.report.Lateness, "p99"+suffix, float64(size), ms(p99))
	x.report.Lateness = add(x.report.Lateness, "greatest"+suffix, float64(size), ms(most))
	x.report.Memory = add(x.report.Memory, "usual"+suffix, float64(size), mib(memory.median()))
	x.report.Memory = add(x.report.Memory, "peak"+suffix, float64(size), mib(float64(memory.peak)))
	if x.foreign == 0 {
		x.report.Memory = add(x.report.Memory, "wanted", float64(size), memoryBound(size, 0))
		x.report.Memory[len(x.report.Memory)-1].Wanted = true
	}
}

// crowd makes Secrets that are not the operator's while none runs, and has a new process see the world as it is then.
func (x *scaling) crowd(ctx context.Context) error {
	x.foreign = x.options.foreign
	x.say("foreign: making %d Secrets", x.foreign)
	if err := x.subject.Stop(); err != nil {
		return err
	}
	if err := x.strangers(ctx, x.foreign); err != nil {
		return err
	}
	var err error
	if x.subject, err = x.startOperator(ctx, "operator"); err != nil {
		return err
	}
	return pause(ctx, settling)
}
