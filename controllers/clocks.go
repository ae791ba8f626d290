package controllers

import (
	"time"

	"k8s.io/utils/clock"
)

// Clocks reads the computer's two clocks at one moment. Each notices what the other does not: the wall clock goes on
// while the machine is suspended, and can be set; the steady one stands still meanwhile, and cannot.
type Clocks func() Reading

// Reading is what the clocks showed.
type Reading struct {
	Wall   time.Time
	Steady time.Duration // since an arbitrary moment
}

// SystemClocks reads the wall clock, and the monotonic one that package time keeps beside it.
func SystemClocks(c clock.PassiveClock) Clocks {
	origin := c.Now()
	return func() Reading {
		now := c.Now()
		return Reading{Wall: now.Round(0), Steady: now.Sub(origin)}
	}
}

// since is how much time each clock counted from an earlier reading.
func (r Reading) since(earlier Reading) (wall, steady time.Duration) {
	return r.Wall.Sub(earlier.Wall), r.Steady - earlier.Steady
}
