package controllers

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// transition is an event: something that a person may want to know, told once.
type transition struct {
	kind, reason, action, note string
}

// warns reports whether somebody may have to act.
func (t transition) warns() bool { return t.kind == corev1.EventTypeWarning }

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
	if meta.IsStatusConditionTrue(before.Conditions, api.ConditionReady) && expired(p, after) {
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
	return hasReason(after, condition, reason) && !hasReason(before, condition, reason)
}

// hasReason reports whether a condition stands for a reason.
func hasReason(s api.SecretServerSessionStatus, condition, reason string) bool {
	c := meta.FindStatusCondition(s.Conditions, condition)
	return c != nil && c.Reason == reason
}

// expired reports whether the session is not ready because the time of its token is over.
func expired(p *pass, s api.SecretServerSessionStatus) bool {
	return !meta.IsStatusConditionTrue(s.Conditions, api.ConditionReady) &&
		s.TokenExpiresAt != nil && !p.now().Before(s.TokenExpiresAt.Time)
}
