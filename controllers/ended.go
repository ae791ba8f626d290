package controllers

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// endedEarly reports whether Secret Server said that the token in the target is dead. A record tells of its own token
// alone. If the target still holds an older one, the pass or the last status tells: what is not ready, though intact
// and in time, was ended, and only a new token makes it ready again.
func endedEarly(p *pass, s api.SecretServerSessionStatus, now time.Time) bool {
	if p.published {
		return !p.state.record.EndedAt.IsZero()
	}
	inTime := p.target.intact && s.TokenExpiresAt != nil && now.Before(s.TokenExpiresAt.Time)
	return p.target.ended || (inTime && !meta.IsStatusConditionTrue(p.session.Status.Conditions, api.ConditionReady))
}

// endedFault says that the token was ended, and what keeps the session from another one, if anything does.
func endedFault(why fault) fault {
	const ended = "Secret Server no longer takes the token in the target, though its time was not over. It may have been ended by " +
		"an administrator or a password change, or the server was restored from a backup."
	if why.reason == api.ReasonPending || why.reason == api.ReasonTokenExpired {
		return fault{api.ReasonTokenExpired, ended + " Another one is on its way."}
	}
	return fault{why.reason, ended + " " + why.message}
}

// tellOfEnd gives the event of a login the reason that its token was ended.
func (p *pass) tellOfEnd() {
	if p.state.record.EndedAt.IsZero() {
		return
	}
	const ended = "Secret Server no longer took the token, though its time was not over"
	if p.notes.loginReason == "" {
		p.notes.loginReason = ended
		return
	}
	p.notes.loginReason = ended + ", and " + p.notes.loginReason
}
