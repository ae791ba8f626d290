package session

import (
	"testing"
	"time"
)

// The session of the tables: a token of 20 minutes issued at noon, renewed after 67 % of them, its refresh token held.
var (
	noon      = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	due       = RefreshAt(noon, noon.Add(20*time.Minute), 67, "uid")
	fresh     = noon.Add(time.Minute)      // long before the renewal is due
	late      = noon.Add(15 * time.Minute) // due, and the token is still good
	expires   = noon.Add(20 * time.Minute)
	expired   = noon.Add(25 * time.Minute) // the refresh token is still good
	spoilt    = noon.Add(35 * time.Minute) // the refresh token expires
	forgotten = noon.Add(2 * time.Hour)    // neither is good any more
)

// account is the identity that the healthy session began with.
var account = Identity{Source: "vault/billing", Version: "1"}

// healthy is a session with nothing to do until its token is due.
func healthy() Observation {
	return Observation{
		Seed:           "uid",
		RefreshPercent: 67,
		RefusedRetry:   65 * time.Minute,
		Wanted:         account,
		Published:      true,
		Told:           true,
		Record: Record{
			Identity: account, ServerURL: "https://vault.example.com", Grant: Password,
			IssuedAt: noon, ExpiresAt: expires, Refresh: Held, RefreshExpiresAt: spoilt,
			Logins: 1, LastLoginAt: noon,
		},
	}
}

// situation changes the healthy session into what a case is about.
type situation func(*Observation)

func and(all ...situation) situation {
	return func(o *Observation) {
		for _, s := range all {
			s(o)
		}
	}
}

func asItIs(*Observation)          {}
func deleting(o *Observation)      { o.Deleting = true }
func suspended(o *Observation)     { o.Suspended = true }
func requested(o *Observation)     { o.RenewalRequested = true }
func conflict(o *Observation)      { o.Conflict = true }
func templateFault(o *Observation) { o.TemplateFault = true }
func endpointFault(o *Observation) { o.EndpointFault = true }
func missing(o *Observation)       { o.CredentialsFault = true }
func unstored(o *Observation)      { o.Unstored = true }
func unpublished(o *Observation)   { o.Published = false }
func renamed(o *Observation)       { o.OldTarget = true }
func inspected(o *Observation)     { o.Inspected = true }
func same(o *Observation)          { o.Inspected, o.SameCredentials = true, true }
func busy(o *Observation)          { o.Busy = true }
func crowded(o *Observation)       { o.Crowded = true }
func revoking(o *Observation)      { o.Revoking = true }
func bound(o *Observation)         { o.Finalizer = true }
func revoked(o *Observation)       { o.Revoked = true }
func untold(o *Observation)        { o.Told = false }
func down(o *Observation)          { o.EndpointDown = true }
func neverRetried(o *Observation)  { o.RefusedRetry = 0 }
func edited(o *Observation)        { o.Wanted.Version = "2" }
func moved(o *Observation)         { o.Wanted.Source = "elsewhere/billing" }
func uninspected(o *Observation)   { o.Inspected = false }
func claimedInTime(o *Observation) { o.Record.Refresh = Claimed }
func tokenless(o *Observation)     { o.Record.Grant = "" }
func ended(o *Observation)         { o.Record.EndedAt = noon }
func noSession(o *Observation)     { o.Record, o.Published = Record{}, false }

// held is the session of a user who wants its token revoked, as the operator keeps it.
var held = and(revoking, bound, letGoAt(forgotten))

func letGoAt(t time.Time) situation { return func(o *Observation) { o.LetGoAt = t } }
func former(until time.Time) situation {
	return func(o *Observation) {
		o.Record.Former = &Former{ServerURL: "https://former.example.com", ExpiresAt: until}
	}
}

func retryAt(t time.Time) situation { return func(o *Observation) { o.RetryAt = t } }
func heldUntil(t time.Time) situation {
	return func(o *Observation) { o.Inspected, o.LoginHeldUntil = true, t }
}

func codeAt(t time.Time) situation { return func(o *Observation) { o.Inspected, o.CodeAt = true, t } }

// verified every so often, and last at the given time.
func verified(every time.Duration, last time.Time) situation {
	return func(o *Observation) { o.VerifyInterval, o.VerifyAfter = every, last }
}

