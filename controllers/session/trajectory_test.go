package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// beat is one pass of a story: what happened before it, what Secret Server answers, the steps taken, and the obstacle
// that is left.
type beat struct {
	event   func(c *caller, asleep Plan)
	answers []answer
	steps   string
	left    Obstacle
}

const (
	login       = "ReadCredentials Login Store Publish"
	renewal     = "Refresh Store Publish"
	fallback    = "Refresh " + login
	probe       = "Verify"
	nothingToDo = ""
)

func says(a ...answer) []answer { return a }

func nothing(*caller, Plan)        {}
func woken(c *caller, asleep Plan) { c.now = asleep.At }
func touched(c *caller, _ Plan)    { c.edit(c.content) }
func corrected(c *caller, _ Plan)  { c.edit("right") }
func renewed(c *caller, _ Plan)    { c.edit("newer") }
func mistyped(c *caller, _ Plan)   { c.edit("wrong") }
func deleted(c *caller, _ Plan)    { c.content = "" }
func asked(c *caller, _ Plan)      { c.o.RenewalRequested = true }
func paused(c *caller, _ Plan)     { c.o.Suspended = true }
func resumed(c *caller, _ Plan)    { c.o.Suspended = false }
func relocated(c *caller, _ Plan)  { c.move() }
func blocked(c *caller, _ Plan)    { c.o.EndpointFault = true }
func unblocked(c *caller, _ Plan)  { c.o.EndpointFault = false }
func taken(c *caller, _ Plan)      { c.o.Conflict, c.o.Published = true, false }
func released(c *caller, _ Plan)   { c.o.Conflict = false }
func garbled(c *caller, _ Plan)    { c.o.TemplateFault, c.o.Published = true, false }
func mended(c *caller, _ Plan)     { c.o.TemplateFault = false }
func erased(c *caller, _ Plan)     { c.o.Published = false }
func retargeted(c *caller, _ Plan) { c.o.Published, c.o.OldTarget = false, true }
func removed(c *caller, _ Plan)    { c.o.Deleting, c.o.LetGoAt = true, c.now.Add(time.Minute) }

func asksToRevoke(c *caller, _ Plan) { c.o.Revoking = true }
func retains(c *caller, _ Plan)      { c.o.Revoking = false }

// forgot is a state Secret that is gone or cannot be read; the tokens that it held are not known any more.
func forgot(c *caller, _ Plan) {
	c.o.Record, c.o.Published = Record{}, false
	clear(c.sent)
	clear(c.verified)
}

// crashedAfterClaim is a restart that finds a claimed refresh token, and nobody who can tell whether it was sent.
func crashedAfterClaim(c *caller, _ Plan) {
	c.o.Record.Refresh, c.o.Record.RefreshExpiresAt = Claimed, time.Time{}
}

// crashedInLogin is a restart that finds a login begun.
func crashedInLogin(c *caller, _ Plan) {
	c.o.Record.Attempt = &Attempt{Identity: c.o.Wanted, At: c.now, Bad: 1}
}

// secured makes the account one that needs one-time codes, of which another session has just used the present one.
func secured(c *caller, _ Plan) { c.codes, c.lastCode = true, CodeStep(c.now) }

// watched has the token verified every two minutes.
func watched(c *caller, _ Plan) { c.o.VerifyInterval, c.o.VerifyAfter = 2*time.Minute, c.now }

func after(d time.Duration) func(*caller, Plan) {
	return func(c *caller, _ Plan) { c.now = c.now.Add(d) }
}

// then is one event after another, before the same pass.
func then(events ...func(*caller, Plan)) func(*caller, Plan) {
	return func(c *caller, asleep Plan) {
		for _, e := range events {
			e(c, asleep)
		}
	}
}

// begun is the first login, with which most stories begin.
var begun = beat{nothing, says(granted), login, NoObstacle}

