package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1apply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	apiapply "tokensync.dev/secret-server-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// report writes the status, if it changed, and then tells of transitions.
func (r *Reconciler) report(ctx context.Context, p *pass, plan session.Plan) error {
	if p.unheard(plan) {
		return nil
	}
	status := statusOf(p, plan, p.now())
	if !sameStatus(status, p.session.Status) {
		if err := r.writeStatus(ctx, p, status); err != nil {
			return err
		}
	}
	told := transitions(p, status)
	for _, e := range told {
		p.tell(ctx, e)
	}
	if !p.notes.ended { // noteEnd has told of it
		logTurn(ctx, p.session.Status, status, told)
	}
	return nil
}

// quietStart is how long a new session may wait for its turn before its status tells so.
const quietStart = time.Minute

// unheard reports whether all that there is to tell is that a new session waits for its turn, and has not waited long. When
// thousands are made at once, telling that of each would be the longer part of what they wait for.
func (p *pass) unheard(plan session.Plan) bool {
	return plan.Obstacle == session.Busy && len(p.session.Status.Conditions) == 0 && p.failure.count == 0 &&
		p.now().Before(p.session.CreationTimestamp.Add(quietStart))
}

// tell has an event written, and a line in the log.
func (p *pass) tell(ctx context.Context, e transition) {
	p.events.announce(p.session, e)
	log.FromContext(ctx).Info(e.note, "event", e.reason)
}

// writeStatus applies the status to the object that was observed, and never to a later one of the same name: the API
// server compares no UID here, so the resource version has to tell them apart.
func (r *Reconciler) writeStatus(ctx context.Context, p *pass, status api.SecretServerSessionStatus) error {
	version := p.session.ResourceVersion
	for {
		applied := apiapply.SecretServerSession(p.session.Name, p.session.Namespace).
			WithResourceVersion(version).
			// A copy: the answer is written into it, and what is left of the last status belongs to the cache.
			WithStatus(statusApply(status.DeepCopy()))
		err := r.live.Status().Apply(ctx, applied, client.FieldOwner(api.ManagedBy), client.ForceOwnership)
		switch {
		case err == nil:
			r.wroteSession(ctx, p, ptr.Deref(applied.ResourceVersion, ""))
			return nil
		case apierrors.IsNotFound(err):
			return nil // deleted meanwhile, and nobody reads it
		case !apierrors.IsConflict(err):
			return fmt.Errorf("write the status: %w", err)
		}
		// Somebody edited the object meanwhile, or it is another one.
		current := &api.SecretServerSession{}
		if err := r.live.Get(ctx, p.name(), current); err != nil {
			return client.IgnoreNotFound(err)
		}
		switch {
		case current.UID != p.session.UID:
			return nil // its creation brings it to the queue
		case current.ResourceVersion == version:
			return fmt.Errorf("write the status: %w", err) // something else than an edit is in the way
		case !sameStatus(current.Status, p.session.Status):
			return errReported
		}
		version = current.ResourceVersion
	}
}

// errReported means that another status than the observed one stands there by now. It tells of something newer than this
// pass knows: another replica took over, or the answer to our own last write was lost.
var errReported = errors.New("the status has changed meanwhile")

// wroteSession notes a status write, so that no pass starts from a cache that lacks it.
func (r *Reconciler) wroteSession(ctx context.Context, p *pass, version string) {
	r.expectations.wrote(object{sessionObject, p.name()}, version, func() string {
		cached := &api.SecretServerSession{}
		if err := r.cache.Get(ctx, p.name(), cached); err != nil {
			return ""
		}
		return cached.ResourceVersion
	})
}

// sameStatus compares two statuses, whatever order the API server gave the conditions.
func sameStatus(a, b api.SecretServerSessionStatus) bool {
	if len(a.Conditions) != len(b.Conditions) {
		return false
	}
	for _, c := range a.Conditions {
		other := meta.FindStatusCondition(b.Conditions, c.Type)
		if other == nil || !c.LastTransitionTime.Equal(&other.LastTransitionTime) {
			return false
		}
		c.LastTransitionTime = other.LastTransitionTime
		if c != *other {
			return false
		}
	}
	a.Conditions, b.Conditions = nil, nil
	return equality.Semantic.DeepEqual(a, b)
}

func statusApply(s *api.SecretServerSessionStatus) *apiapply.SecretServerSessionStatusApplyConfiguration {
	applied := &apiapply.SecretServerSessionStatusApplyConfiguration{
		ObservedGeneration:  &s.ObservedGeneration,
		TokenIssuedAt:       s.TokenIssuedAt,
		TokenExpiresAt:      s.TokenExpiresAt,
		NextRefreshAt:       s.NextRefreshAt,
		LastLoginAt:         s.LastLoginAt,
		LastRefreshAt:       s.LastRefreshAt,
		RefreshCount:        &s.RefreshCount,
		RefreshesSinceLogin: &s.RefreshesSinceLogin,
		LoginCount:          &s.LoginCount,
		ConsecutiveFailures: &s.ConsecutiveFailures,
		LastFailureAt:       s.LastFailureAt,
	}
	if s.LastGrant != "" {
		applied.LastGrant = &s.LastGrant
	}
	if s.LastFailureReason != "" {
		applied.LastFailureReason = &s.LastFailureReason
	}
	if s.LastHandledRefreshRequest != "" {
		applied.LastHandledRefreshRequest = &s.LastHandledRefreshRequest
	}
	if s.TargetName != "" {
		applied.TargetName = &s.TargetName
	}
	for _, c := range s.Conditions {
		applied.Conditions = append(applied.Conditions, *metav1apply.Condition().
			WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).
			WithObservedGeneration(c.ObservedGeneration).WithLastTransitionTime(c.LastTransitionTime))
	}
	return applied
}
