package controllers

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

func TestTheLogTellsWhenASessionStandsOtherwise(t *testing.T) {
	const (
		held    = "Refreshable=True " + api.ReasonRefreshTokenHeld
		limit   = "Refreshable=False " + api.ReasonRefreshLimitReached
		failing = "Reconciling=True " + api.ReasonEndpointUnavailable
		slowed  = "Reconciling=True " + api.ReasonEndpointThrottled
		expired = "Ready=False " + api.ReasonTokenExpired
		away    = "Ready=False " + api.ReasonEndpointUnavailable
		lost    = "Stalled=True " + api.ReasonCredentialsNotFound
	)
	for name, c := range map[string]struct {
		before, after []string
		want          string // the condition that is told; empty: none
	}{
		"nothing happened":            {[]string{current, held}, []string{current, held}, ""},
		"another refresh token":       {[]string{current, held}, []string{current, limit}, ""},
		"the first status":            {nil, []string{away, failing}, failing},
		"renewals begin to fail":      {[]string{current}, []string{current, failing}, failing},
		"they fail otherwise":         {[]string{current, failing}, []string{current, slowed}, slowed},
		"they go on to fail":          {[]string{current, failing}, []string{current, failing}, ""},
		"they succeed":                {[]string{current, failing}, []string{current}, current},
		"the token expires meanwhile": {[]string{current, failing}, []string{away, failing}, failing},
		"the token expires":           {[]string{current}, []string{expired}, expired},
		"a person must act":           {[]string{current, failing}, []string{current, lost}, lost},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := enrolled(t, "billing", c.before...), enrolled(t, "billing", c.after...)
			now, turned := turn(before.Status, after.Status)
			got := ""
			if turned {
				got = now.Type + "=" + string(now.Status) + " " + now.Reason
			}
			if got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnEventDoesNotHideThatAPersonMustAct(t *testing.T) {
	var (
		stalled  = metav1.Condition{Type: api.ConditionStalled, Reason: api.ReasonCredentialsNotFound}
		well     = metav1.Condition{Type: api.ConditionReady, Reason: api.ReasonTokenCurrent}
		loggedIn = transition{kind: corev1.EventTypeNormal, reason: api.EventLoggedIn}
		repaired = transition{kind: corev1.EventTypeNormal, reason: api.EventTargetRepaired}
		rejected = transition{kind: corev1.EventTypeWarning, reason: api.EventCredentialsRejected}
	)
	for name, c := range map[string]struct {
		told []transition
		now  metav1.Condition
		want bool
	}{
		"no event":                          {nil, well, false},
		"a login tells that all is well":    {[]transition{loggedIn}, well, true},
		"a repair tells nothing of it":      {[]transition{repaired}, well, false},
		"a login beside what stalls":        {[]transition{loggedIn}, stalled, false},
		"a warning of what stalls":          {[]transition{rejected}, stalled, true},
		"a login and a warning of it":       {[]transition{loggedIn, rejected}, stalled, true},
		"a repair and a login, all is well": {[]transition{repaired, loggedIn}, well, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tells(c.told, c.now); got != c.want {
				t.Errorf("told already: %t, want %t", got, c.want)
			}
		})
	}
}
