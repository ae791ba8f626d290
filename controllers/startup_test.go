package controllers

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// aStartup is a startup whose sessions are all due until the test says that they are not, and what it released.
func aStartup() (s *startup, elect func(), due, released *atomic.Int64) {
	elected := make(chan struct{})
	due, released = &atomic.Int64{}, &atomic.Int64{}
	due.Store(10)
	return &startup{
		synced:  func(ctx context.Context) bool { return ctx.Err() == nil },
		elected: elected,
		due:     func() int { return int(due.Load()) },
		clock:   clock.RealClock{},
		release: func() { released.Add(1) },
	}, func() { close(elected) }, due, released
}

func TestMemoryOfTheStartIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, elect, due, released := aStartup()
		ended := make(chan error, 1)
		go func() { ended <- s.Start(t.Context()) }()
		after := func(wait time.Duration, want int64, when string) {
			t.Helper()
			<-time.After(wait)
			synctest.Wait()
			if got := released.Load(); got != want {
				t.Errorf("%s it was given back %d times, want %d", when, got, want)
			}
		}
		after(time.Hour, 1, "by a standby")
		elect()
		after(time.Hour, 1, "while sessions wait for a first look")
		due.Store(0)
		after(lookInterval, 2, "when all were looked at")
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAStartThatIsCutShortEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, when := range []string{"before the caches are filled", "while a standby", "while sessions wait for a first look"} {
			s, elect, _, _ := aStartup()
			ctx, stop := context.WithCancel(t.Context())
			if when == "before the caches are filled" {
				stop()
			}
			if when == "while sessions wait for a first look" {
				elect()
			}
			ended := make(chan error, 1)
			go func() { ended <- s.Start(ctx) }()
			synctest.Wait()
			stop()
			if err := <-ended; err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
	})
}
