package session

import "time"

// verify puts the verification of the published token into a plan that leaves Secret Server alone. It comes after every
// grant: a grant that is due brings a new token, and one that failed tells enough of the server.
func (o Observation) verify(plan Plan, now time.Time) Plan {
	r := o.Record
	if plan.Action != Wait || o.VerifyInterval <= 0 || !o.verifiable(plan.Obstacle, now) {
		return plan
	}
	at := VerifyAt(r.IssuedAt, o.VerifyInterval, o.Seed, o.VerifyAfter)
	switch {
	case now.Before(at):
	case o.Busy, o.EndpointDown:
		// A free place wakes the session, and so does the server's return. If neither does, this one is left out.
		at = VerifyAt(r.IssuedAt, o.VerifyInterval, o.Seed, now)
	default:
		return Plan{Action: Verify, NextGrantAt: plan.NextGrantAt}
	}
	if plan.At.IsZero() || at.Before(plan.At) {
		plan.At = at
	}
	return plan
}

// verifiable reports whether the published token is believed valid, and Secret Server may be asked about it while that
// obstacle keeps the session from its next grant. A token is never shown to another server than its own.
func (o Observation) verifiable(why Obstacle, now time.Time) bool {
	r := o.Record
	switch why {
	case NoObstacle, CredentialsFault, CredentialsRefused:
		return r.HasToken() && r.EndedAt.IsZero() && now.Before(r.ExpiresAt) && r.Identity.Source == o.Wanted.Source
	case Conflict, TemplateFault, Suspended, EndpointFault, BackingOff, AwaitingCode, Busy, EndpointDown:
	}
	return false
}
