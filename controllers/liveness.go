package controllers

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

const (
	// mostClockJump is by how much the wall clock may have left the steady one since the start. Beyond it the process does
	// better to start anew: whatever it waits for would come that much too late or too early.
	mostClockJump = 5 * time.Minute

	// longestTimeout is the most that spec.endpoint.timeoutSeconds allows.
	longestTimeout = 300 * time.Second
	// longestPass is more than a pass can take. The longest asks Secret Server whether the token is alive, refreshes,
	// asks for the time, for something harmless and for a login, ends the former token, and cannot store what it has; and
	// none of its steps makes more than three requests to the API server.
	longestPass = 6*(longestTimeout+time.Second) + storeTimeout + 3*maxSteps*requestTimeout
)

// liveness knows whether the process does its work: its clocks agree, its passes end, and its queue moves. A standby and an
// operator with nothing to do are as alive as any.
type liveness struct {
	clocks  Clocks
	started Reading
	// due is how many sessions could be worked on now, and wait for a worker.
	due func() int
	// elected is closed when this process has begun to work.
	elected <-chan struct{}

	mu    sync.Mutex
	begun uint64 // passes, since the start
	// running are the passes that have not ended, by when they began.
	running map[types.NamespacedName]time.Duration
	// seen is what begun was at the last probe, and stalled when a probe first found it unchanged with sessions due; nil:
	// the last probe did not.
	seen    uint64
	stalled *time.Duration
}

func newLiveness(clocks Clocks, due func() int, elected <-chan struct{}) *liveness {
	return &liveness{
		clocks: clocks, started: clocks(), due: due, elected: elected,
		running: map[types.NamespacedName]time.Duration{},
	}
}

// addTo adds the checks to what /healthz asks. A probe is not told why one fails, so the log is.
func (l *liveness) addTo(mgr ctrl.Manager) error {
	told := func(check healthz.Checker) healthz.Checker {
		return func(request *http.Request) error {
			err := check(request)
			if err != nil {
				mgr.GetLogger().Error(err, "the liveness probe fails")
			}
			return err
		}
	}
	return errors.Join(
		mgr.AddHealthzCheck("clocks", told(l.clocksAgree)),
		mgr.AddHealthzCheck("passes", told(l.passesEnd)),
		mgr.AddHealthzCheck("queue", told(l.queueMoves)),
	)
}

// begin notes that a pass begins; the function it returns, that it has ended.
func (l *liveness) begin(name types.NamespacedName) (end func()) {
	now := l.clocks().Steady
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun++
	l.running[name] = now
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.running, name)
	}
}

// clocksAgree fails after the wall clock was set, or the machine was suspended.
func (l *liveness) clocksAgree(*http.Request) error {
	wall, steady := l.clocks().since(l.started)
	if jump := wall - steady; jump.Abs() > mostClockJump {
		return fmt.Errorf("the wall clock has jumped by %v since the start", jump.Round(time.Second))
	}
	return nil
}

// passesEnd fails if one has been running for longer than it can.
func (l *liveness) passesEnd(*http.Request) error {
	now := l.clocks().Steady
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.running) == 0 {
		return nil
	}
	if longest := now - slices.Min(slices.Collect(maps.Values(l.running))); longest > longestPass {
		return fmt.Errorf("a pass has been running for %v", longest.Round(time.Second))
	}
	return nil
}

// queueMoves fails if sessions have been due from probe to probe for longer than a pass can take, and no pass began.
func (l *liveness) queueMoves(*http.Request) error {
	waiting, now := l.working() && l.due() > 0, l.clocks().Steady
	l.mu.Lock()
	defer l.mu.Unlock()
	moved := l.begun != l.seen
	l.seen = l.begun
	switch {
	case moved || !waiting:
		l.stalled = nil
	case l.stalled == nil:
		l.stalled = &now
	case now-*l.stalled > longestPass:
		return errors.New("sessions are due, and no pass begins")
	}
	return nil
}

// working reports whether this process is to work on sessions. A standby's queue fills up, and waits.
func (l *liveness) working() bool {
	select {
	case <-l.elected:
		return true
	default:
		return false
	}
}
