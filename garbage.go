package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/utils/clock"
)

// Mostly an operator waits: what it holds counts for longer than what it computes. So there is little garbage beside what is in
// use, though the less there may be, the more often it is collected. Where little is in use, some MiB more spare most of that work.
const (
	spareGarbage = 16 << 20 // bytes
	leastGarbage = 45       // percent of what is in use, as GOGC has it
	mostGarbage  = 150
	// garbageInterval is how often the percentage is adapted. What is in use changes with the number of sessions.
	garbageInterval = 15 * time.Second
)

// garbagePercent is how much garbage there may be beside so many bytes in use, in percent of these.
func garbagePercent(live uint64) int {
	if live == 0 {
		return leastGarbage // nothing has been collected yet
	}
	return int(min(max(spareGarbage*100/live, leastGarbage), mostGarbage))
}

// boundGarbage adapts the garbage collector to what is in use, until the context ends. GOGC in the environment overrides it.
func boundGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(leastGarbage)
	ticker := clock.RealClock{}.NewTicker(garbageInterval)
	go func() {
		defer ticker.Stop()
		adaptGarbage(ctx, ticker.C(), liveHeap, func(percent int) { debug.SetGCPercent(percent) })
	}()
}

// adaptGarbage sets the percentage at each tick, unless it is nearly what it was: setting it stops all goroutines for a moment.
func adaptGarbage(ctx context.Context, ticks <-chan time.Time, live func() uint64, set func(percent int)) {
	const near = 5
	now := leastGarbage
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		if next := garbagePercent(live()); math.Abs(float64(next-now)) > near {
			now = next
			set(now)
		}
	}
}

// liveHeap is how many bytes the last collection found in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
