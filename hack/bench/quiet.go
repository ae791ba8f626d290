package main

import (
	"context"
	"errors"
	"time"
)

// quiet are the steps that need a time when nothing is due.
func (x *scaling) quiet() []func(context.Context) error {
	var steps []func(context.Context) error
	if x.wants(partIdle, partReaction, partRestart) {
		steps = append(steps, x.calm)
	}
	for _, step := range []struct {
		part    string
		measure func(context.Context) error
	}{{partIdle, x.idle}, {partReaction, x.react}, {partRestart, x.restart}} {
		if x.wants(step.part) {
			steps = append(steps, step.measure)
		}
	}
	return steps
}

// calm waits until the sessions of the sizes before have come due, with their short tokens, and have long ones too.
func (x *scaling) calm(ctx context.Context) error {
	x.say("idle: waiting until nothing is due any more")
	for begun := time.Now(); time.Since(begun) < patienceFor(x.fleet.size); {
		before, err := x.vault.stats(ctx)
		if err != nil {
			return err
		}
		if err := pause(ctx, 2*quietLength); err != nil {
			return err
		}
		after, err := x.vault.stats(ctx)
		if err != nil {
			return err
		}
		if after.Granted("refresh") == before.Granted("refresh") && after.Granted("password") == before.Granted("password") {
			return nil
		}
	}
	return errRestless
}

// errRestless is a fleet that goes on asking for grants though none of its tokens ends soon.
var errRestless = errors.New("sessions with long tokens go on asking for grants")

// idle watches that nothing happens.
func (x *scaling) idle(ctx context.Context) error {
	size := x.fleet.size
	x.say("idle: watching %d sessions for %v", size, x.options.idle)
	before, err := x.now(ctx, x.subject)
	if err != nil {
		return err
	}
	memory, err := sampleMemory(ctx, x.subject.ID(), x.options.idle)
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
