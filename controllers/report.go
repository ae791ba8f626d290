package controllers

import (
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// statusOf renders the whole status after a pass. It is pure: the same pass and plan give the same status.
func statusOf(p *pass, plan session.Plan, now time.Time) api.SecretServerSessionStatus {
	before := p.session.Status
	s := api.SecretServerSessionStatus{
		ObservedGeneration:        p.session.Generation,
		TokenIssuedAt:             before.TokenIssuedAt,
		TokenExpiresAt:            before.TokenExpiresAt,
		LastGrant:                 before.LastGrant,
		LastLoginAt:               before.LastLoginAt,
		LastRefreshAt:             before.LastRefreshAt,
		RefreshCount:              before.RefreshCount,
		RefreshesSinceLogin:       before.RefreshesSinceLogin,
		LoginCount:                before.LoginCount,
		TargetName:                before.TargetName,
		NextRefreshAt:             second(plan.NextGrantAt),
		LastHandledRefreshRequest: p.handled,
	}
	if plan.Obstacle == session.Busy || plan.Action != session.Wait {
		// Waiting for one's turn is no news: a write per wait would only make the queue longer. And a pass that was cut
		// short has not done what the spec says.
		s.NextRefreshAt, s.ObservedGeneration = before.NextRefreshAt, before.ObservedGeneration
	}
	switch {
	case p.published:
		describeToken(&s, p)
	case p.target.version == "" && p.conflict == nil && len(p.oldTargets) == 0:
		// The target is not there, so there is no token to describe.
		s.TokenIssuedAt, s.TokenExpiresAt, s.TargetName = nil, nil, ""
	}
	if p.failure.count > 0 {
		s.ConsecutiveFailures = p.failure.count
		s.LastFailureAt = second(p.failure.at)
		s.LastFailureReason = p.failure.reason
	}
	s.Conditions = conditionsOf(p, plan, s, now)
	return s
}

// describeToken tells of the token in the target.
func describeToken(s *api.SecretServerSessionStatus, p *pass) {
	r := p.state.record
	s.TokenIssuedAt, s.TokenExpiresAt = second(r.IssuedAt), second(r.ExpiresAt)
	s.LastGrant = api.GrantType(r.Grant)
	s.LastLoginAt, s.LastRefreshAt = second(r.LastLoginAt), second(r.LastRefreshAt)
	s.RefreshCount, s.LoginCount, s.RefreshesSinceLogin = r.Refreshes, r.Logins, r.RefreshesSinceLogin
	s.TargetName = p.session.TargetName()
}

// second is a time as the status keeps it, in whole seconds; nil for none.
func second(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	truncated := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &truncated
}

// conditionsOf renders the conditions; those of the last status lend their transition times.
func conditionsOf(p *pass, plan session.Plan, s api.SecretServerSessionStatus, now time.Time) []metav1.Condition {
	var conditions []metav1.Condition
	set := func(kind string, status metav1.ConditionStatus, what fault) {
		since := metav1.NewTime(now.UTC().Truncate(time.Second))
		if old := meta.FindStatusCondition(p.session.Status.Conditions, kind); old != nil && old.Status == status {
			since = old.LastTransitionTime
		}
		conditions = append(conditions, metav1.Condition{
			Type: kind, Status: status, Reason: what.reason, Message: what.message,
			ObservedGeneration: p.session.Generation, LastTransitionTime: since,
		})
	}
	stalled, reconciling := stalledBy(p, plan), reconcilingBy(p, plan)
	if stalled != nil {
		reconciling = nil
	}
	if ready := readiness(p, plan, s, stalled, reconciling, now); ready.reason == api.ReasonTokenCurrent {
		set(api.ConditionReady, metav1.ConditionTrue, ready)
	} else {
		set(api.ConditionReady, metav1.ConditionFalse, ready)
	}
	if reconciling != nil {
		set(api.ConditionReconciling, metav1.ConditionTrue, *reconciling)
	}
	if stalled != nil {
		set(api.ConditionStalled, metav1.ConditionTrue, *stalled)
	}
	if refreshable := refreshability(p.state.record, now); refreshable.reason == api.ReasonRefreshTokenHeld {
		set(api.ConditionRefreshable, metav1.ConditionTrue, refreshable)
	} else if refreshable.reason != "" {
		set(api.ConditionRefreshable, metav1.ConditionFalse, refreshable)
	}
	return conditions
}

// holdsToken reports whether the target holds a token that the operator believes valid.
func holdsToken(p *pass, s api.SecretServerSessionStatus, now time.Time) bool {
	return p.target.intact && s.TokenExpiresAt != nil && now.Before(s.TokenExpiresAt.Time) && !endedEarly(p, s, now)
}

func readiness(p *pass, plan session.Plan, s api.SecretServerSessionStatus, stalled, reconciling *fault, now time.Time) fault {
	if holdsToken(p, s, now) {
		return fault{api.ReasonTokenCurrent, fmt.Sprintf("Secret %q holds a valid token.%s", p.session.TargetName(), outlook(p, plan, stalled, reconciling))}
	}
	why := unreadiness(plan, s, stalled, reconciling, now)
	if endedEarly(p, s, now) {
		return endedFault(why)
	}
	return why
}

// outlook says of a session that is ready what may end that.
func outlook(p *pass, plan session.Plan, stalled, reconciling *fault) string {
	switch {
	case plan.Obstacle == session.Suspended:
		return " It is not renewed while spec.suspend is true."
	case stalled != nil:
		return " A person must act: see the condition Stalled."
	case reconciling != nil && p.failure.count > 0:
		return " Its renewal fails and is retried: see the condition Reconciling."
	}
	return ""
}

// unreadiness says why the session is not ready.
func unreadiness(plan session.Plan, s api.SecretServerSessionStatus, stalled, reconciling *fault, now time.Time) fault {
	switch {
	case stalled != nil:
		return *stalled
	case plan.Obstacle == session.Suspended:
		return fault{api.ReasonSuspended, "The session is suspended and holds no valid token. Set spec.suspend to false to log in."}
	case reconciling != nil && reconciling.reason != api.ReasonPending:
		return *reconciling
	case s.TokenExpiresAt != nil && !now.Before(s.TokenExpiresAt.Time):
		return fault{api.ReasonTokenExpired, "The token in the target has expired. Another one is on its way; if it does not come, see the operator's log."}
	case reconciling != nil:
		return *reconciling
	}
	return fault{api.ReasonPending, "No token has been had yet. The first login is on its way; if it does not come, see the operator's log."}
}

// stalledBy is what a person must mend.
func stalledBy(p *pass, plan session.Plan) *fault {
	switch {
	case p.conflict != nil:
		return p.conflict
	case p.templateFault != nil:
		return p.templateFault
	case p.endpointFault != nil:
		return p.endpointFault
	case p.credentialsFault != nil:
		return p.credentialsFault
	case plan.Obstacle == session.CredentialsRefused:
		return p.rejection()
	}
	return nil
}

// rejection tells of refused credentials what is known: that they were refused, or that the account is spared.
func (p *pass) rejection() *fault {
	ref := p.session.Spec.Credentials.SecretRef.Name
	if p.login != nil && p.login.refusedAt.IsZero() {
		return &fault{api.ReasonCredentialsRejected, fmt.Sprintf(
			"Several logins of this account failed or were not answered within the hour; the operator waits, so "+
				"that Secret Server does not lock the account. Check Secret %q and the account.",
			ref)}
	}
	still := ""
	if p.published && p.state.record.HasToken() && p.state.record.EndedAt.IsZero() {
		still = " The token that was had before stays in the target until it expires."
	}
	what, barred := "user name or password", "locked, disabled, two-factor"
	if p.session.Spec.Credentials.OTPSeedKey != "" {
		what, barred = "user name, password or OTP seed", "locked, disabled"
	}
	return &fault{api.ReasonCredentialsRejected, fmt.Sprintf(
		"Secret Server refused the %s in Secret %q, or the account may not log in by API "+
			"(%s, or reserved for application accounts). Correct the Secret; if the "+
			"account itself was mended, set the annotation %s to a new value.%s",
		what, ref, barred, api.AnnotationRefreshRequested, still)}
}

// reconcilingBy is what goes on or is retried without a person.
func reconcilingBy(p *pass, plan session.Plan) *fault {
	switch {
	case p.failure.count > 0 && p.failure.reason != api.ReasonCredentialsRejected && plan.Obstacle != session.Suspended:
		message := p.failure.message
		if message == "" {
			message = p.earlierMessage(p.failure.reason)
		}
		return &fault{p.failure.reason, message}
	case p.hindrance != nil:
		return p.hindrance
	case plan.Obstacle == session.AwaitingCode:
		return &fault{api.ReasonPending, "The present one-time code of the account has been used; the login is made with the next one, within half a minute."}
	case plan.Obstacle == session.EndpointDown:
		return p.endpointDown
	case plan.Action != session.Wait || plan.Obstacle == session.Busy:
		if len(p.session.Status.Conditions) == 0 {
			return &fault{api.ReasonPending, "Work is in progress, or waits for other sessions of the same account or Secret Server."}
		}
		return p.earlier()
	}
	return nil
}

// forbidden notes that the API server does not let the operator do its work. Passing trouble is retried without a word.
func (p *pass) forbidden(err error) {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		p.hindrance = &fault{api.ReasonPending, "The Kubernetes API does not let the operator read or write what it needs (permissions, quota, or a " +
			"namespace that is going away); the operator's log has the request. It is retried."}
	}
}

