package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	metav1apply "k8s.io/client-go/applyconfigurations/meta/v1"
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

const (
	// quietStart is how long a new session may wait for its turn before its status tells so.
	quietStart = time.Minute
	// waitsTold is how many new sessions a second may tell so. Each costs a request, and when thousands are made at once, that of
	// each would be a good part of what they wait for.
	waitsTold = 5
)

// unheard reports whether all that there is to tell is that a new session waits for its turn, and has not waited long, or enough
// others have told the same just now. It may tell at its next pass, if not too many others do then.
func (p *pass) unheard(plan session.Plan) bool {
	if plan.Obstacle != session.Busy || !p.untold() {
		return false
	}
	return p.now().Before(p.quietUntil()) || !p.waits.TryAccept()
}

// untold reports whether nothing was told of the session yet, and nothing has gone wrong.
func (p *pass) untold() bool { return len(p.session.Status.Conditions) == 0 && p.failure.count == 0 }

// quietUntil is how long a new session waits without a word.
func (p *pass) quietUntil() time.Time { return p.session.CreationTimestamp.Add(quietStart) }

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
		written, err := r.applyStatus(ctx, p.name(), version, &status)
		switch {
		case err == nil:
			r.wroteSession(ctx, p, written)
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

// applyStatus applies the status to a version of the session, and returns the version that this made. No more is asked for as the
// answer than metadata: the rest is known, and would have to be read as JSON.
func (r *Reconciler) applyStatus(ctx context.Context, name types.NamespacedName, version string, status *api.SecretServerSessionStatus) (string, error) {
	applied := apiapply.SecretServerSession(name.Name, name.Namespace).WithResourceVersion(version).WithStatus(statusApply(status))
	body, err := json.Marshal(applied)
	if err != nil {
		return "", fmt.Errorf("encode the status: %w", err)
	}
	answer := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	answer.SetGroupVersionKind(api.SchemeGroupVersion.WithKind(api.Kind))
	err = r.live.Status().Patch(ctx, answer, client.RawPatch(types.ApplyYAMLPatchType, body), client.FieldOwner(api.ManagedBy), client.ForceOwnership)
	return answer.ResourceVersion, err //nolint:wrapcheck // the caller tells apart what it is
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

// sameStatus compares two statuses, whatever order the API server gave the conditions. Each pass does that, and reflection would take
// longer than all else that it decides.
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
	return sameTimes(a, b) && a.ObservedGeneration == b.ObservedGeneration && a.LastGrant == b.LastGrant &&
		a.RefreshCount == b.RefreshCount && a.RefreshesSinceLogin == b.RefreshesSinceLogin && a.LoginCount == b.LoginCount &&
		a.ConsecutiveFailures == b.ConsecutiveFailures && a.LastFailureReason == b.LastFailureReason &&
		a.LastHandledRefreshRequest == b.LastHandledRefreshRequest && a.TargetName == b.TargetName
}

func sameTimes(a, b api.SecretServerSessionStatus) bool {
	return a.TokenIssuedAt.Equal(b.TokenIssuedAt) && a.TokenExpiresAt.Equal(b.TokenExpiresAt) && a.NextRefreshAt.Equal(b.NextRefreshAt) &&
		a.LastLoginAt.Equal(b.LastLoginAt) && a.LastRefreshAt.Equal(b.LastRefreshAt) && a.LastFailureAt.Equal(b.LastFailureAt)
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
