package main

import (
	"slices"
	"time"
)

// recoveryBound is how long a pod may see a token that is not valid although both servers are up. It is what is asked of
// the return of a Secret Server after an outage; the operator's own trouble has to fit it too: a dead leader holds its
// lease for 15 s, the standby looks for it every 2 s or so, some passes have to be made, and a second death may follow.
const recoveryBound = time.Minute

// A watch keeps the book of what a pod of one session would have seen.
type watch struct {
	invalidSince time.Time // zero: the token is valid
	own          bool      // at present it is the session's own fault: a wrong password stands in its credentials
	current      bool      // valid, and the session says so
	lastNot      time.Time // when it was last not current; zero: never

	invalid, ownInvalid, beyond, longest time.Duration
}

// A sight is what is seen of a session at a moment.
type sight struct {
	at      time.Time
	since   time.Duration // the sight before
	valid   bool          // the token in the target is valid
	ready   bool          // and the session's status says so
	own     bool          // a wrong password stands in its credentials
	upSince time.Time     // both servers are up; zero: they are not
}

func (w *watch) see(s sight) {
	w.current = s.valid && s.ready
	if !w.current {
		w.lastNot = s.at
	}
	if s.valid {
		w.invalidSince, w.own = time.Time{}, s.own
		return
	}
	// What the session brought about itself is not counted, and its recovery begins when that ends.
	if w.invalidSince.IsZero() || w.own {
		w.invalidSince = s.at
	}
	w.own = s.own
	if s.own {
		w.ownInvalid += s.since
		return
	}
	w.invalid += s.since
	w.longest = max(w.longest, s.at.Sub(w.invalidSince))
	if s.upSince.IsZero() {
		return
	}
	start := w.invalidSince
	if s.upSince.After(start) {
		start = s.upSince
	}
	if s.at.Sub(start) > recoveryBound {
		w.beyond += s.since
	}
}

// A recovery is how long after the end of all faults sessions were current again, for good.
type recovery struct {
	worst, median time.Duration
	missing       []int // sessions that are not current yet
}

// recoveryOf sums up the watches at a moment after the end of all faults.
func recoveryOf(watches []watch, calm, now time.Time) recovery {
	var r recovery
	times := make([]time.Duration, 0, len(watches))
	for i := range watches {
		took := max(watches[i].lastNot.Sub(calm), 0)
		if !watches[i].current {
			r.missing = append(r.missing, i)
			took = now.Sub(calm)
		}
		times = append(times, took)
	}
	slices.Sort(times)
	if len(times) > 0 {
		r.worst, r.median = times[len(times)-1], times[len(times)/2]
	}
	return r
}
