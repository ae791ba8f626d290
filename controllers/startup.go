package controllers

import (
	"context"
	"runtime/debug"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
)

// startup gives back to the system the memory that the start alone took: lists of all there is, what they were decoded from, and a
// first look at each session. Go's runtime would keep it until the next collections, which are far apart where little happens. And the
// parts of the program that run only then.
type startup struct {
	synced  func(context.Context) bool // waits until the caches are filled
	elected <-chan struct{}
	due     func() int // sessions that wait for a worker
	clock   clock.Clock
	release func()
}

func newStartup(mgr ctrl.Manager, due func() int, c clock.Clock) *startup {
	logger := quiet(mgr.GetLogger())
	release := func() {
		debug.FreeOSMemory()
		if err := releaseProgram(); err != nil {
			logger.Info("the parts of the program that only the start needs stay in memory, some MiB", "error", err.Error())
		}
	}
	return &startup{synced: mgr.GetCache().WaitForCacheSync, elected: mgr.Elected(), due: due, clock: c, release: release}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a standby fills its caches too.
func (*startup) NeedLeaderElection() bool { return false }

// lookInterval is between two looks whether the first pass over all sessions is done.
const lookInterval = 2 * time.Second

// Start implements manager.Runnable. It releases once when the caches are filled, and once when the leader has looked at all
// sessions: each time that is a collection, and that pages of the program are read again which are still wanted.
func (s *startup) Start(ctx context.Context) error {
	if !s.synced(ctx) {
		return nil // the process ends
	}
	s.release()
	select {
	case <-s.elected:
	case <-ctx.Done():
		return nil
	}
	for {
		select {
		case <-s.clock.After(lookInterval):
		case <-ctx.Done():
			return nil
		}
		if s.due() == 0 {
			s.release()
			return nil
		}
	}
}
