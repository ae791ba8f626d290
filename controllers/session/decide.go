package session

import "time"

// Action is one step. The caller takes it, observes again, and asks again.
type Action string

const (
	// Wait: nothing to do until Plan.At, or until something changes.
	Wait Action = "Wait"
	// Store writes a grant that is held in memory alone: the only copy of a new token.
	Store Action = "Store"
	// Publish writes the stored token into the target.
	Publish Action = "Publish"
	// RemoveOldTarget deletes the Secret that held the token under an earlier target name.
	RemoveOldTarget Action = "RemoveOldTarget"
	// ReadCredentials looks at the credentials, to compare them with those of the stored session or to log in.
	ReadCredentials Action = "ReadCredentials"
	// Adopt notes that the changed identity stands for the same credentials.
	Adopt Action = "Adopt"
	// Refuse notes that the credentials are known to be refused, so that no session tries them again.
	Refuse Action = "Refuse"
	// Refresh claims and spends the refresh token.
	Refresh Action = "Refresh"
	// Login runs the password grant.
	Login Action = "Login"
	// AddFinalizer makes sure that the object cannot go before its token is revoked.
	AddFinalizer Action = "AddFinalizer"
	// RemoveFinalizer lets the object go.
	RemoveFinalizer Action = "RemoveFinalizer"
	// Revoke ends the tokens of an object on its way out: one attempt.
	Revoke Action = "Revoke"
	// RevokeFormer ends the token that another has replaced, if it may: one attempt. Then the token is forgotten.
	RevokeFormer Action = "RevokeFormer"
	// Verify asks Secret Server whether it still takes the published token.
	Verify Action = "Verify"
)

// Obstacle is what keeps a session from its next grant while the plan is to wait.
type Obstacle string

const (
	// NoObstacle: the token is current and not due, or a step is being taken.
	NoObstacle Obstacle = ""
	// Conflict: the target or the state Secret belongs to somebody else.
	Conflict Obstacle = "Conflict"
	// TemplateFault: what the target is to hold cannot be rendered, so a new token would have no place.
	TemplateFault Obstacle = "TemplateFault"
	// Suspended by the user.
	Suspended Obstacle = "Suspended"
	// EndpointFault: the endpoint is not allowed, or its CA bundle is unusable.
	EndpointFault Obstacle = "EndpointFault"
	// CredentialsFault: the credentials are missing or unusable.
	CredentialsFault Obstacle = "CredentialsFault"
	// CredentialsRefused: Secret Server refused these credentials.
	CredentialsRefused Obstacle = "CredentialsRefused"
	// BackingOff after a failure.
	BackingOff Obstacle = "BackingOff"
	// AwaitingCode: the present one-time code has been used, and the next one is not there yet.
	AwaitingCode Obstacle = "AwaitingCode"
	// Busy: another session is logging in to the same account, or the endpoint has as many requests as it may.
	Busy Obstacle = "Busy"
	// EndpointDown: Secret Server is known to be down, and one session at a time asks for all.
	EndpointDown Obstacle = "EndpointDown"
)

// Plan is the next step.
type Plan struct {
	Action   Action
	Obstacle Obstacle
	// At is when to ask again, for Wait; zero: only when something changes. With Busy it is now, and the caller waits
	// for its turn.
	At time.Time
	// NextGrantAt is when the next refresh or login is planned; zero: not before something changes.
	NextGrantAt time.Time
}

