package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/buffer"
)

const (
	// Events that wait in one lane, at most. Warnings are few, and their notes long.
	mostWarnings, mostRoutine = 256, 2048
	// fewRoutine is how many of a lane may yield: more are written, whoever else has work, so that there is room.
	fewRoutine = mostRoutine * 3 / 4
	// keptRing is the length of a ring that is kept while nothing waits.
	keptRing = 16
)

// announcement is what is kept of an event until it is written.
type announcement struct {
	namespace, name string
	session         types.UID
	version         string // of the session's resource
	at              time.Time
	transition
}

// lane holds the events of some sessions until they are written, one at a time: warnings, and what is routine. Those of either kind are
// written in order.
type lane struct {
	arrived chan struct{} // has something since the last announcement came

	mu                sync.Mutex
	warnings, routine *buffer.Ring[announcement]
	oldest            *announcement // out of routine
}

func newLane() *lane {
	ring := func() *buffer.Ring[announcement] {
		return buffer.NewRing[announcement](buffer.RingOptions{NormalSize: keptRing})
	}
	return &lane{arrived: make(chan struct{}, 1), warnings: ring(), routine: ring()}
}

// put takes an announcement, and reports whether there was room for it.
func (l *lane) put(n announcement) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ring, most := l.routine, mostRoutine
	if n.warns() {
		ring, most = l.warnings, mostWarnings
	}
	if ring.Len() >= most {
		return false
	}
	ring.WriteOne(n)
	select {
	case l.arrived <- struct{}{}:
	default:
	}
	return true
}

// take is the next announcement to write, if there is one that does not yield. Warnings never do.
func (l *lane) take(yields func(announced time.Time) bool) (next announcement, found, yielding bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok := l.warnings.ReadOne(); ok {
		return n, true, false
	}
	if l.oldest == nil {
		n, ok := l.routine.ReadOne()
		if !ok {
			return announcement{}, false, false
		}
		l.oldest = &n
	}
	if l.routine.Len() < fewRoutine && yields(l.oldest.at) {
		return announcement{}, false, true
	}
	n := *l.oldest
	l.oldest = nil
	return n, true, false
}
