package controllers

import (
	"testing"
	"time"

	"tokensync.dev/secret-server-operator/controllers/session"
)

const quickest = 30 * time.Second

var (
	firstToken  = tokenOf{session: "uid", digest: "first"}
	secondToken = tokenOf{session: "uid", digest: "second"}
)

func TestVerificationCountsFromTheLastOfTheSameToken(t *testing.T) {
	who := named("billing")
	for name, story := range map[string]struct {
		happens func(*verifications)
		token   tokenOf
		at      time.Time // when the plan is made
		want    time.Time
	}{
		"a token seen for the first time counts from then": {func(*verifications) {}, firstToken, noon, noon},
		"a token seen before counts from when it was seen": {func(v *verifications) {
			v.plan(who, firstToken, quickest, noon)
		}, firstToken, noon.Add(time.Minute), noon},
		"a token that is alive counts from its verification": {func(v *verifications) {
			v.plan(who, firstToken, quickest, noon)
			v.alive(who, noon.Add(time.Second))
		}, firstToken, noon.Add(time.Minute), noon.Add(time.Second)},
		"a token of which nothing is known does, too": {func(v *verifications) {
			v.plan(who, firstToken, quickest, noon)
			v.unknown(who, noon.Add(time.Second), 0)
		}, firstToken, noon.Add(time.Minute), noon.Add(time.Second)},
		"a pause that the server asks for is kept": {func(v *verifications) {
			v.plan(who, firstToken, quickest, noon)
			v.unknown(who, noon.Add(time.Second), 5*time.Minute)
		}, firstToken, noon.Add(time.Minute), noon.Add(time.Second + 5*time.Minute)},
		"another token counts from when it is seen": {func(v *verifications) {
			v.plan(who, firstToken, quickest, noon)
			v.alive(who, noon.Add(time.Second))
		}, secondToken, noon.Add(time.Minute), noon.Add(time.Minute)},
		"the token of another session of that name, too": {func(v *verifications) {
			v.plan(who, firstToken, quickest, noon)
		}, tokenOf{session: "another", digest: "first"}, noon.Add(time.Minute), noon.Add(time.Minute)},
		"what was forgotten counts anew": {func(v *verifications) {
			v.plan(who, firstToken, quickest, noon)
			v.forget(who)
		}, firstToken, noon.Add(time.Minute), noon.Add(time.Minute)},
		"a clock that was set back counts anew": {func(v *verifications) {
			v.plan(who, firstToken, quickest, noon.Add(time.Hour))
			v.alive(who, noon.Add(time.Hour))
		}, firstToken, noon, noon},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifications()
			story.happens(v)
			interval, after := v.plan(who, story.token, quickest, story.at)
			if !after.Equal(story.want) || interval != quickest {
				t.Errorf("every %s after %s, want every %s after %s", interval, after, quickest, story.want)
			}
		})
	}
}

// A server that calls each fresh token dead is believed each time, and costs a renewal each time. That must end in
// about one an hour, and as soon as one token is alive all is as before.
func TestServerThatCallsEveryTokenDeadIsNoLoginStorm(t *testing.T) {
	const day, lifetime = 24 * time.Hour, 20 * time.Minute
	who, v := named("billing"), newVerifications()
	renewals, token, issued := 0, firstToken, noon
	var interval time.Duration
	for now := noon; now.Before(noon.Add(day)); now = now.Add(time.Second) {
		var after time.Time
		interval, after = v.plan(who, token, quickest, now)
		dead := !now.Before(session.VerifyAt(issued, interval, "uid", after))
		if dead {
			v.dead(who, now)
			renewals++
		}
		if dead || !now.Before(session.RefreshAt(issued, issued.Add(lifetime), 67, "uid")) {
			token.digest, issued = now.String(), now
		}
	}
	if most := 24 + 10; renewals > most || renewals < 10 {
		t.Errorf("%d renewals a day on account of dead tokens, want some, and at most %d", renewals, most)
	}
	if interval != time.Hour {
		t.Errorf("verified every %s in the end, want an hour", interval)
	}
	v.alive(who, noon.Add(day))
	if interval, _ = v.plan(who, token, quickest, noon.Add(day)); interval != quickest {
		t.Errorf("verified every %s after a token that is alive, want %s", interval, quickest)
	}
}

func TestNothingIsKeptOfASessionThatIsGone(t *testing.T) {
	v := newVerifications()
	v.plan(named("billing"), firstToken, quickest, noon)
	v.forget(named("billing"))
	v.alive(named("billing"), noon) // by a pass that ends after it
	if len(v.known) != 0 {
		t.Errorf("kept: %v", v.known)
	}
}
