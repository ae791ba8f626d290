package main

import (
	"context"
	"errors"
	"time"
)

// idle watches that nothing happens. Meanwhile it lets the others be measured: what they need of the machine can only make an
// idle operator look worse, and it takes nothing of theirs.
func (x *scaling) idle(ctx context.Context) error {
	size := x.fleet.size
	if err := x.calm(ctx); err != nil {
		return err
	}
	x.say("idle: watching %d sessions for %v at least, while others are measured", size, x.options.idle)
	before, err := x.now(ctx, x.subject)
	if err != nil {
		return err
	}
	memory, err := x.sampleBeside(ctx)
	if err != nil {
		return err
	}
	after, err := x.now(ctx, x.subject)
	if err != nil {
		return err
	}
	got := before.until(after)
	x.tell(partIdle, size,
		figure{What: "Kubernetes requests but for leases and watches", Value: float64(got.requests.writes() + got.requests.reads())}.
			exactly(0).with("in %.0f s: %s", got.took.Seconds(), got.requests),
		figure{What: "HTTPS requests", Value: float64(got.logins + got.refreshes + got.others)}.exactly(0),
		figure{What: "CPU of the operator, of one core", Value: got.operator.Seconds() / got.took.Seconds(), Unit: "cores"}.timed(),
		figure{What: "memory, resident", Value: mib(memory.median()), Unit: "MiB"}.atMost(memoryBound(size, 0)).with(
			"peak %.1f MiB", mib(float64(memory.peak))),
	)
	return nil
}

// sampleBeside looks at the idle operator's memory while the others are measured. It returns when both are done.
func (x *scaling) sampleBeside(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	others := make(chan error, 1)
	go func() { others <- x.others(ctx) }()
	memory, err := sampleMemory(ctx, x.subject.ID(), x.options.idle)
	if err != nil {
		cancel() // who waits for the others in vain
	}
	x.say("idle: watched for %v", x.options.idle)
	return memory, errors.Join(err, <-others)
}

// restart ends the operator and starts it again.
func (x *scaling) restart(ctx context.Context) error {
	size := x.fleet.size
	x.say("restart: with %d sessions", size)
	if err := x.subject.Stop(); err != nil {
		return err
	}
	before, err := x.now(ctx, nil)
	if err != nil {
		return err
	}
	begun := time.Now()
	if x.subject, err = x.startOperator(ctx, "operator"); err != nil {
		return err
	}
	ready := time.Since(begun)
	if err := x.subject.await(ctx, patienceFor(size), "done with a first look at each session", func(ctx context.Context) (bool, error) {
		inside, err := x.subject.look(ctx)
		return inside.reconciles >= float64(size), err
	}); err != nil {
		return err
	}
	took := time.Since(begun)
	memory, err := sampleMemory(ctx, x.subject.ID(), quietLength)
	if err != nil {
		return err
	}
	after, err := x.now(ctx, x.subject)
	if err != nil {
		return err
	}
	got := before.until(after)
	bare := float64(size) / x.bare.rate()
	x.tell(partRestart, size,
		figure{What: "all sessions looked at after", Value: took.Seconds() / bare, Unit: ratio}.timed().with(
			"%.2f s, watches stand after %.2f s; CPU %.2f s; the bare client would refresh all in %.1f s",
			took.Seconds(), ready.Seconds(), after.operator.cpu.Seconds(), bare),
		figure{What: "HTTPS requests", Value: float64(got.logins + got.refreshes + got.others)}.exactly(0),
		figure{What: "writes to sessions and Secrets", Value: float64(got.requests.touching())}.exactly(0).with("%s", got.requests),
		figure{What: "memory, resident", Value: mib(memory.median()), Unit: "MiB"}.atMost(memoryBound(size, 0)).with(
			"peak since the start %.1f MiB", mib(float64(memory.peak))),
	)
	return nil
}
