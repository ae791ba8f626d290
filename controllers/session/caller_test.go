package session

import (
	"fmt"
	"reflect"
	"time"
)

// answer is what becomes of a request to Secret Server.
type answer string

const (
	granted   answer = "granted"
	noNext    answer = "granted, without a refresh token"
	refused   answer = "refused"
	lost      answer = "sent, and no answer came" // a timeout, a 5xx, a cut connection
	notSent   answer = "not sent"                 // the connection never opened
	throttled answer = "throttled"
	noPlace   answer = "no free place" // the caller's own limit: nothing was sent
)

const (
	lifetime   = 20 * time.Minute
	mostRounds = 12
	// mostLost is how many logins without an answer the caller dares before it holds the account.
	mostLost = 3
)

// caller plays the reconciler of one session, and the server as far as the script says: it observes, asks Decide, takes
// the step, and asks again until there is nothing to do.
type caller struct {
	now time.Time
	// o is the observation but for what is known of one pass alone.
	o Observation
	// memory is a grant that is not stored yet.
	memory Record
	// content of the credentials Secret, empty if it is missing; began is the content that the chain began with.
	content, began string
	// edits of the Secret, each with a version of its own.
	edits int
	// refusals by content, as all sessions share them.
	refusals map[string]time.Time
	failures int
	// held is the end of the hold on the account.
	held time.Time
	// codes: the account needs a one-time code, and lastCode is the time step of the last one that was sent.
	codes    bool
	lastCode int64
	// lifetime of the tokens that the server issues.
	lifetime time.Duration
	// answers are taken in order; a call beyond them is an error.
	answers []answer
	// told is the number of the grant that the status told of last.
	told int64
	// sent numbers the grants whose refresh token has been sent.
	sent map[int64]bool
	// verified numbers the grants whose access token was verified, with the last time.
	verified map[int64]time.Time
}

func newCaller() *caller {
	return &caller{
		now:      noon,
		content:  "right",
		lifetime: lifetime,
		refusals: map[string]time.Time{},
		sent:     map[int64]bool{},
		verified: map[int64]time.Time{},
		o:        Observation{Seed: "uid", RefreshPercent: 67, RefusedRetry: 65 * time.Minute, Wanted: account},
	}
}

// pass runs to the fixed point, and returns the steps taken and the wait at their end.
func (c *caller) pass(answers ...answer) ([]Action, Plan, error) {
	c.answers = answers
	c.o.Inspected, c.o.SameCredentials, c.o.Busy = false, false, false
	c.o.RefusedAt, c.o.LoginHeldUntil, c.o.CodeAt = time.Time{}, time.Time{}, time.Time{}
	c.o.Crowded, c.o.Told = false, c.told == c.o.Record.Sequence()
	if c.o.VerifyAfter.After(c.now) {
		c.o.VerifyAfter = c.now // the clock was set back
	}
	c.o.CredentialsFault = c.content == ""
	var taken []Action
	for range mostRounds {
		plan := Decide(c.o, c.now)
		if plan.Action == Wait {
			if c.o.Published {
				c.told = c.o.Record.Sequence()
			}
			return taken, plan, c.sleepable(plan)
		}
		taken = append(taken, plan.Action)
		next, err := c.step(plan.Action)
		if err != nil {
			return taken, plan, err
		}
		if reflect.DeepEqual(next, c.o) {
			return taken, plan, fmt.Errorf("%s changed nothing, and would be planned for ever", plan.Action)
		}
		c.o = next
		c.o.Told = c.told == c.o.Record.Sequence()
	}
	return taken, Plan{}, fmt.Errorf("no end after %d steps: %v", mostRounds, taken)
}

// sleepable reports a wait that would end before it begins.
func (c *caller) sleepable(p Plan) error {
	if p.Obstacle != Busy && !p.At.IsZero() && !p.At.After(c.now) {
		return fmt.Errorf("at %s: a wait that spins: %s", clock(c.now), show(p))
	}
	return nil
}

// step takes one step and returns what is observed after it.
func (c *caller) step(a Action) (Observation, error) {
	o := c.o
	switch a {
	case Store:
		o.Record, o.Unstored, o.Published = c.memory, false, false
	case Publish:
		o.Published = true
	case RemoveOldTarget:
		o.OldTarget = false
	case ReadCredentials:
		o.Inspected = true
		o.SameCredentials = o.Record.HasToken() && c.content == c.began
		o.RefusedAt, o.LoginHeldUntil = c.refusals[c.content], c.held
		if c.codes {
			o.CodeAt = NextCodeAt(c.lastCode, 0, c.now)
		}
	case Adopt:
		o.Record.Identity = o.Wanted
	case Refuse:
		o.Record.Attempt = &Attempt{Identity: o.Wanted, At: o.RefusedAt, Refused: true}
	case Login, Refresh, Verify:
		return c.call(a)
	case AddFinalizer, RemoveFinalizer:
		o.Finalizer = a == AddFinalizer
	case Revoke:
		o.Revoked = true
	case RevokeFormer:
		o.Record.Former = nil
	default:
		return o, fmt.Errorf("unknown action %q", a)
	}
	return o, nil
}

