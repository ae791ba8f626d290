package controllers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
)

// leaseServer is an API server that knows one lease.
type leaseServer struct {
	resourcelock.Interface // nil: nothing else is asked

	mu      sync.Mutex
	record  resourcelock.LeaderElectionRecord
	trouble error // what it answers instead
	taken   bool  // by somebody else
}

func (s *leaseServer) set(trouble error, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble, s.taken = trouble, taken
}

func (*leaseServer) Identity() string   { return "me" }
func (*leaseServer) Describe() string   { return "lease" }
func (*leaseServer) RecordEvent(string) {}

func (s *leaseServer) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record := s.record
	if s.taken {
		record.HolderIdentity = "another"
	}
	return &record, []byte(record.HolderIdentity), s.trouble
}

func (s *leaseServer) Update(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != nil {
		return s.trouble
	}
	if s.taken {
		return apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "lease", nil)
	}
	s.record = record
	return nil
}

// elect runs client-go's election with the operator's times. The channel is closed when it has ended.
func elect(t *testing.T, lease *Lease) <-chan struct{} {
	t.Helper()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lease, LeaseDuration: LeaseDuration, RenewDeadline: RenewDeadline, RetryPeriod: RetryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(t.Context())
	}()
	return ended
}

// elapse lets time go by.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestALeaderOutlastsAnAPIServerThatIsAway(t *testing.T) {
	for name, trouble := range map[string]error{
		"no connection":    errors.New("connection refused"),
		"too many":         apierrors.NewTooManyRequestsError("later"),
		"etcd is away":     apierrors.NewInternalError(errors.New("etcdserver: no leader")),
		"not there yet":    apierrors.NewServiceUnavailable("starting"),
		"takes too long":   apierrors.NewTimeoutError("timeout", 1),
		"its own deadline": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &leaseServer{}
				lease := &Lease{Interface: server, leadership: &leadership{clocks: SystemClocks(clock.RealClock{})}}
				ended := elect(t, lease)
				elapse(time.Second)
				if !lease.SurelyOurs() {
					t.Fatal("the lease was not taken")
				}
				server.set(trouble, false)
				elapse(sureFor)
				if lease.SurelyOurs() {
					t.Error("surely ours, although it could not be renewed for so long")
				}
				elapse(2 * time.Minute)
				select {
				case <-ended:
					t.Fatal("the election has ended, and with it what is held in memory")
				default:
				}
				server.set(nil, false)
				elapse(2 * RetryPeriod)
				if !lease.SurelyOurs() {
					t.Error("not ours after the API server is back")
				}
			})
		})
	}
}

func TestALeaderEndsWhenSomebodyElseHasTheLease(t *testing.T) {
	for _, away := range []time.Duration{0, time.Minute} {
		t.Run("after the API server was away for "+away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &leaseServer{}
				lease := &Lease{Interface: server, leadership: &leadership{clocks: SystemClocks(clock.RealClock{})}}
				ended := elect(t, lease)
				elapse(time.Second)
				server.set(errors.New("connection refused"), true)
				elapse(away)
				server.set(nil, true)
				elapse(RetryPeriod)
				if lease.SurelyOurs() {
					t.Error("surely ours, although somebody else was seen to have it")
				}
				elapse(RenewDeadline + RetryPeriod)
				select {
				case <-ended:
				default:
					t.Error("the election goes on")
				}
			})
		})
	}
}

func TestAStandbyIsToldThatTheAPIServerIsAway(t *testing.T) {
	inner := &lock{err: errors.New("connection refused")}
	lease := &Lease{Interface: inner, leadership: &leadership{clocks: newTwoClocks().read}}
	if lease.Update(t.Context(), ours()) == nil || lease.Create(t.Context(), ours()) == nil {
		t.Error("it would believe that it has the lease")
	}
}
