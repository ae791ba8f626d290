package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/leaderelection"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
)

// Lease is the lock of the leader's election, as controller-runtime makes it, which also notes all that becomes of it.
//
// A leader that cannot reach the API server is not told so: client-go would end the process, and with it the grants that are
// held until they can be stored. It is not surely the leader then, and so does nothing else. When the API server is back
// the renewal either succeeds, or shows that somebody else leads, which ends the process.
type Lease struct {
	resourcelock.Interface

	leadership *leadership
	events     *laterEvents
	cutOff     bool // the last renewal got no answer; of use to the election's goroutine alone
}

// NewLease makes the lock on the lease of that name; without a namespace it is in the pod's own.
func NewLease(cfg *rest.Config, namespace, name string, clocks Clocks) (*Lease, error) {
	events := &laterEvents{}
	// A copy, as what is made for the lock changes it.
	lock, err := leaderelection.NewResourceLock(rest.CopyConfig(cfg), events, leaderelection.Options{
		LeaderElection:          true,
		LeaderElectionID:        name,
		LeaderElectionNamespace: namespace,
		RenewDeadline:           RenewDeadline,
	})
	if err != nil {
		return nil, fmt.Errorf("make the lock for the leader's election: %w", err)
	}
	return &Lease{Interface: lock, leadership: &leadership{clocks: clocks}, events: events}, nil
}

// SurelyOurs reports whether nobody else can hold the lease now. It is quick and safe for concurrent use.
func (l *Lease) SurelyOurs() bool { return l.leadership.sure() }

// RecordWith has the election recorded in the events of the manager that was made with the lock, before it starts.
func (l *Lease) RecordWith(mgr ctrl.Manager) {
	l.events.EventRecorder = mgr.GetEventRecorderFor(l.Identity()) //nolint:staticcheck // what client-go's lock can use
}

// Get notes that somebody else holds the lease, or nobody.
func (l *Lease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	found, raw, err := l.Interface.Get(ctx)
	if apierrors.IsNotFound(err) || err == nil && found.HolderIdentity != l.Identity() {
		l.leadership.lose()
	}
	return found, raw, err //nolint:wrapcheck // client-go classifies it
}

// Create takes a lease that is not there.
func (l *Lease) Create(ctx context.Context, wanted resourcelock.LeaderElectionRecord) error {
	asked := l.leadership.clocks()
	err := l.Interface.Create(ctx, wanted)
	if err == nil {
		l.leadership.renew(asked)
	}
	return err //nolint:wrapcheck // client-go classifies it
}

// Update renews, takes or releases the lease. A renewal counts from before it was asked for; a release may take effect
// whatever its answer.
func (l *Lease) Update(ctx context.Context, wanted resourcelock.LeaderElectionRecord) error {
	if wanted.HolderIdentity != l.Identity() {
		l.leadership.lose()
		return l.Interface.Update(ctx, wanted) //nolint:wrapcheck // client-go classifies it
	}
	asked := l.leadership.clocks()
	err := l.Interface.Update(ctx, wanted)
	switch {
	case err == nil:
		l.leadership.renew(asked)
	case l.leadership.held() && undecided(err):
		if !l.cutOff {
			log.FromContext(ctx).Info("the API server does not renew the lease; without it nothing is begun", "error", err.Error())
		}
		l.cutOff = true
		return nil
	}
	l.cutOff = false
	return err //nolint:wrapcheck // client-go classifies it
}

// undecided reports whether the API server did not get to a decision about a request.
func undecided(err error) bool {
	var decided apierrors.APIStatus
	if !errors.As(err, &decided) {
		return true
	}
	code := decided.Status().Code
	return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}

// laterEvents stands for the event recorder of a manager: the lock needs one to be made, and the manager the lock.
type laterEvents struct {
	recorder.Provider // nil; the lock asks for nothing but what follows
	record.EventRecorder
}

// GetEventRecorderFor implements recorder.Provider.
func (l *laterEvents) GetEventRecorderFor(string) record.EventRecorder { return l }