// earlier is what the last status said was going on.
func (p *pass) earlier() *fault {
	old := meta.FindStatusCondition(p.session.Status.Conditions, api.ConditionReconciling)
	if old == nil {
		return nil
	}
	return &fault{old.Reason, old.Message}
}

// earlierMessage is what the last status said of a failure that is still being retried.
func (p *pass) earlierMessage(reason string) string {
	if old := p.earlier(); old != nil && old.reason == reason {
		return old.message
	}
	return "The last attempt failed. It is retried."
}

func refreshability(r session.Record, now time.Time) fault {
	if !r.HasToken() {
		return fault{}
	}
	switch r.Refresh {
	case session.Held:
		if now.Before(r.RefreshExpiresAt) {
			return fault{api.ReasonRefreshTokenHeld, "The next renewal uses the refresh token."}
		}
		return fault{api.ReasonRefreshTokenExpired, "The refresh token has expired; the next renewal is a login."}
	case session.NotIssued:
		return fault{api.ReasonRefreshTokenNotIssued, "Secret Server issued no refresh token, so each renewal is a login. To have refreshes instead, enable " +
			"refresh tokens for web services, and an API session timeout that is not unlimited (Admin > Configuration > General)."}
	case session.LimitReached:
		return fault{api.ReasonRefreshLimitReached, "The refresh limit of this login is reached (Maximum Token Refreshes Allowed); the next renewal is a " +
			"login."}
	case session.Claimed:
	}
	return fault{api.ReasonRefreshTokenSpent, "The refresh token may have been used without an answer, so it is not used again; the next renewal " +
		"is a login."}
}
