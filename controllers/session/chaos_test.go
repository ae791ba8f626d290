package session

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever happens, in whatever order: each pass ends, sends no refresh token twice and no refused password again, and
// leaves a wait that ends after it began (the caller sees to all that); and once the world is well again, so is the
// session, by itself.
func TestASessionOutlivesAnyTrouble(t *testing.T) {
	events := []func(*caller, Plan){
		nothing, touched, corrected, mistyped, deleted, asked, paused, resumed, relocated, blocked, unblocked, taken, released,
		garbled, mended, erased, retargeted, forgot, crashedAfterClaim, crashedInLogin, asksToRevoke, retains, watched,
	}
	answers := rapid.SliceOfN(rapid.SampledFrom([]answer{granted, granted, noNext, refused, lost, notSent, throttled, noPlace}), mostRounds, mostRounds)
	rapid.Check(t, func(t *rapid.T) {
		c, asleep := newCaller(), Plan{}
		c.codes = rapid.Bool().Draw(t, "with one-time codes")
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			if !asleep.At.IsZero() && rapid.Bool().Draw(t, "woken") {
				woken(c, asleep)
			} else {
				c.now = c.now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
			}
			rapid.SampledFrom(events).Draw(t, "event")(c, asleep)
			steps, plan, err := c.pass(answers.Draw(t, "answers")...)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %v, then %s", clock(c.now), steps, show(plan))
			asleep = plan
		}
		heal(t, c, rapid.Bool().Draw(t, "credentials are edited"))
	})
}

// heal ends all trouble, and then lets the session alone: woken when it asked to be, it finds its way back.
func heal(t *rapid.T, c *caller, edit bool) {
	c.o.Suspended, c.o.EndpointFault, c.o.Conflict, c.o.TemplateFault = false, false, false, false
	if edit || c.content == "" {
		c.edit("corrected")
	}
	begin := c.now
	const mostVerifications = 60 // every two minutes, in the hours below
	for range 6 + mostVerifications {
		_, plan, err := c.pass(granted, granted)
		if err != nil {
			t.Fatal(err)
		}
		if r := c.o.Record; plan.Obstacle == NoObstacle && c.o.Published && c.now.Before(r.ExpiresAt) && r.EndedAt.IsZero() && r.Identity == c.o.Wanted {
			return
		}
		if plan.At.IsZero() {
			t.Fatalf("stuck: nothing to wait for: %s, record %+v", show(plan), c.o.Record)
		}
		if plan.At.Sub(begin) > 2*time.Hour {
			t.Fatalf("stuck for hours: %s", show(plan))
		}
		c.now = plan.At
	}
	t.Fatalf("not well yet at %s, after %s and so many passes: %+v", clock(c.now), c.now.Sub(begin), c.o.Record)
}
