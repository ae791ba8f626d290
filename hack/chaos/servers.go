package main

import (
	"sync"
	"time"
)

// servers knows since when Secret Server and the API server, with the way to it, have both been up: no fault of theirs in
// force. One that answers wrongly now and then is not up in this sense.
type servers struct {
	mu     sync.Mutex
	faults int
	since  time.Time
}

// fail notes the beginning of a fault, mend the end of one.
func (s *servers) fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults++
}

func (s *servers) mend(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults--
	s.since = now
}

// upSince is the moment since which both are up; zero: they are not.
func (s *servers) upSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults > 0 {
		return time.Time{}
	}
	return s.since
}
