package session

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	actions   = []Action{Wait, Store, Publish, RemoveOldTarget, ReadCredentials, Adopt, Refuse, Refresh, Login, AddFinalizer, RemoveFinalizer, Revoke, RevokeFormer, Verify}
	obstacles = []Obstacle{NoObstacle, Conflict, TemplateFault, Suspended, EndpointFault, CredentialsFault, CredentialsRefused, BackingOff, AwaitingCode, Busy, EndpointDown}
)

// rarely is true in one of sixteen draws: were each obstacle as likely as not, no observation would come to a grant.
func rarely(t *rapid.T, label string) bool {
	return rapid.SampledFrom([]bool{15: true}).Draw(t, label)
}

// aTime around noon: none, some hours away, or absurdly far.
func aTime() *rapid.Generator[time.Time] {
	near := rapid.Map(rapid.Int64Range(-7200, 7200), func(s int64) time.Time { return noon.Add(time.Duration(s) * time.Second) })
	return rapid.OneOf(near, near, near, rapid.SampledFrom([]time.Time{
		{}, noon, noon.AddDate(400, 0, 0), noon.AddDate(-400, 0, 0), time.Unix(math.MaxInt32, 0).UTC(), noon.AddDate(7000, 0, 0),
	}))
}

// oneOfFew identities, so that two of them are often the same.
func oneOfFew() *rapid.Generator[Identity] {
	return rapid.Custom(func(t *rapid.T) Identity {
		few := rapid.SampledFrom([]string{"1", "1", "1", "1", "1", "1", "2"})
		return Identity{Source: few.Draw(t, "source"), Version: few.Draw(t, "version")}
	})
}

// anObservation of anything. If sane, what is stored could have passed Decode, and the settings are within the API's
// bounds; otherwise all may be rubbish.
func anObservation(sane bool) *rapid.Generator[Observation] {
	return rapid.Custom(func(t *rapid.T) Observation {
		o := Observation{
			Deleting: rarely(t, "deleting"), Suspended: rarely(t, "suspended"), Conflict: rarely(t, "conflict"), TemplateFault: rarely(t, "template fault"),
			EndpointFault: rarely(t, "endpoint fault"), CredentialsFault: rarely(t, "credentials fault"),
			Unstored: rarely(t, "unstored"), Published: !rarely(t, "unpublished"), OldTarget: rarely(t, "old target"),
			Busy: rarely(t, "busy"), Crowded: rarely(t, "crowded"), Told: !rarely(t, "untold"), Revoked: rarely(t, "revoked"),
			Revoking: rapid.Bool().Draw(t, "revoking"), RenewalRequested: rarely(t, "requested"), EndpointDown: rarely(t, "endpoint down"),
			Inspected: rapid.Bool().Draw(t, "inspected"), SameCredentials: rapid.Bool().Draw(t, "same"),
			Seed:           rapid.SampledFrom([]string{"", "uid", "another"}).Draw(t, "seed"),
			RefreshPercent: rapid.IntRange(10, 90).Draw(t, "percent"),
			RefusedRetry:   rapid.SampledFrom([]time.Duration{0, time.Minute, 65 * time.Minute}).Draw(t, "refused retry"),
			VerifyInterval: rapid.SampledFrom([]time.Duration{0, 0, 0, 30 * time.Second, 24 * time.Hour}).Draw(t, "verify interval"),
			Wanted:         oneOfFew().Draw(t, "wanted"),
			Record:         storedRecord(sane).Draw(t, "record"),
		}
		o.LetGoAt = rapid.SampledFrom([]time.Time{noon.AddDate(9000, 0, 0), noon.AddDate(9000, 0, 0), noon, expired}).Draw(t, "let go at")
		o.Finalizer = o.Revoking != rarely(t, "finalizer to change")
		for _, at := range []*time.Time{&o.RetryAt, &o.RefusedAt, &o.LoginHeldUntil, &o.CodeAt, &o.VerifyAfter} {
			if rapid.Bool().Draw(t, "some retry, refusal, hold, code or verification") {
				*at = aTime().Draw(t, "at")
			}
		}
		if !sane {
			o.RefreshPercent = rapid.Int().Draw(t, "any percent")
			o.RefusedRetry = time.Duration(rapid.Int64().Draw(t, "any refused retry"))
			o.VerifyInterval = time.Duration(rapid.Int64().Draw(t, "any verify interval"))
		}
		return o
	})
}