var stories = []struct {
	name  string
	beats []beat
}{
	{"first login, and then there is nothing to do", []beat{
		begun,
		{nothing, nil, nothingToDo, NoObstacle},
		{after(5 * time.Minute), nil, nothingToDo, NoObstacle},
	}},
	{"three refreshes, then the server refuses the fourth: one login, at once", []beat{
		begun,
		{woken, says(granted), renewal, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
		{woken, says(refused, granted), fallback, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"three refreshes, the third without a successor: a login when due", []beat{
		begun,
		{woken, says(granted), renewal, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
		{woken, says(noNext), renewal, NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
		{woken, says(granted), login, NoObstacle},
	}},
	{"a server without refresh tokens: a login whenever due", []beat{
		{nothing, says(noNext), login, NoObstacle},
		{woken, says(noNext), login, NoObstacle},
		{woken, says(noNext), login, NoObstacle},
	}},
	{"a refused password stops the session until it is corrected", []beat{
		{mistyped, says(refused), "ReadCredentials Login", CredentialsRefused},
		{nothing, nil, nothingToDo, CredentialsRefused},
		{after(time.Hour), nil, nothingToDo, CredentialsRefused},
		{corrected, says(granted), login, NoObstacle},
	}},
	{"a refused password is tried again after the long interval, once", []beat{
		{mistyped, says(refused), "ReadCredentials Login", CredentialsRefused},
		{woken, says(refused), "ReadCredentials Login", CredentialsRefused},
		{after(time.Hour), nil, nothingToDo, CredentialsRefused},
	}},
	{"a refused password is not sent again because its Secret was touched", []beat{
		{mistyped, says(refused), "ReadCredentials Login", CredentialsRefused},
		{touched, nil, "ReadCredentials Refuse", CredentialsRefused},
		{nothing, nil, nothingToDo, CredentialsRefused},
	}},
	{"a password mistyped and put back costs one refusal and no chain", []beat{
		begun,
		{mistyped, says(refused), "ReadCredentials Login", CredentialsRefused},
		{corrected, nil, "ReadCredentials Adopt", NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"a user who asks has a refused password tried once more", []beat{
		{mistyped, says(refused), "ReadCredentials Login", CredentialsRefused},
		{asked, says(refused), "ReadCredentials Login", CredentialsRefused},
		{asked, says(granted), login, NoObstacle},
	}},
	{"a credentials Secret touched without a change of content costs no call", []beat{
		begun,
		{touched, nil, "ReadCredentials Adopt", NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"a credentials Secret touched when the token is due: adopted, then refreshed", []beat{
		begun,
		{then(woken, touched), says(granted), "ReadCredentials Adopt " + renewal, NoObstacle},
	}},
	{"a credentials Secret deleted and put back costs no login", []beat{
		begun,
		{deleted, nil, nothingToDo, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
		{corrected, nil, "ReadCredentials Adopt", NoObstacle},
	}},
	{"a credentials Secret deleted for good: the chain goes on to its end", []beat{
		begun,
		{then(deleted, woken), says(granted), renewal, NoObstacle},
		{woken, says(refused), "Refresh", CredentialsFault},
		{woken, nil, nothingToDo, CredentialsFault},
		{corrected, says(granted), "ReadCredentials Adopt Login Store Publish", NoObstacle},
	}},
	{"no credentials yet, and then they come", []beat{
		{deleted, nil, nothingToDo, CredentialsFault},
		{corrected, says(granted), login, NoObstacle},
	}},
	{"a renewal asked for is made once", []beat{
		begun,
		{then(after(time.Minute), asked), says(granted), renewal, NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
	}},
	{"a renewal asked for whose refresh is refused: one login, at once", []beat{
		begun,
		{then(after(time.Minute), asked), says(refused, granted), fallback, NoObstacle},
	}},
	{"a renewal asked for during an outage is tried at once, then backs off", []beat{
		begun,
		{woken, says(notSent), "Refresh", BackingOff},
		{asked, says(notSent), "Refresh", BackingOff},
		{nothing, nil, nothingToDo, BackingOff},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"suspended with a good token: no call, though it expires", []beat{
		begun,
		{paused, nil, nothingToDo, Suspended},
		{woken, nil, nothingToDo, Suspended},
		{resumed, says(granted), renewal, NoObstacle},
	}},
	{"suspended without a token: no call, and resumed with a login", []beat{
		{then(paused, asked), nil, nothingToDo, Suspended},
		{after(24 * time.Hour), nil, nothingToDo, Suspended},
		{resumed, says(granted), login, NoObstacle},
	}},
	{"suspended, the target still comes back", []beat{
		begun,
		{then(paused, erased), nil, "Publish", Suspended},
	}},
	{"the endpoint changes: a login there, and the chain begins anew", []beat{
		begun,
		{relocated, says(granted), login, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"a user who wants tokens revoked: the finalizer first, and gone when it is wanted no more", []beat{
		{asksToRevoke, says(granted), "AddFinalizer " + login, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
		{retains, nil, "RemoveFinalizer", NoObstacle},
		{removed, nil, nothingToDo, NoObstacle},
	}},
	{"on its way out the token is revoked once, and then nothing holds the object", []beat{
		{asksToRevoke, says(granted), "AddFinalizer " + login, NoObstacle},
		{removed, nil, "Revoke RemoveFinalizer", NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
	}},
	{"the endpoint changes: the former token is revoked once its successor is told of, a renewal revokes none", []beat{
		{asksToRevoke, says(granted), "AddFinalizer " + login, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
		{relocated, says(granted), login, NoObstacle},
		{woken, nil, "RevokeFormer", NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
		{woken, says(refused, granted), fallback, NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
	}},
	{"the endpoint changes twice: the former token is tried before another takes its place", []beat{
		{asksToRevoke, says(granted), "AddFinalizer " + login, NoObstacle},
		{relocated, says(granted), login, NoObstacle},
		{relocated, says(granted), "RevokeFormer " + login, NoObstacle},
		{woken, nil, "RevokeFormer", NoObstacle},
	}},
	{"the endpoint changes, and nobody wants tokens revoked: none is kept", []beat{
		{asksToRevoke, says(granted), "AddFinalizer " + login, NoObstacle},
		{then(retains, relocated), says(granted), "RemoveFinalizer " + login, NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
	}},
	{"the endpoint changes to one that is not allowed, and back in time", []beat{
		begun,
		{then(relocated, blocked), nil, nothingToDo, EndpointFault},
		{unblocked, says(granted), login, NoObstacle},
	}},
	{"a crash after the claim: one login, and the refresh token is never sent", []beat{
		begun,
		{then(woken, crashedAfterClaim), says(granted), login, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"a crash after the claim of a renewal asked for: one login, at once", []beat{
		begun,
		{then(after(time.Minute), crashedAfterClaim), says(granted), login, NoObstacle},
	}},
	{"a crash in a login: another", []beat{
		{crashedInLogin, says(granted), login, NoObstacle},
	}},
	{"the refresh token expires while the operator is down", []beat{
		begun,
		{after(2 * time.Hour), says(granted), login, NoObstacle},
	}},
	{"the access token alone expires while the operator is down", []beat{
		begun,
		{after(30 * time.Minute), says(granted), renewal, NoObstacle},
	}},
	{"a refresh that was not sent is sent later", []beat{
		begun,
		{woken, says(notSent), "Refresh", BackingOff},
		{woken, says(notSent), "Refresh", BackingOff},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"a refresh without an answer is not sent again: a login after the backoff", []beat{
		begun,
		{woken, says(lost), "Refresh", BackingOff},
		{woken, says(granted), login, NoObstacle},
	}},
	{"a refresh throttled and a login throttled: each costs a backoff", []beat{
		begun,
		{woken, says(throttled), "Refresh", BackingOff},
		{woken, says(throttled), "ReadCredentials Login", BackingOff},
		{woken, says(granted), login, NoObstacle},
	}},
	{"logins without an answer are held before they can lock the account", []beat{
		{nothing, says(lost), "ReadCredentials Login", BackingOff},
		{woken, says(lost), "ReadCredentials Login", BackingOff},
		{woken, says(lost), "ReadCredentials Login", BackingOff},
		{woken, nil, "ReadCredentials", CredentialsRefused},
		{asked, nil, "ReadCredentials", CredentialsRefused},
		{woken, says(granted), login, NoObstacle},
	}},
	{"no free place for a login, nor for a refresh: each is made when there is one", []beat{
		{nothing, says(noPlace), "ReadCredentials Login", Busy},
		{nothing, says(granted), login, NoObstacle},
		{woken, says(noPlace), "Refresh", Busy},
		{nothing, says(granted), renewal, NoObstacle},
	}},
	{"a login without an answer is repeated with the next code, and a refresh needs none", []beat{
		{secured, nil, "ReadCredentials", AwaitingCode},
		{woken, says(lost), "ReadCredentials Login", BackingOff},
		{woken, nil, "ReadCredentials", AwaitingCode},
		{woken, says(granted), login, NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"a target deleted or edited comes back without a call", []beat{
		begun,
		{erased, nil, "Publish", NoObstacle},
	}},
	{"a target renamed: the new one is written, then the old one goes", []beat{
		begun,
		{retargeted, nil, "Publish RemoveOldTarget", NoObstacle},
	}},
	{"a target renamed when the token is due: what is there first, then the renewal", []beat{
		begun,
		{then(woken, retargeted), says(granted), "Publish RemoveOldTarget " + renewal, NoObstacle},
	}},
	{"a target that belongs to somebody else stops all until it is released", []beat{
		begun,
		{taken, nil, nothingToDo, Conflict},
		{woken, nil, nothingToDo, Conflict},
		{released, says(granted), "Publish " + renewal, NoObstacle},
	}},
	{"a template that cannot be rendered stops all until it is corrected", []beat{
		begun,
		{garbled, nil, nothingToDo, TemplateFault},
		{woken, nil, nothingToDo, TemplateFault},
		{mended, says(granted), "Publish " + renewal, NoObstacle},
	}},
	{"a state Secret that is lost or cannot be read: one login", []beat{
		begun,
		{forgot, says(granted), login, NoObstacle},
	}},
	{"the clock jumps a day ahead and back: a login, then a refresh", []beat{
		begun,
		{after(24 * time.Hour), says(granted), login, NoObstacle},
		{after(-24 * time.Hour), says(granted), renewal, NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
		{woken, says(granted), renewal, NoObstacle},
	}},
	{"the clock steps back a little: nothing", []beat{
		begun,
		{after(-time.Minute), nil, nothingToDo, NoObstacle},
	}},
	{"a token is verified again and again, and renewed when it is due", []beat{
		{watched, says(granted), login, NoObstacle},
		{woken, says(granted), probe, NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
		{woken, says(granted), probe, NoObstacle},
		{after(15 * time.Minute), says(granted), renewal, NoObstacle},
		{woken, says(granted), probe, NoObstacle},
	}},
	{"a token that an administrator ended is refreshed at once", []beat{
		{watched, says(granted), login, NoObstacle},
		{woken, says(refused, granted), probe + " " + renewal, NoObstacle},
		{woken, says(granted), probe, NoObstacle},
	}},
	{"a server restored from a backup: one refusal, one login", []beat{
		{watched, says(granted), login, NoObstacle},
		{woken, says(refused, refused, granted), probe + " " + fallback, NoObstacle},
		{woken, says(granted), probe, NoObstacle},
	}},
	{"a password changed at the server: one refused login, and all is well once the Secret is corrected", []beat{
		{watched, says(granted), login, NoObstacle},
		{woken, says(refused, refused, refused), probe + " Refresh ReadCredentials Login", CredentialsRefused},
		{nothing, nil, nothingToDo, CredentialsRefused},
		{after(time.Minute), nil, nothingToDo, CredentialsRefused},
		{touched, nil, "ReadCredentials Adopt Refuse", CredentialsRefused},
		{renewed, says(granted), login, NoObstacle},
	}},
	{"a verification without a usable answer changes nothing, and is made again at its time", []beat{
		{watched, says(granted), login, NoObstacle},
		{woken, says(lost), probe, NoObstacle},
		{nothing, nil, nothingToDo, NoObstacle},
		{woken, says(throttled), probe, NoObstacle},
		{woken, says(noPlace), probe, NoObstacle},
		{nothing, says(granted), probe, NoObstacle},
	}},
	{"a dead token whose renewal fails is not asked about again", []beat{
		{watched, says(granted), login, NoObstacle},
		{woken, says(refused, notSent), probe + " Refresh", BackingOff},
		{woken, says(lost), "Refresh", BackingOff},
		{woken, says(granted), login, NoObstacle},
		{woken, says(granted), probe, NoObstacle},
	}},
	{"a dead token of a suspended session waits until it is resumed", []beat{
		{watched, says(granted), login, NoObstacle},
		{then(woken, func(c *caller, _ Plan) { c.o.Record.EndedAt = c.now }, paused), nil, nothingToDo, Suspended},
		{resumed, says(granted), renewal, NoObstacle},
	}},
	{"the clock is set back: the token is verified within the interval, and not at once", []beat{
		{watched, says(granted), login, NoObstacle},
		{woken, says(granted), probe, NoObstacle},
		{after(-30 * time.Second), nil, nothingToDo, NoObstacle},
		{after(2 * time.Minute), says(granted), probe, NoObstacle},
	}},
	{"an object on its way out is left alone", []beat{
		begun,
		{then(woken, erased, removed), nil, nothingToDo, NoObstacle},
	}},
}

func TestStories(t *testing.T) {
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			c, asleep := newCaller(), Plan{}
			for i, b := range story.beats {
				b.event(c, asleep)
				steps, plan, err := c.pass(b.answers...)
				got := strings.Trim(fmt.Sprint(steps), "[]")
				if err != nil {
					t.Fatalf("pass %d, after %q: %v", i+1, got, err)
				}
				if got != b.steps || plan.Obstacle != b.left {
					t.Fatalf("pass %d at %s:\n got %q, then %s\nwant %q, then obstacle=%s", i+1, clock(c.now), got, show(plan), b.steps, b.left)
				}
				if len(c.answers) > 0 {
					t.Fatalf("pass %d: nobody heard the answer %q", i+1, c.answers[0])
				}
				asleep = plan
			}
		})
	}
}

// A session that is let alone is renewed again and again, before its token expires, with no login but what the limit of
// the server costs, and with one pass for each token.
func TestAHealthySessionNeverLapses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, limit := newCaller(), rapid.Int64Range(0, 4).Draw(t, "refreshes allowed")
		c.lifetime = rapid.Map(rapid.IntRange(6, 86400), func(s int) time.Duration { return time.Duration(s) * time.Second }).Draw(t, "lifetime")
		c.o.RefreshPercent = rapid.IntRange(10, 90).Draw(t, "percent")
		c.o.Seed = rapid.String().Draw(t, "seed")
		const tokens = 30
		for n := range int64(tokens) {
			if n > 0 && !c.now.Before(c.o.Record.ExpiresAt) {
				t.Fatalf("token %d of %s expired before it was renewed", n, c.lifetime)
			}
			got := granted
			if n%(limit+1) == limit {
				got = noNext
			}
			_, plan, err := c.pass(got)
			if err != nil {
				t.Fatal(err)
			}
			if c.o.Record.Sequence() != n+1 {
				t.Fatalf("pass %d came too early: %s", n+1, show(plan))
			}
			c.now = plan.At
		}
		if want := (tokens + limit) / (limit + 1); c.o.Record.Logins != want {
			t.Errorf("%d logins for %d tokens with %d refreshes each, want %d", c.o.Record.Logins, tokens, limit, want)
		}
	})
}