// call sends a request and takes the next answer of the script.
func (c *caller) call(a Action) (Observation, error) {
	o := c.o
	if len(c.answers) == 0 {
		return o, fmt.Errorf("an unforeseen %s at %s", a, clock(c.now))
	}
	got := c.answers[0]
	c.answers = c.answers[1:]
	if got == noPlace {
		o.Busy = true
		return o, nil
	}
	if a == Verify {
		return c.verify(o, got)
	}
	asked := o.RenewalRequested
	o.RenewalRequested, o.RetryAt = false, time.Time{}
	if a == Login {
		return c.login(o, got, asked)
	}
	return c.refresh(o, got)
}

func (c *caller) login(o Observation, got answer, asked bool) (Observation, error) {
	if at, ok := c.refusals[c.content]; ok && !asked && c.now.Before(at.Add(o.RefusedRetry)) {
		return o, fmt.Errorf("password %q sent at %s, refused at %s", c.content, clock(c.now), clock(at))
	}
	if c.now.Before(c.held) {
		return o, fmt.Errorf("login at %s to an account held until %s", clock(c.now), clock(c.held))
	}
	if step := CodeStep(c.now); c.codes {
		if step == c.lastCode {
			return o, fmt.Errorf("the code of time step %d is sent again at %s", step, clock(c.now))
		}
		c.lastCode = step
	}
	attempt := Attempt{Identity: o.Wanted, At: c.now}
	if last := o.Record.Attempt; last != nil {
		attempt.Bad = last.Bad
	}
	switch got {
	case granted, noNext:
		next := o.Record
		if o.Revoking && next.HasToken() && !o.SameCredentials {
			if next.Former != nil {
				return o, fmt.Errorf("at %s: a former token is dropped untried", clock(c.now))
			}
			next.Former = &Former{ServerURL: next.ServerURL, ExpiresAt: next.ExpiresAt}
		}
		next.Grant, next.Identity, next.Attempt = Password, o.Wanted, nil
		next.Logins, next.RefreshesSinceLogin, next.LastLoginAt = next.Logins+1, 0, c.now
		c.began, c.held = c.content, time.Time{}
		delete(c.refusals, c.content)
		return c.grant(o, next, got, NotIssued), nil
	case refused:
		attempt.Refused = true
		c.refusals[c.content] = c.now
	case notSent:
		c.fail(&o)
	default:
		attempt.Bad++
		if attempt.Bad >= mostLost {
			c.held, attempt.Bad = c.now.Add(65*time.Minute), 0
		}
		c.fail(&o)
	}
	o.Record.Attempt = &attempt
	return o, nil
}

func (c *caller) refresh(o Observation, got answer) (Observation, error) {
	n := o.Record.Sequence()
	if c.sent[n] || o.Record.Refresh != Held {
		return o, fmt.Errorf("the refresh token of grant %d, %s, is sent again", n, o.Record.Refresh)
	}
	if got == notSent { // claimed, and put back
		c.fail(&o)
		return o, nil
	}
	c.sent[n] = true
	o.Record.Refresh, o.Record.RefreshExpiresAt = Claimed, time.Time{}
	switch got {
	case granted, noNext:
		next := o.Record
		next.Grant = RefreshToken
		next.Refreshes, next.RefreshesSinceLogin, next.LastRefreshAt = next.Refreshes+1, next.RefreshesSinceLogin+1, c.now
		return c.grant(o, next, got, LimitReached), nil
	case refused: // the chain is dead, and nothing stands against a login
	default:
		c.fail(&o)
	}
	return o, nil
}

// verify asks about the token. An answer that grants tells that it is alive, one that refuses that it is dead.
func (c *caller) verify(o Observation, got answer) (Observation, error) {
	if !o.Published || !o.Record.EndedAt.IsZero() || !c.now.Before(o.Record.ExpiresAt) {
		return o, fmt.Errorf("a token is verified that nobody uses, or that is known to be dead: %+v", o.Record)
	}
	if last := c.verified[o.Record.Sequence()]; last.After(c.now.Add(-time.Second)) && !last.After(c.now) {
		return o, fmt.Errorf("the token is verified at %s and again at %s", clock(last), clock(c.now))
	}
	c.verified[o.Record.Sequence()] = c.now
	o.VerifyAfter = c.now
	if got == refused {
		o.Record.EndedAt = c.now
	}
	return o, nil
}

func (c *caller) grant(o Observation, next Record, got answer, without RefreshState) Observation {
	next.IssuedAt, next.ExpiresAt = c.now, c.now.Add(c.lifetime)
	next.EndedAt, o.VerifyAfter = time.Time{}, c.now
	next.Refresh, next.RefreshExpiresAt = Held, next.ExpiresAt.Add(RefreshGrace)
	if got == noNext {
		next.Refresh, next.RefreshExpiresAt = without, time.Time{}
	}
	c.memory, c.failures, o.Unstored = next, 0, true
	return o
}

func (c *caller) fail(o *Observation) {
	c.failures++
	o.RetryAt = c.now.Add(Backoff(c.failures, o.Seed))
}

// edit replaces the content of the credentials Secret. What failed with the old one is tried again.
func (c *caller) edit(content string) {
	c.edits++
	c.content = content
	c.o.Wanted.Version = fmt.Sprintf("edit %d", c.edits)
	c.o.RetryAt, c.failures = time.Time{}, 0
}

// move changes the endpoint, whose accounts are others.
func (c *caller) move() {
	c.edits++
	c.o.Wanted.Source = fmt.Sprintf("vault %d", c.edits)
	c.began, c.held = "", time.Time{}
	clear(c.refusals)
	c.o.RetryAt, c.failures = time.Time{}, 0
}