func storedRecord(sane bool) *rapid.Generator[Record] {
	return rapid.Custom(func(t *rapid.T) Record {
		r := Record{
			Identity:         oneOfFew().Draw(t, "identity"),
			Grant:            rapid.SampledFrom([]GrantType{Password, RefreshToken, RefreshToken, ""}).Draw(t, "grant"),
			IssuedAt:         aTime().Draw(t, "issued"),
			ExpiresAt:        aTime().Draw(t, "expires"),
			Refresh:          rapid.SampledFrom([]RefreshState{Held, Held, Claimed, NotIssued, LimitReached, ""}).Draw(t, "refresh"),
			RefreshExpiresAt: aTime().Draw(t, "refresh expires"),
		}
		if rarely(t, "ended") {
			r.EndedAt = aTime().Draw(t, "ended at")
		}
		if rapid.Bool().Draw(t, "attempted") {
			r.Attempt = &Attempt{Identity: oneOfFew().Draw(t, "attempted with"), At: aTime().Draw(t, "attempted"), Refused: rapid.Bool().Draw(t, "refused")}
		}
		if rarely(t, "replaced another") {
			r.Former = &Former{ServerURL: "https://former.example.com", ExpiresAt: aTime().Draw(t, "former expires")}
		}
		if !sane {
			r.Grant, r.Refresh = GrantType(rapid.String().Draw(t, "any grant")), RefreshState(rapid.String().Draw(t, "any refresh"))
			return r
		}
		if r.ExpiresAt.Before(r.IssuedAt) {
			r.IssuedAt, r.ExpiresAt = r.ExpiresAt, r.IssuedAt
		}
		if r.check() != nil {
			r.Grant = ""
		}
		return r
	})
}

// aNow is any time, or one at which something changes, give or take a nanosecond.
func aNow(o Observation) *rapid.Generator[time.Time] {
	r := o.Record
	turns := []time.Time{r.IssuedAt, r.ExpiresAt, r.RefreshExpiresAt, o.refreshAt(), o.RetryAt, o.LoginHeldUntil, o.CodeAt, o.LetGoAt, o.RefusedAt.Add(o.RefusedRetry), noon}
	if o.VerifyInterval > 0 {
		turns = append(turns, VerifyAt(r.IssuedAt, o.VerifyInterval, o.Seed, o.VerifyAfter))
	}
	turns = slices.DeleteFunc(turns, func(t time.Time) bool { return !t.After(time.Time{}) }) // those that never come
	return rapid.OneOf(aTime(), rapid.Custom(func(t *rapid.T) time.Time {
		return rapid.SampledFrom(turns).Draw(t, "turn").Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "ns")))
	}))
}

// checkPlans asserts a law of every plan for a sane observation.
func checkPlans(t *testing.T, law func(t *rapid.T, o Observation, now time.Time, p Plan)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		o := anObservation(true).Draw(t, "observation")
		now := aNow(o).Draw(t, "now")
		p := Decide(o, now)
		t.Logf("now %s: %s", clock(now), show(p))
		law(t, o, now, p)
	})
}

// The laws below hold of something only if the observations lead to every plan there is.
func TestObservationsOfTheLawsReachEveryPlan(t *testing.T) {
	observations := anObservation(true)
	seen, met := map[Action]int{}, map[Obstacle]int{}
	for i := range 4000 {
		p := Decide(observations.Example(i), noon)
		seen[p.Action]++
		if p.Action == Wait {
			met[p.Obstacle]++
		}
	}
	for _, a := range actions {
		if seen[a] < 10 {
			t.Errorf("%s is planned %d times in 4000: %v", a, seen[a], seen)
		}
	}
	for _, b := range obstacles {
		if met[b] < 10 {
			t.Errorf("obstacle %q is met %d times in 4000: %v", b, met[b], met)
		}
	}
}

func TestLawEveryObservationHasOnePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, now := anObservation(rapid.Bool().Draw(t, "sane")).Draw(t, "observation"), aTime().Draw(t, "now")
		p := Decide(o, now)
		if !slices.Contains(actions, p.Action) || !slices.Contains(obstacles, p.Obstacle) {
			t.Errorf("planned %s", show(p))
		}
		if p.Action != Wait && (p.Obstacle != NoObstacle || !p.At.IsZero()) {
			t.Errorf("a step that waits: %s", show(p))
		}
		if again := Decide(o, now); again != p {
			t.Errorf("planned %s and then %s", show(p), show(again))
		}
	})
}

func TestLawARefreshTokenIsSentOnlyIfItMayWork(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		if p.Action != Refresh {
			return
		}
		if o.Record.Refresh != Held || !now.Before(o.Record.RefreshExpiresAt) {
			t.Errorf("refresh planned with a refresh token that is %q until %s", o.Record.Refresh, clock(o.Record.RefreshExpiresAt))
		}
		if !o.Record.HasToken() || o.Record.Identity.Source != o.Wanted.Source {
			t.Error("refresh planned for another endpoint or account")
		}
	})
}

