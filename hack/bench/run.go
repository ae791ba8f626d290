package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A run measures what was asked for, one thing at a time.
type run struct {
	options

	progress io.Writer
	report   report
	bare     *yardstick // nil until it is measured for a fleet
}

// do measures. What it has found by then is in the report also if it fails.
func (r *run) do(ctx context.Context) error {
	r.report = newReport(os.Args)
	if r.smoke {
		return r.within(ctx, partSmoke, smokeSessions, (*run).count)
	}
	if r.wants(partSaturated) {
		if err := r.within(ctx, partSaturated, mostSaturated, (*run).saturate); err != nil {
			return err
		}
	}
	if r.wants(partSteady, partIdle, partReaction, partRestart, partForeign) {
		if err := r.within(ctx, "largest", r.largest(), (*run).scaleLargest); err != nil {
			return err
		}
	}
	if r.wants(partIdle) {
		return nil // which has measured the others beside
	}
	return r.others(ctx)
}

// others measures what has worlds of its own, and leaves room for a fleet that has nothing to do. That takes a percent of the
// machine; the longest part and these need not wait for each other.
func (r *run) others(ctx context.Context) error {
	if smaller := r.smaller(); r.wants(partSteady) && len(smaller) > 0 {
		if err := r.within(ctx, "smaller", smaller[len(smaller)-1], (*run).scaleSmaller); err != nil {
			return err
		}
	}
	if r.wants(partHerd) {
		if err := r.within(ctx, partHerd, r.herd, (*run).gather); err != nil {
			return err
		}
	}
	if r.wants(partShards) {
		return r.shards(ctx)
	}
	return nil
}

// within measures something in a world of its own.
func (r *run) within(ctx context.Context, name string, sessions int, measure func(*run, context.Context, *world) error) error {
	r.say("%s: starting a control plane and a Secret Server", name)
	w, err := openWorld(ctx, r.options, name, sessions)
	if err == nil {
		err = errors.Join(measure(r, ctx, w), w.close())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// say tells what goes on.
func (r *run) say(format string, args ...any) {
	// Who cannot be told of progress is no reason to stop.
	_, _ = fmt.Fprintf(r.progress, "%6.1f s  %s\n", //nolint:errcheck // see above
		time.Since(r.report.Started).Seconds(), fmt.Sprintf(format, args...))
}

// tell takes figures into the report.
func (r *run) tell(part string, sessions int, figures ...figure) {
	for _, f := range figures {
		f.Part, f.Sessions = part, sessions
		r.report.Figures = append(r.report.Figures, f)
	}
}

// ms is a time in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// mib is a size in MiB.
func mib(bytes float64) float64 { return bytes / (1 << 20) }
