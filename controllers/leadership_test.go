package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// lock is a lease that a test holds in its hand. Its methods run what the test says.
type lock struct {
	resourcelock.Interface // nil: nothing else is to be called

	holder string
	err    error
	during func() // while a request is under way
}

func (*lock) Identity() string { return "me" }

func (l *lock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &resourcelock.LeaderElectionRecord{HolderIdentity: l.holder}, nil, l.err
}

func (l *lock) Create(context.Context, resourcelock.LeaderElectionRecord) error { return l.write() }
func (l *lock) Update(context.Context, resourcelock.LeaderElectionRecord) error { return l.write() }

func (l *lock) write() error {
	if l.during != nil {
		l.during()
	}
	return l.err
}

func ours() resourcelock.LeaderElectionRecord {
	return resourcelock.LeaderElectionRecord{HolderIdentity: "me"}
}

func TestALeaseIsSurelyOursForAsLongAsNobodyElseCanHaveIt(t *testing.T) {
	for _, test := range []struct {
		name         string
		wall, steady time.Duration // since the renewal
		want         bool
	}{
		{"just renewed", 0, 0, true},
		{"before the deadline", sureFor - 1, sureFor - 1, true},
		{"at the deadline", sureFor, sureFor, false},
		{"stopped for a minute", time.Minute, time.Minute, false},
		{"machine suspended for a minute", time.Minute, 0, false},
		{"wall clock set forward by an hour", time.Hour, time.Second, false},
		{"wall clock set back by an hour", -time.Hour, time.Second, false},
		{"suspended, and the wall clock set back meanwhile", -time.Second, sureFor + time.Minute, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			clocks := newTwoClocks()
			lease := &Lease{Interface: &lock{}, leadership: &leadership{clocks: clocks.read}}
			if err := lease.Update(t.Context(), ours()); err != nil {
				t.Fatal(err)
			}
			clocks.advance(test.wall, test.steady)
			if got := lease.SurelyOurs(); got != test.want {
				t.Errorf("surely ours: %t, want %t", got, test.want)
			}
		})
	}
}

func TestWhatHappensToTheLease(t *testing.T) {
	gone := apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, "lease")
	for _, test := range []struct {
		name string
		do   func(context.Context, *Lease, *lock) error
		want bool
	}{
		{"nothing", func(context.Context, *Lease, *lock) error { return nil }, true},
		{"a renewal that somebody else was faster with", func(ctx context.Context, l *Lease, inner *lock) error {
			inner.err = apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "lease", nil)
			if l.Update(ctx, ours()) == nil {
				return errors.New("the election is not told of a conflict")
			}
			return nil
		}, true}, // until it is read
		{"a renewal that fails", func(ctx context.Context, l *Lease, inner *lock) error {
			inner.err = errors.New("timeout")
			l.Update(ctx, ours()) //nolint:errcheck // it is the test's
			return nil
		}, true},
		{"it is read, and is ours", func(ctx context.Context, l *Lease, inner *lock) error {
			inner.holder = "me"
			_, _, err := l.Get(ctx)
			return err
		}, true},
		{"it cannot be read", func(ctx context.Context, l *Lease, inner *lock) error {
			inner.err = errors.New("timeout")
			l.Get(ctx) //nolint:errcheck // it is the test's
			return nil
		}, true},
		{"somebody else has it", func(ctx context.Context, l *Lease, inner *lock) error {
			inner.holder = "another"
			_, _, err := l.Get(ctx)
			return err
		}, false},
		{"somebody has deleted it", func(ctx context.Context, l *Lease, inner *lock) error {
			inner.err = gone
			l.Get(ctx) //nolint:errcheck // it is the test's
			return nil
		}, false},
		{"it is made anew", func(ctx context.Context, l *Lease, inner *lock) error {
			inner.err = gone
			l.Get(ctx) //nolint:errcheck // it is the test's
			inner.err = nil
			return l.Create(ctx, ours())
		}, true},
		{"it is released", func(ctx context.Context, l *Lease, _ *lock) error {
			return l.Update(ctx, resourcelock.LeaderElectionRecord{})
		}, false},
		{"it is released, and the answer is lost", func(ctx context.Context, l *Lease, inner *lock) error {
			inner.err = errors.New("timeout")
			l.Update(ctx, resourcelock.LeaderElectionRecord{}) //nolint:errcheck // it is the test's
			return nil
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inner := &lock{}
			lease := &Lease{Interface: inner, leadership: &leadership{clocks: newTwoClocks().read}}
			if lease.SurelyOurs() {
				t.Fatal("a lease that was never taken is surely ours")
			}
			if err := lease.Update(t.Context(), ours()); err != nil {
				t.Fatal(err)
			}
			if err := test.do(t.Context(), lease, inner); err != nil {
				t.Fatal(err)
			}
			if got := lease.SurelyOurs(); got != test.want {
				t.Errorf("surely ours: %t, want %t", got, test.want)
			}
		})
	}
}

func TestARenewalCountsFromBeforeItWasAskedFor(t *testing.T) {
	clocks := newTwoClocks()
	inner := &lock{during: func() { clocks.pass(sureFor) }}
	lease := &Lease{Interface: inner, leadership: &leadership{clocks: clocks.read}}
	if err := lease.Update(t.Context(), ours()); err != nil {
		t.Fatal(err)
	}
	if lease.SurelyOurs() {
		t.Error("a standby that saw the renewal at once may have the lease before we stop")
	}
}

// The figures that the comments and the handbook give.
func TestTheElectionsTimesFitTogether(t *testing.T) {
	if longest := RetryPeriod.Seconds() * (1 + leaderelection.JitterFactor); longest > 1.2 {
		t.Errorf("a standby may look %.2f s after a release: too late to be at work within 2 s", longest)
	}
	if sureFor > RenewDeadline || RenewDeadline+5*time.Second > LeaseDuration {
		t.Error("a leader may be sure for too long")
	}
}