func TestLawNoCallIsMadeThatAnythingStandsAgainst(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		if p.Action != Login && p.Action != Refresh && p.Action != Verify {
			return
		}
		if o.Deleting || o.Suspended || o.Conflict || o.TemplateFault || o.EndpointFault || o.Busy || o.EndpointDown || o.Unstored || o.Revoking != o.Finalizer {
			t.Error("called in spite of an obstacle")
		}
		if p.Action != Verify && now.Before(o.RetryAt) && !o.RenewalRequested {
			t.Errorf("called before the backoff ended at %s", clock(o.RetryAt))
		}
		if p.Action != Verify && !p.NextGrantAt.Equal(now) {
			t.Errorf("the grant is now, not at %s", clock(p.NextGrantAt))
		}
	})
}

func TestLawNoTokenIsRevokedThatIsWanted(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		if p.Action == Revoke {
			if !o.Deleting || !o.Revoking || !o.Finalizer || o.Suspended || o.Revoked || o.Busy || !now.Before(o.LetGoAt) {
				t.Error("the token is revoked in spite of an obstacle")
			}
			if !o.Unstored && (!now.Before(o.Record.ExpiresAt) || !o.Record.EndedAt.IsZero()) && !o.Record.FormerAlive(now) {
				t.Error("nothing is left to revoke")
			}
		}
		if p.Action == RevokeFormer {
			if o.Record.Former == nil || o.Deleting || o.Suspended || o.Crowded || o.Unstored || (o.Record.HasToken() && !o.Published) {
				t.Error("the former token is revoked in spite of an obstacle, or before its successor is published")
			}
		}
	})
}

// An object on its way out goes in the end, and nothing but its tokens is worked on until then.
func TestLawNothingHoldsAnObjectOnItsWayOut(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		if !o.Deleting {
			if p.Action == Revoke {
				t.Error("revoked although it stays")
			}
			return
		}
		switch {
		case !o.Finalizer && p != Plan{Action: Wait}:
			t.Error("works on an object that it does not hold")
		case o.Finalizer && p.Action == Wait && (p.At.IsZero() || !p.At.After(now)):
			t.Error("holds the object for ever")
		case o.Finalizer && p.Action != Wait && p.Action != Revoke && p.Action != RemoveFinalizer:
			t.Errorf("holds the object for a %s", p.Action)
		}
		o.Revoked = true
		if then := Decide(o, now); o.Finalizer && then.Action != RemoveFinalizer {
			t.Errorf("after the attempt: %s", show(then))
		}
		o.Finalizer = false
		if then := Decide(o, now); then.Action != Wait {
			t.Errorf("after letting go: %s", show(then))
		}
	})
}

// An object that asks has the finalizer before it can have a token, and one that does not ask has none for long.
func TestLawTheFinalizerIsThereWhereItIsAskedFor(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, _ time.Time, p Plan) {
		if p.Action == AddFinalizer && (o.Deleting || !o.Revoking || o.Finalizer) {
			t.Error("added where nobody asks, or too late")
		}
		if p.Action == RemoveFinalizer && (!o.Finalizer || (!o.Deleting && o.Revoking)) {
			t.Error("removed where it is asked for")
		}
		if !o.Deleting && p.Action != Store && o.Revoking != o.Finalizer && p.Action != AddFinalizer && p.Action != RemoveFinalizer {
			t.Errorf("%s before the finalizer is right", p.Action)
		}
	})
}

func TestLawATokenIsVerifiedOnlyIfItIsDueAndBelievedGood(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		r := o.Record
		if p.Action != Verify {
			return
		}
		if !r.HasToken() || !o.Published || !r.EndedAt.IsZero() || !now.Before(r.ExpiresAt) {
			t.Error("a token is verified that is not in the target, or known to be over")
		}
		if r.Identity.Source != o.Wanted.Source {
			t.Error("a token is shown to another server")
		}
		if o.VerifyInterval <= 0 || now.Before(VerifyAt(r.IssuedAt, o.VerifyInterval, o.Seed, o.VerifyAfter)) {
			t.Error("a token is verified before its time")
		}
	})
}