// Observation is what is known of a session at the start of a step.
type Observation struct {
	// Deleting: the object is on its way out.
	Deleting bool
	// Suspended: make no calls to Secret Server.
	Suspended bool
	// Revoking: end tokens that are no longer needed. Finalizer: the object bears ours.
	Revoking, Finalizer bool
	// Revoked: the attempt to revoke the tokens of an object on its way out was made.
	Revoked bool
	// LetGoAt is when an object on its way out is let go though its turn to revoke has not come.
	LetGoAt time.Time
	// Seed spreads sessions over time; it is stable for the object's life.
	Seed string
	// RefreshPercent of the lifetime after which to renew.
	RefreshPercent int
	// RenewalRequested: the user asked for a renewal that was not yet acted on.
	RenewalRequested bool
	// Wanted is the identity that the spec and the credentials Secret have now.
	Wanted Identity

	// Conflict, TemplateFault, EndpointFault and CredentialsFault are obstacles found while observing; a TemplateFault also
	// while publishing.
	Conflict, TemplateFault, EndpointFault, CredentialsFault bool

	// Unstored: a grant is held in memory and not yet stored.
	Unstored bool
	// Record is what is stored; the zero Record if nothing is, or nothing that can be read.
	Record Record
	// Published: the target is intact and holds the token of Record.
	Published bool
	// Told: the status tells of the token of Record.
	Told bool
	// TargetExpiresAt is when the token in the target expires, which may be an older one than that of Record; zero: the
	// target holds none.
	TargetExpiresAt time.Time
	// OldTarget: a Secret of an earlier target name is still there.
	OldTarget bool

	// RetryAt is when to try again after a failure; zero: the last attempt did not fail, or what it failed with has
	// changed since.
	RetryAt time.Time
	// RefusedRetry is how long after a refusal the same credentials may be tried again; zero: never.
	RefusedRetry time.Duration

	// VerifyInterval is the longest time between two verifications of the token; zero: it is never verified.
	VerifyInterval time.Duration
	// VerifyAfter is the moment that the next verification is planned from: that of the last one, or when the token was
	// first seen, or the end of a pause that Secret Server asked for.
	VerifyAfter time.Time

	// Inspected: the credentials were read in this pass, and the next four fields hold.
	Inspected bool
	// SameCredentials as those that began the chain of Record: the same base URL, domain, user and password.
	SameCredentials bool
	// RefusedAt is when Secret Server refused these credentials, to this or to any other session; zero: it did not.
	RefusedAt time.Time
	// LoginHeldUntil: so many logins of this account may have failed that one more could lock it.
	LoginHeldUntil time.Time
	// CodeAt is when there is a one-time code that was not used yet, if the credentials need one; zero: now.
	CodeAt time.Time
	// Busy: the grant or the verification found no free place in this pass. Crowded: the revocation of a former token found none.
	Busy, Crowded bool
	// EndpointDown: Secret Server is known to be down, and it is not this session's turn to ask.
	EndpointDown bool
}

// Decide names the next step. It is total and deterministic; its order is its specification.
//
//nolint:cyclop // one switch reads better than its parts
func Decide(o Observation, now time.Time) Plan {
	r := o.Record
	switch {
	case o.Deleting:
		return o.leave(now)
	case o.Unstored:
		// Before anything else, suspension and conflicts included: it is the only copy.
		return Plan{Action: Store}
	case o.Revoking && !o.Finalizer:
		// Before any token is had.
		return Plan{Action: AddFinalizer}
	case !o.Revoking && o.Finalizer:
		return Plan{Action: RemoveFinalizer}
	case o.Conflict:
		return o.wait(Conflict, now, time.Time{})
	case o.TemplateFault:
		return o.wait(TemplateFault, now, time.Time{})
	case r.HasToken() && !o.Published:
		return Plan{Action: Publish}
	case r.HasToken() && o.OldTarget:
		return Plan{Action: RemoveOldTarget}
	case o.Suspended:
		return o.wait(Suspended, now, time.Time{})
	case o.formerDue():
		return Plan{Action: RevokeFormer}
	case o.EndpointFault:
		return o.wait(EndpointFault, now, time.Time{})
	}

	switch {
	case o.changed() && o.Inspected && o.SameCredentials:
		return Plan{Action: Adopt}
	case o.changed() || !r.HasToken():
		return o.verify(o.login(now), now)
	case r.Refresh == Claimed, !r.EndedAt.IsZero(), o.RenewalRequested, !o.RetryAt.IsZero(), !now.Before(o.refreshAt()),
		fromTheFuture(r.IssuedAt, now):
		// A claimed refresh token may have been sent, and that may have ended the access token too.
		return o.verify(o.renew(now), now)
	}
	return o.verify(o.wait(NoObstacle, now, o.refreshAt()), now)
}

// changed reports whether the spec or the credentials Secret is no longer what the chain began with. A Secret whose
// content went missing or unusable is no reason to give up a chain that can still be refreshed; a spec that names
// another is.
func (o Observation) changed() bool {
	stored := o.Record.Identity
	return stored.Source != o.Wanted.Source || (!o.CredentialsFault && stored.Version != o.Wanted.Version)
}

