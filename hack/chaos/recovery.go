package main

import (
	"context"
	"fmt"
	"time"
)

// recover waits until all sessions are current for good, and measures that. One that takes too long is measured too.
func (r *run) recover(ctx context.Context) error {
	calm := time.Now()
	r.say("all faults are over")
	for good := false; !good; {
		err := waitFor(ctx, time.Until(calm.Add(lastLimit)), "all sessions are current", func() bool { return r.current() == r.scale.sessions })
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.say("%v", err)
			break
		}
		begun := time.Now()
		if r.figures.end, err = r.resources(ctx); err != nil {
			r.say("resources at the end: %v", err)
			pass(ctx, time.Second)
		}
		good = err == nil && r.notCurrentSince(begun) == 0
	}
	r.figures.sick = r.sick(ctx)
	r.figures.books = r.poller.book()
	r.figures.recovery = recoveryOf(r.figures.books, calm, time.Now())
	for _, i := range r.figures.recovery.missing {
		says := "nothing"
		if c := r.poller.ready(i); c != nil {
			says = fmt.Sprintf("%s, %s: %s", c.Status, c.Reason, c.Message)
		}
		r.figures.unready = append(r.figures.unready, fmt.Sprintf("%s (token valid: %v): Ready is %s",
			sessionName(i), r.vault.TokenValid(r.poller.token(i)), says))
	}
	return ctx.Err()
}

// notCurrentSince is how many sessions have not been current at some time since then.
func (r *run) notCurrentSince(then time.Time) int {
	n := 0
	for _, w := range r.poller.book() {
		if w.lastNot.After(then) {
			n++
		}
	}
	return n
}