// With or without verification, whatever else there is to do is planned for the same time.
func TestLawAVerificationTakesNothingElsesPlace(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		o.VerifyInterval = 0
		without := Decide(o, now)
		switch {
		case p.Action == Verify:
			if without.Action != Wait {
				t.Errorf("a token is verified where it was time for %s", without.Action)
			}
		case p.Action != without.Action || p.Obstacle != without.Obstacle:
			t.Errorf("without verification: %s", show(without))
		case p.At.After(without.At) && !without.At.IsZero():
			t.Errorf("asks again later than without verification, at %s", clock(without.At))
		}
		if !p.NextGrantAt.Equal(without.NextGrantAt) {
			t.Errorf("the next grant is planned for another time than without verification, %s", clock(without.NextGrantAt))
		}
	})
}

func TestLawNoPasswordIsSentThatMayDoHarm(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		if p.Action != Login {
			return
		}
		if !o.Inspected || o.CredentialsFault {
			t.Error("login planned without credentials")
		}
		if now.Before(o.LoginHeldUntil) {
			t.Errorf("login planned before %s, when it can no longer lock the account", clock(o.LoginHeldUntil))
		}
		if now.Before(o.CodeAt) {
			t.Errorf("login planned before %s, when there is a code that was not used", clock(o.CodeAt))
		}
		stands := func(refusal time.Time) bool {
			return !o.RenewalRequested && !refusal.After(now.Add(toleratedSkew)) &&
				(o.RefusedRetry == 0 || now.Before(refusal.Add(o.RefusedRetry)))
		}
		if a := o.Record.Attempt; a != nil && a.Refused && a.Identity == o.Wanted && stands(a.At) {
			t.Errorf("login planned although refused at %s", clock(a.At))
		}
		if !o.RefusedAt.IsZero() && stands(o.RefusedAt) {
			t.Errorf("login planned although another was refused at %s", clock(o.RefusedAt))
		}
	})
}

// A login costs a chain: none is made while the chain can be renewed and its credentials are the wanted ones.
func TestLawNoLoginIsMadeThatNeedNotBe(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		r := o.Record
		if p.Action != Login && p.Action != Refuse {
			return
		}
		if o.SameCredentials && r.HasToken() && r.Refresh == Held && now.Before(r.RefreshExpiresAt) {
			t.Errorf("%s planned for a chain that a refresh would renew", p.Action)
		}
	})
}

// A busy session is woken by a free place and may look again at once; any other wait ends later than it begins.
func TestLawAWaitDoesNotSpin(t *testing.T) {
	checkPlans(t, func(t *rapid.T, _ Observation, now time.Time, p Plan) {
		if p.Action != Wait || p.At.IsZero() {
			return
		}
		if p.At.Before(now) || (p.At.Equal(now) && p.Obstacle != Busy) {
			t.Errorf("asks again %s from now", p.At.Sub(now))
		}
		if !p.NextGrantAt.IsZero() && p.NextGrantAt.Before(now) {
			t.Errorf("promises a grant %s from now", p.NextGrantAt.Sub(now))
		}
	})
}

func TestLawAnIdleSessionAsksAgainBeforeItsTokenExpires(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		if p.Action != Wait || p.Obstacle != NoObstacle || o.Deleting {
			return
		}
		if !p.At.After(now) || p.At.After(o.Record.ExpiresAt) {
			t.Errorf("asks again at %s, of a token that expires at %s", clock(p.At), clock(o.Record.ExpiresAt))
		}
		if p.NextGrantAt.IsZero() || p.NextGrantAt.Before(p.At) {
			t.Errorf("next grant at %s", clock(p.NextGrantAt))
		}
	})
}

// If nothing changes but the time, then a waiting session misses nothing until it is woken: not a step that falls due,
// not an expiry that must be reported.
func TestLawAWaitMissesNothing(t *testing.T) {
	checkPlans(t, func(t *rapid.T, o Observation, now time.Time, p Plan) {
		later := aNow(o).Draw(t, "later")
		if p.Action != Wait || o.Deleting || !later.After(now) || (!p.At.IsZero() && !later.Before(p.At)) {
			return
		}
		if ahead := now.Add(time.Minute); o.Record.IssuedAt.After(ahead) || o.RefusedAt.After(ahead) ||
			(o.Record.Attempt != nil && o.Record.Attempt.At.After(ahead)) {
			return // the clock is wrong; that it will be right again is nothing to wait for
		}
		if then := Decide(o, later); then.Action != Wait || then.Obstacle != p.Obstacle {
			t.Errorf("asleep until %s, but at %s: %s", clock(p.At), clock(later), show(then))
		}
		passed := func(expiry time.Time) bool { return expiry.After(now) && !expiry.After(later) }
		if r := o.Record; passed(r.ExpiresAt) || (r.Refresh == Held && passed(r.RefreshExpiresAt)) {
			t.Errorf("asleep until %s, and at %s something has expired unseen", clock(p.At), clock(later))
		}
	})
}