// fromTheFuture reports that the clock now stands well before a stored time, so that what follows from it cannot be
// trusted. Clocks of replicas may differ a little.
func fromTheFuture(t, now time.Time) bool { return t.After(now.Add(toleratedSkew)) }

// refreshAt is when the stored token is due.
func (o Observation) refreshAt() time.Time {
	return RefreshAt(o.Record.IssuedAt, o.Record.ExpiresAt, o.RefreshPercent, o.Seed)
}

// renew spends the refresh token if it may work, and logs in otherwise.
func (o Observation) renew(now time.Time) Plan {
	r := o.Record
	if r.Refresh != Held || !now.Before(r.RefreshExpiresAt) {
		return o.login(now)
	}
	switch {
	case o.Busy:
		return o.wait(Busy, now, now)
	case o.EndpointDown:
		return o.wait(EndpointDown, now, time.Time{})
	case o.backingOff(now):
		return o.wait(BackingOff, now, o.RetryAt)
	}
	return Plan{Action: Refresh, NextGrantAt: now}
}

// login logs in, unless something stands against it. A password that was refused is never sent again before its time.
func (o Observation) login(now time.Time) Plan {
	switch {
	case o.CredentialsFault:
		return o.wait(CredentialsFault, now, time.Time{})
	case o.refused(now):
		return o.wait(CredentialsRefused, now, o.retryRefused(o.Record.Attempt.At))
	case o.backingOff(now):
		return o.wait(BackingOff, now, o.RetryAt)
	case !o.Inspected && !o.Busy:
		return Plan{Action: ReadCredentials, NextGrantAt: now}
	case o.refusedElsewhere(now):
		return Plan{Action: Refuse}
	case now.Before(o.LoginHeldUntil):
		return o.wait(CredentialsRefused, now, o.LoginHeldUntil)
	case now.Before(o.CodeAt):
		return o.wait(AwaitingCode, now, o.CodeAt)
	case o.Busy:
		return o.wait(Busy, now, now)
	case o.EndpointDown:
		return o.wait(EndpointDown, now, time.Time{})
	}
	return Plan{Action: Login, NextGrantAt: now}
}

// refused reports whether the record says that the wanted identity was refused, and may not be tried again yet.
func (o Observation) refused(now time.Time) bool {
	a := o.Record.Attempt
	return a != nil && a.Refused && a.Identity == o.Wanted && o.holds(a.At, now)
}

// refusedElsewhere reports a refusal of the same credentials that the record does not tell of yet.
func (o Observation) refusedElsewhere(now time.Time) bool {
	return !o.RefusedAt.IsZero() && o.holds(o.RefusedAt, now)
}

// holds reports whether a refusal still stands. A user who asks for a renewal may have mended the account at the
// server, so that request is one more try; LoginHeldUntil bounds how many there can be.
func (o Observation) holds(refusedAt, now time.Time) bool {
	if o.RenewalRequested || fromTheFuture(refusedAt, now) {
		return false
	}
	return o.RefusedRetry == 0 || now.Before(o.retryRefused(refusedAt))
}

// retryRefused is when refused credentials may be tried again; zero: never.
func (o Observation) retryRefused(refusedAt time.Time) time.Time {
	if o.RefusedRetry == 0 {
		return time.Time{}
	}
	return refusedAt.Add(o.RefusedRetry)
}

// backingOff reports whether a retry is planned and not yet due. A renewal that the user asks for does not wait.
func (o Observation) backingOff(now time.Time) bool {
	return now.Before(o.RetryAt) && !o.RenewalRequested
}

// wait plans to ask again at the next grant, or earlier where time alone changes what there is to report: when the
// access token or a held refresh token expires. A former token may be a reason to ask earlier.
func (o Observation) wait(why Obstacle, now, grant time.Time) Plan {
	expiries := []time.Time{o.Record.ExpiresAt, o.TargetExpiresAt, o.formerAt(now)}
	if o.Record.Refresh == Held {
		expiries = append(expiries, o.Record.RefreshExpiresAt)
	}
	at := grant
	for _, t := range expiries {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return Plan{Action: Wait, Obstacle: why, At: at, NextGrantAt: grant}
}
