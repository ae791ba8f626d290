package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	status := statusOf(p, plan, p.now())
	if !sameStatus(status, p.session.Status) {
		if err := r.writeStatus(ctx, p, status); err != nil {
			return err
		}
	}
	for _, e := range transitions(p, status) {
		r.events.Eventf(p.session, nil, e.kind, e.reason, e.action, "%s", clip(e.note))
		log.FromContext(ctx).Info(e.note, "event", e.reason)
	}
	return nil
}

func (r *Reconciler) writeStatus(ctx context.Context, p *pass, status api.SecretServerSessionStatus) error {
	applied := apiapply.SecretServerSession(p.session.Name, p.session.Namespace).
		WithUID(p.session.UID). // never the status of a later object of the same name
		WithStatus(statusApply(&status))
	err := r.live.Status().Apply(ctx, applied, client.FieldOwner(api.ManagedBy), client.ForceOwnership)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // deleted meanwhile, and nobody reads it
	case err != nil:
		return fmt.Errorf("write the status: %w", err)
	}
	r.expectations.wrote(object{sessionObject, p.name()}, ptr.Deref(applied.ResourceVersion, ""), func() string {
		cached := &api.SecretServerSession{}
		if err := r.cache.Get(ctx, p.name(), cached); err != nil {
			return ""
		}
		return cached.ResourceVersion
	})
	return nil
}

// sameStatus compares two statuses, whatever order the API server gave the conditions.
func sameStatus(a, b api.SecretServerSessionStatus) bool {
	byType := func(x, y metav1.Condition) int { return strings.Compare(x.Type, y.Type) }
	a.Conditions = slices.SortedFunc(slices.Values(a.Conditions), byType)
	b.Conditions = slices.SortedFunc(slices.Values(b.Conditions), byType)
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
	for field, value := range map[**string]*string{
		&applied.LastFailureReason:         &s.LastFailureReason,
		&applied.LastHandledRefreshRequest: &s.LastHandledRefreshRequest,
		&applied.TargetName:                &s.TargetName,
	} {
		if *value != "" {
			*field = value
		}
	}
	for _, c := range s.Conditions {
		applied.Conditions = append(applied.Conditions, *metav1apply.Condition().
			WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).
			WithObservedGeneration(c.ObservedGeneration).WithLastTransitionTime(c.LastTransitionTime))
	}
	return applied
}

// transition is an event: something that a person may want to know, told once.
type transition struct {
	kind, reason, action, note string
}

// transitions compares the status before and after a pass. It is pure.
func transitions(p *pass, after api.SecretServerSessionStatus) []transition {
	before := p.session.Status
	var told []transition
	tell := func(kind, reason, action, note string) { told = append(told, transition{kind, reason, action, note}) }
	if after.LoginCount > before.LoginCount {
		note := "Logged in with the password."
		if p.notes.loginReason != "" {
			note = fmt.Sprintf("Logged in with the password: %s.", p.notes.loginReason)
		}
		tell(corev1.EventTypeNormal, api.EventLoggedIn, "Login", note)
	}
	if p.notes.repaired {
		tell(corev1.EventTypeNormal, api.EventTargetRepaired, "Publish",
			fmt.Sprintf("Secret %q had been changed or deleted; it was restored from stored state.", p.session.TargetName()))
	}
	if newReason(before, after, api.ConditionStalled, api.ReasonTargetConflict) {
		tell(corev1.EventTypeWarning, api.EventTargetConflict, "Publish", p.conflict.message)
	}
	if newReason(before, after, api.ConditionStalled, api.ReasonCredentialsRejected) {
		tell(corev1.EventTypeWarning, api.EventCredentialsRejected, "Login",
			meta.FindStatusCondition(after.Conditions, api.ConditionStalled).Message)
	}
	if p.state.record.HasToken() && before.ConsecutiveFailures == 0 && after.ConsecutiveFailures > 0 &&
		after.LastFailureReason != api.ReasonCredentialsRejected {
		tell(corev1.EventTypeWarning, api.EventRefreshFailed, "Renew", p.failure.message)
	}
	if meta.IsStatusConditionTrue(before.Conditions, api.ConditionReady) && expired(after) {
		tell(corev1.EventTypeWarning, api.EventTokenExpired, "Renew", "The token in the target expired before another could be had.")
	}
	return told
}

// longestNote bounds an event's note, as the API server does.
const longestNote = 1024

// clip shortens a note that the API server would refuse; names and URLs of maximal length make one.
func clip(note string) string {
	if len(note) <= longestNote {
		return note
	}
	const ellipsis = "..."
	return strings.ToValidUTF8(note[:longestNote-len(ellipsis)], "") + ellipsis
}

// newReason reports whether a condition has come to stand for a reason.
func newReason(before, after api.SecretServerSessionStatus, condition, reason string) bool {
	is := func(s api.SecretServerSessionStatus) bool {
		c := meta.FindStatusCondition(s.Conditions, condition)
		return c != nil && c.Reason == reason
	}
	return is(after) && !is(before)
}

// expired reports whether the status tells of a token whose time is over.
func expired(s api.SecretServerSessionStatus) bool {
	ready := meta.FindStatusCondition(s.Conditions, api.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionFalse && s.TokenExpiresAt != nil &&
		!ready.LastTransitionTime.Time.Before(s.TokenExpiresAt.Time)
}
