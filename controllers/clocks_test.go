package controllers

import (
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
)

// twoClocks are clocks that a test sets, each for itself.
type twoClocks struct{ Reading }

func newTwoClocks() *twoClocks {
	return &twoClocks{Reading{Wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Steady: time.Hour}}
}

func (c *twoClocks) read() Reading { return c.Reading }

// pass lets time go by, as a running machine sees it.
func (c *twoClocks) pass(d time.Duration) { c.advance(d, d) }

func (c *twoClocks) advance(wall, steady time.Duration) {
	c.Wall = c.Wall.Add(wall)
	c.Steady += steady
}

func TestSystemClocks(t *testing.T) {
	fake := testingclock.NewFakePassiveClock(time.Now())
	read := SystemClocks(fake)
	first := read()
	fake.SetTime(fake.Now().Add(time.Minute))
	if wall, steady := read().since(first); wall != time.Minute || steady != time.Minute {
		t.Errorf("a minute was read as %v and %v", wall, steady)
	}
	// Without a monotonic part in its times the steady clock would only follow the wall clock.
	if now := (clock.RealClock{}).Now(); !strings.Contains(now.String(), " m=") {
		t.Error("the system's clock has no monotonic part")
	}
}
