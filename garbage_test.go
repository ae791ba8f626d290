package main

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestLittleInUseMayHaveMoreGarbageBesideIt(t *testing.T) {
	const mebibyte = 1 << 20
	for live, want := range map[uint64]int{
		0: leastGarbage, 1 * mebibyte: mostGarbage, 8 * mebibyte: mostGarbage, 16 * mebibyte: 100, 20 * mebibyte: 80, 32 * mebibyte: 50, 40 * mebibyte: leastGarbage,
		500 * mebibyte: leastGarbage,
	} {
		if got := garbagePercent(live); got != want {
			t.Errorf("beside %d bytes in use: %d %%, want %d", live, got, want)
		}
	}
}

func TestGarbageIsAdaptedOnlyWhenMuchHasChanged(t *testing.T) {
	const mebibyte = 1 << 20
	ticks := make(chan time.Time)
	var set []int
	in := []uint64{16 * mebibyte, 16*mebibyte + 100_000, 40 * mebibyte, 41 * mebibyte, 20 * mebibyte}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		adaptGarbage(ctx, ticks, func() uint64 {
			live := in[0]
			in = in[1:]
			return live
		}, func(percent int) { set = append(set, percent) })
	}()
	for range in {
		ticks <- time.Time{}
	}
	cancel()
	<-done
	if want := []int{100, leastGarbage, 80}; !slices.Equal(set, want) {
		t.Errorf("set to %v, want %v", set, want)
	}
}

func TestLiveHeapIsKnownOnceGarbageWasCollected(t *testing.T) {
	runtime.GC()
	if liveHeap() == 0 {
		t.Error("nothing is in use")
	}
}
