package controllers

import (
	"sync"
	"time"
)

// The times of the leader's election.
const (
	// LeaseDuration is how long a standby must have seen the lease unchanged before it takes it.
	LeaseDuration = 15 * time.Second
	// RenewDeadline is how long the process of a leader lives on after it has learned that the lease is somebody else's.
	RenewDeadline = 10 * time.Second
	// RetryPeriod is how often the leader renews. A standby looks every 0.5 to 1.1 s, as client-go adds a random part of up
	// to 1.2 periods (leaderelection.JitterFactor), so that it is at work within 2 s of a release, on a busy machine too.
	// The price is two small writes a second by the leader, and fewer than two reads by each standby.
	RetryPeriod = 500 * time.Millisecond

	// sureFor is how long after the begin of its last renewal a leader may be sure that nobody else leads. A standby waits
	// for LeaseDuration from a later moment. So the rates of their clocks may differ by a third, or a question that
	// was answered take 5 s to become a request, before two of them spend.
	sureFor = RenewDeadline
)

// leadership knows whether this process is surely the leader. The election does not tell in time: a process that was
// stopped, or whose machine was suspended, goes on where it was, and finds out only after that.
type leadership struct {
	clocks Clocks

	mu      sync.Mutex
	renewed *Reading // just before the last successful renewal was asked for; nil: the lease is not ours
}

// sure reports whether nobody else can be the leader. If either clock says that the renewal was too long ago, or that it
// is yet to come, the answer is no.
func (l *leadership) sure() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.renewed == nil {
		return false
	}
	wall, steady := l.clocks().since(*l.renewed)
	return 0 <= wall && wall < sureFor && 0 <= steady && steady < sureFor
}

// held reports whether the lease was ours when it was last heard of, however long ago.
func (l *leadership) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.renewed != nil
}

// renew notes a renewal that was asked for at that moment.
func (l *leadership) renew(asked Reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = &asked
}

// lose notes that the lease is not ours, or may not be.
func (l *leadership) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = nil
}