func refresh(s RefreshState) situation {
	return func(o *Observation) { o.Record.Refresh, o.Record.RefreshExpiresAt = s, time.Time{} }
}

// refusedAt is a refusal of the wanted identity that the record tells of.
func refusedAt(t time.Time) situation {
	return func(o *Observation) { o.Record.Attempt = &Attempt{Identity: o.Wanted, At: t, Refused: true} }
}

// refusedTo another session, with the same credentials.
func refusedTo(t time.Time) situation {
	return func(o *Observation) { o.Inspected, o.RefusedAt = true, t }
}

// unanswered is a login that was begun and of which nothing more is known.
func unanswered(o *Observation) {
	o.Record.Attempt = &Attempt{Identity: o.Wanted, At: noon, Bad: 1}
}

// waiting is a plan to ask again at the given time, and to renew not before something changes.
func waiting(why Obstacle, at time.Time) Plan { return Plan{Action: Wait, Obstacle: why, At: at} }

// until is a plan to wait whose end is the next grant.
func until(why Obstacle, at time.Time) Plan {
	return Plan{Action: Wait, Obstacle: why, At: at, NextGrantAt: at}
}

func TestDecide(t *testing.T) {
	var never time.Time
	only := func(a Action) Plan { return Plan{Action: a} }
	grant := func(a Action, now time.Time) Plan { return Plan{Action: a, NextGrantAt: now} }
	retry := noon.Add(65 * time.Minute)
	// The verifications of a token that was first seen at noon, and of one that was verified then.
	const every = 2 * time.Minute
	first := VerifyAt(noon, every, "uid", noon)
	second := first.Add(every)
	watched, watchedOn := verified(every, noon), verified(every, first)
	verify := Plan{Action: Verify, NextGrantAt: due}
	until2 := func(why Obstacle, at, grant time.Time) Plan {
		return Plan{Action: Wait, Obstacle: why, At: at, NextGrantAt: grant}
	}

	tests := []struct {
		name  string
		given situation
		now   time.Time
		want  Plan
	}{
		// What comes before any grant.
		{"a session on its way out is left alone, whatever there is to do", and(deleting, unstored, unpublished), late, only(Wait)},
		{"a session on its way out that never asked for more is left alone, though it asks now", and(deleting, revoking), late, only(Wait)},
		{"its token is revoked before an object may go", and(deleting, held), fresh, only(Revoke)},
		{"a token that is due is revoked as well", and(deleting, held), late, only(Revoke)},
		{"a token that is held in memory alone is revoked as well", and(deleting, held, noSession, unstored), late, only(Revoke)},
		{"a former token is revoked as well", and(deleting, held, former(expires)), late, only(Revoke)},
		{"a former token is revoked although the session's own has expired", and(deleting, held, former(forgotten)), expired, only(Revoke)},
		{"it is revoked although the target is somebody else's or the endpoint is faulty", and(deleting, held, conflict, endpointFault), late, only(Revoke)},
		{"one attempt is enough", and(deleting, held, revoked), late, only(RemoveFinalizer)},
		{"an expired token needs no revocation", and(deleting, held), expires, only(RemoveFinalizer)},
		{"a token that Secret Server has ended needs no revocation", and(deleting, held, ended), late, only(RemoveFinalizer)},
		{"no session needs no revocation", and(deleting, held, noSession), late, only(RemoveFinalizer)},
		{"expired tokens need no revocation, however many", and(deleting, held, former(late)), expired, only(RemoveFinalizer)},
		{"suspended: no call, and it may go", and(deleting, held, suspended), late, only(RemoveFinalizer)},
		{"a policy that was switched off in the last moment: no call, and it may go", and(deleting, bound), late, only(RemoveFinalizer)},
		{"a revocation waits for a free place", and(deleting, held, busy), late, Plan{Action: Wait, Obstacle: Busy, At: forgotten}},
		{"a revocation does not wait for ever", and(deleting, held, busy), forgotten, only(RemoveFinalizer)},
		{"a revocation whose time is over is not made", and(deleting, held, letGoAt(late)), late, only(RemoveFinalizer)},
		{"the finalizer comes before the first token", and(noSession, revoking), fresh, only(AddFinalizer)},
		{"the finalizer comes although a token is there, if it is asked for later", revoking, fresh, only(AddFinalizer)},
		{"the finalizer comes although suspended, in conflict and faulty", and(revoking, suspended, conflict, endpointFault), late, only(AddFinalizer)},
		{"a grant held in memory is stored before the finalizer comes", and(revoking, unstored), late, only(Store)},
		{"the finalizer goes when it is not asked for any more", and(bound, suspended, conflict), late, only(RemoveFinalizer)},
		{"with its finalizer, a session is as any other", held, fresh, until(NoObstacle, due)},
		{"a grant held in memory is stored although suspended, in conflict and faulty", and(unstored, suspended, conflict, endpointFault), late, only(Store)},
		{"a first grant held in memory is stored", and(noSession, unstored), late, only(Store)},
		{"a conflict stops even the publishing, and is looked at again when the token expires", and(conflict, unpublished), late, waiting(Conflict, expires)},
		{"in conflict with an expired token, the refresh token's end is next to report", conflict, expired, waiting(Conflict, spoilt)},
		{"in conflict with nothing that time could end, only a change counts", conflict, forgotten, waiting(Conflict, never)},
		{"a faulty template stops even the publishing", and(templateFault, unpublished), late, waiting(TemplateFault, expires)},
		{"a faulty template stops the renewal, since a new token would have no place", and(templateFault, requested), late, waiting(TemplateFault, expires)},
		{"a faulty template stops the first login", and(templateFault, noSession), fresh, waiting(TemplateFault, never)},
		{"a faulty template does not keep a grant in memory from being stored", and(templateFault, unstored), late, only(Store)},
		{"a conflict comes before a faulty template", and(templateFault, conflict), late, waiting(Conflict, expires)},
		{"a deleted target comes back, suspended or not", and(unpublished, suspended), fresh, only(Publish)},
		{"a deleted target comes back although the endpoint is faulty", and(unpublished, endpointFault), fresh, only(Publish)},
		{"the new target is written before the old one goes", and(unpublished, renamed), fresh, only(Publish)},
		{"the old target goes once the new one is written", and(renamed, suspended), fresh, only(RemoveOldTarget)},
		{"an old target is kept while there is no token for the new one", and(noSession, renamed), fresh, grant(ReadCredentials, fresh)},
		{"the end of a refresh token that is not held is nothing to report", and(conflict, claimedInTime), expired, waiting(Conflict, never)},
		{"suspended with a good token: its expiry is next to report", suspended, late, waiting(Suspended, expires)},
		{"suspended without a token: only a change counts", and(suspended, noSession), late, waiting(Suspended, never)},
		{"suspended beats a request for renewal", and(suspended, requested), late, waiting(Suspended, expires)},
		{"a faulty endpoint is not called although the token is due", endpointFault, late, waiting(EndpointFault, expires)},
		{"a faulty endpoint is not called although a renewal is asked for", and(endpointFault, requested), late, waiting(EndpointFault, expires)},

		// The idle session, and when it ends.
		{"a fresh token is left until it is due", asItIs, fresh, until(NoObstacle, due)},
		{"a nanosecond before it is due it is left", asItIs, due.Add(-1), until(NoObstacle, due)},
		{"when due, the held refresh token is spent", asItIs, due, grant(Refresh, due)},
		{"an expired token is renewed while the refresh token lives", asItIs, expired, grant(Refresh, expired)},
		{"a refresh token is not sent at the moment of its expiry", asItIs, spoilt, grant(ReadCredentials, spoilt)},
		{"a renewal asked for is made before it is due", requested, fresh, grant(Refresh, fresh)},
		{"a failed renewal is tried again when its time has come, due or not", retryAt(fresh), fresh, grant(Refresh, fresh)},
		{"a token from the future is renewed, for its expiry means nothing", asItIs, noon.Add(-time.Hour), grant(Refresh, noon.Add(-time.Hour))},
		{"a minute between two clocks is no future", asItIs, noon.Add(-time.Minute), until(NoObstacle, due)},
		{"a refresh waits for a free place", busy, late, Plan{Action: Wait, Obstacle: Busy, At: late, NextGrantAt: late}},
		{"a refresh waits for a server that is down: the token's expiry is next to report", down, late, waiting(EndpointDown, expires)},
		{"a refresh waits for a server that is down, though the user asks for it", and(down, requested), fresh, waiting(EndpointDown, expires)},
		{"with the token expired, the refresh token's end is next to report", down, expired, waiting(EndpointDown, spoilt)},
		{"a server that is down is nothing to a token that is not due", down, fresh, until(NoObstacle, due)},
		{"a refresh waits out its backoff", retryAt(late.Add(time.Minute)), late, until(BackingOff, late.Add(time.Minute))},
		{"a backoff beyond the expiry is interrupted to report it", retryAt(expired), late, Plan{Action: Wait, Obstacle: BackingOff, At: expires, NextGrantAt: expired}},
		{"a renewal asked for does not wait out a backoff", and(requested, retryAt(late.Add(time.Minute))), late, grant(Refresh, late)},
		{"missing credentials do not keep a held refresh token from being spent", missing, late, grant(Refresh, late)},
		{"missing credentials in an edited Secret do not end the chain", and(missing, edited), fresh, until(NoObstacle, due)},

		// A token that was replaced by one of another endpoint, account or password.
		{"a former token is revoked", and(held, former(late)), fresh, only(RevokeFormer)},
		{"a former token that has expired is forgotten the same way", and(held, former(fresh)), late, only(RevokeFormer)},
		{"a former token is forgotten the same way if the policy was switched off", former(late), fresh, only(RevokeFormer)},
		{"first its successor is published", and(held, former(late), unpublished), fresh, only(Publish)},
		{"then the status tells of it", and(held, former(late), untold), fresh, Plan{Action: Wait, At: fresh.Add(tellFirst), NextGrantAt: due}},
		{"a suspended session makes no call for a former token either", and(held, former(late), suspended), fresh, waiting(Suspended, expires)},
		{"suspended and not told: nothing to ask early for", and(held, former(late), suspended, untold), fresh, waiting(Suspended, expires)},
		{"a faulty endpoint does not stand against another's token", and(held, former(late), endpointFault), fresh, only(RevokeFormer)},
		{"a former token comes before what is due", and(held, former(expired), requested), late, only(RevokeFormer)},
		{"a former token comes before the next replacement, told or not", and(held, former(late), untold, edited), fresh, only(RevokeFormer)},
		{"a former token waits for a free place, and nothing waits for it", and(held, former(expired), crowded), late, grant(Refresh, late)},
		{"a former token that waits for a free place is looked at again", and(held, former(late), crowded), fresh, Plan{Action: Wait, At: fresh.Add(crowdedRetry), NextGrantAt: due}},

		// Credentials that are not those of the chain.
		{"an edited credentials Secret is looked at, at once", edited, fresh, grant(ReadCredentials, fresh)},
		{"credentials that are the same after all are adopted", and(edited, same), fresh, only(Adopt)},
		{"credentials in another Secret that are the same are adopted", and(moved, same), fresh, only(Adopt)},
		{"credentials that are adopted need no free place", and(edited, same, busy), fresh, only(Adopt)},
		{"other credentials begin a new chain, due or not", and(edited, inspected), fresh, grant(Login, fresh)},
		{"a comparison made in an earlier pass is not believed", and(edited, same, uninspected), fresh, grant(ReadCredentials, fresh)},
		{"another endpoint begins a new chain, due or not", and(moved, inspected), fresh, grant(Login, fresh)},
		{"a touched Secret is looked at only after the backoff", and(edited, retryAt(late)), fresh, until(BackingOff, late)},

		// Why a login and not a refresh.
		{"no session: the credentials are read first", noSession, fresh, grant(ReadCredentials, fresh)},
		{"no session: then comes the login", and(noSession, inspected), fresh, grant(Login, fresh)},
		{"a server without refresh tokens means a login when due", and(refresh(NotIssued), same), late, grant(Login, late)},
		{"a chain at its limit means a login when due", and(refresh(LimitReached), same), late, grant(Login, late)},
		{"a chain at its limit is good until it is due", refresh(LimitReached), fresh, until(NoObstacle, due)},
		{"a claimed refresh token is never sent again", and(refresh(Claimed), same), late, grant(Login, late)},
		{"a claimed refresh token may have ended the access token: a login, due or not", and(refresh(Claimed), same), fresh, grant(Login, fresh)},
		{"a refresh token without an access token is not spent", and(tokenless, same), late, grant(Login, late)},
		{"a login of unknown end is followed by another", and(noSession, unanswered, inspected), late, grant(Login, late)},

		// What stands against a login.
		{"no credentials and no session: only a change counts", and(noSession, missing), fresh, waiting(CredentialsFault, never)},
		{"no credentials and no session, though a renewal is asked for", and(noSession, missing, requested), fresh, waiting(CredentialsFault, never)},
		{"no credentials for a due login: the token's expiry is next to report", and(refresh(NotIssued), missing), late, waiting(CredentialsFault, expires)},
		{"no credentials and an expired token: only a change counts", and(refresh(NotIssued), missing), expired, waiting(CredentialsFault, never)},
		{"a refused password is left alone until the long interval is over", and(noSession, refusedAt(noon), inspected), late, until(CredentialsRefused, retry)},
		{"a refused password is left alone to the last nanosecond", and(noSession, refusedAt(noon), inspected), retry.Add(-1), until(CredentialsRefused, retry)},
		{"a refused password is tried again after the long interval", and(noSession, refusedAt(noon), inspected), retry, grant(Login, retry)},
		{"a refused password may be left alone for good", and(noSession, refusedAt(noon), neverRetried), forgotten, waiting(CredentialsRefused, never)},
		{"a refusal while the token is good: its expiry is next to report", and(edited, refusedAt(fresh)), late, Plan{Action: Wait, Obstacle: CredentialsRefused, At: expires, NextGrantAt: fresh.Add(65 * time.Minute)}},
		{"a refusal is of what was sent: an edited Secret is looked at", and(noSession, refusedAt(noon), edited), late, grant(ReadCredentials, late)},
		{"a refusal of the same account at another endpoint says nothing", and(noSession, refusedAt(noon), moved), late, grant(ReadCredentials, late)},
		{"a user who asks gets one more try of a refused password", and(noSession, refusedAt(noon), requested, inspected), late, grant(Login, late)},
		{"a refused password does not keep the held refresh token from being spent", refusedAt(noon), late, grant(Refresh, late)},
		{"a refusal to another session is taken over, not tried", and(noSession, refusedTo(noon)), late, only(Refuse)},
		{"a refusal to another session ends with the long interval", and(noSession, refusedTo(noon)), retry, grant(Login, retry)},
		{"a refusal to another session may stand for good", and(noSession, refusedTo(noon), neverRetried), forgotten, only(Refuse)},
		{"a user who asks gets one more try although another session was refused", and(noSession, refusedTo(noon), requested), late, grant(Login, late)},
		{"a login that could lock the account is held, even if asked for", and(noSession, requested, heldUntil(late)), fresh, until(CredentialsRefused, late)},
		{"a held login is released at its time", and(noSession, heldUntil(late)), late, grant(Login, late)},
		{"a login waits out its backoff before the credentials are read", and(noSession, retryAt(late)), fresh, until(BackingOff, late)},
		{"a login is made at the end of its backoff", and(noSession, retryAt(late), inspected), late, grant(Login, late)},
		{"a login that the user asks for does not wait out a backoff", and(noSession, retryAt(late), requested, inspected), fresh, grant(Login, fresh)},
		{"a login waits for a one-time code that was not used", and(noSession, codeAt(late)), fresh, until(AwaitingCode, late)},
		{"a login that the user asks for waits for its code, too", and(noSession, codeAt(late), requested), fresh, until(AwaitingCode, late)},
		{"a login is made when its code is there", and(noSession, codeAt(late)), late, grant(Login, late)},
		{"a login that waits for its code does not stand in the queue", and(noSession, codeAt(late), busy), fresh, until(AwaitingCode, late)},
		{"a refused login does not wait for a code", and(noSession, codeAt(late), refusedTo(noon)), fresh, only(Refuse)},
		{"a refresh needs no code", codeAt(expired), late, grant(Refresh, late)},
		{"a wait for a code is interrupted to report the expiry", and(refresh(NotIssued), codeAt(expired)), late, Plan{Action: Wait, Obstacle: AwaitingCode, At: expires, NextGrantAt: expired}},

		// Whether Secret Server still takes the token.
		{"a token is not verified before its time", watched, first.Add(-1), until2(NoObstacle, first, due)},
		{"a token is verified when its time has come", watched, first, verify},
		{"a token that was verified is left alone for the interval", watchedOn, first, until2(NoObstacle, second, due)},
		{"a verification after the renewal is of another token", verified(24*time.Hour, noon), fresh, until(NoObstacle, due)},
		{"a verification that finds no free place is made at the next, which wakes the session", and(watched, busy), first, until2(NoObstacle, second, due)},
		{"a verification at a server that is down is left out", and(watched, down), first, until2(NoObstacle, second, due)},
		{"a token that is due is renewed and not verified", watched, late, grant(Refresh, late)},
		{"a token that is due and whose refresh finds no free place is not verified", and(watched, busy), late, Plan{Action: Wait, Obstacle: Busy, At: late, NextGrantAt: late}},
		{"a token is not verified while its renewal is retried", and(watched, retryAt(late.Add(time.Minute))), late, until(BackingOff, late.Add(time.Minute))},
		{"a token is not verified while suspended", and(watched, suspended), first, waiting(Suspended, expires)},
		{"a token is not verified at a faulty endpoint", and(watched, endpointFault), first, waiting(EndpointFault, expires)},
		{"a token is not verified while its place is somebody else's", and(watched, conflict), first, waiting(Conflict, expires)},
		{"a token that is not published is published first", and(watched, unpublished), first, only(Publish)},
		{"credentials that changed are looked at first", and(watched, edited), first, grant(ReadCredentials, first)},
		{"a token is verified although the credentials for its renewal are missing", and(watched, refresh(NotIssued), missing), late, Plan{Action: Verify}},
		{"a token is verified although the credentials for its renewal are refused", and(watched, edited, refusedAt(noon)), first, Plan{Action: Verify, NextGrantAt: retry}},
		{"a token is never shown to another server", and(watched, moved, refusedAt(noon)), first, until2(CredentialsRefused, expires, retry)},
		{"between two verifications a refusal is still what stands in the way", and(watchedOn, edited, refusedAt(noon)), first, until2(CredentialsRefused, second, retry)},
		{"a token that has expired is not verified", and(watched, refresh(NotIssued), missing), expired, waiting(CredentialsFault, never)},
		{"without a token there is nothing to verify", and(watched, noSession, missing), late, waiting(CredentialsFault, never)},
		{"a token that the server ended is renewed at once", ended, fresh, grant(Refresh, fresh)},
		{"a token that the server ended is not verified again", and(ended, watched, retryAt(late)), first, until(BackingOff, late)},
		{"a token that the server ended, and no refresh token: a login at once", and(ended, refresh(LimitReached), same), fresh, grant(Login, fresh)},
		{"a token that the server ended, whose refresh token was refused: a login at once", and(ended, refresh(Claimed), same), fresh, grant(Login, fresh)},
		{"a token that the server ended comes back into its target all the same", and(ended, unpublished), fresh, only(Publish)},
		{"a token that the server ended does not wake a suspended session", and(ended, suspended), fresh, waiting(Suspended, expires)},
		{"a login waits for a server that is down", and(noSession, inspected, down), fresh, waiting(EndpointDown, never)},
		{"a refusal is taken over, also while the server is down", and(noSession, refusedTo(noon), down), late, only(Refuse)},
		{"a login waits for a free place", and(noSession, inspected, busy), fresh, Plan{Action: Wait, Obstacle: Busy, At: fresh, NextGrantAt: fresh}},
		{"a login that finds no free place does not read the credentials", and(noSession, busy), fresh, Plan{Action: Wait, Obstacle: Busy, At: fresh, NextGrantAt: fresh}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := healthy()
			tt.given(&o)
			if got := Decide(o, tt.now); got != tt.want {
				t.Errorf("at %s:\n got %s\nwant %s", clock(tt.now), show(got), show(tt.want))
			}
		})
	}
}

// show writes a plan as a reader of a failing test wants it.
func show(p Plan) string {
	return string(p.Action) + " obstacle=" + string(p.Obstacle) + " at=" + clock(p.At) + " nextGrant=" + clock(p.NextGrantAt)
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2006-01-02 15:04:05.999999999")
}
