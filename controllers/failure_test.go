package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// failing is a pass of a session that has failed so often in a row.
func failing(count int32) *pass {
	s := &api.SecretServerSession{}
	s.UID, s.Spec.Endpoint.URL = types.UID("uid"), "https://vault.example.com"
	return &pass{Reconciler: &Reconciler{clock: clocktesting.NewFakeClock(noon)}, session: s, failure: failure{count: count}}
}

func TestEachClassOfAnswerHasItsReasonAndItsCost(t *testing.T) {
	const unavailable, throttled, protocol = api.ReasonEndpointUnavailable, api.ReasonEndpointThrottled, api.ReasonProtocolError
	for name, tt := range map[string]struct {
		err            secretserver.Error
		login, refresh string // the reason
		counts         bool   // as a bad login, perhaps
		wait           time.Duration
	}{
		"no connection":           {secretserver.Error{Kind: secretserver.NotSent, Cause: secretserver.ConnectionRefused}, unavailable, unavailable, false, 0},
		"no name":                 {secretserver.Error{Kind: secretserver.NotSent, Cause: secretserver.NameNotResolved}, unavailable, unavailable, false, 0},
		"an expired certificate":  {secretserver.Error{Kind: secretserver.NotSent, Cause: secretserver.CertificateExpired}, unavailable, unavailable, false, 0},
		"a lost answer":           {secretserver.Error{Kind: secretserver.Ambiguous, Cause: secretserver.ConnectionLost}, unavailable, api.ReasonRefreshFailing, true, 0},
		"a timeout":               {secretserver.Error{Kind: secretserver.Ambiguous, Cause: secretserver.TimedOut}, unavailable, api.ReasonRefreshFailing, true, 0},
		"408":                     {secretserver.Error{Kind: secretserver.Unavailable, Status: 408}, unavailable, unavailable, true, 0},
		"500":                     {secretserver.Error{Kind: secretserver.Unavailable, Status: 500}, unavailable, unavailable, false, 0},
		"502":                     {secretserver.Error{Kind: secretserver.Unavailable, Status: 502}, unavailable, unavailable, true, 0},
		"503":                     {secretserver.Error{Kind: secretserver.Unavailable, Status: 503}, unavailable, unavailable, false, 0},
		"504":                     {secretserver.Error{Kind: secretserver.Unavailable, Status: 504}, unavailable, unavailable, true, 0},
		"429":                     {secretserver.Error{Kind: secretserver.Throttled, Status: 429}, throttled, throttled, false, 0},
		"503 with Retry-After":    {secretserver.Error{Kind: secretserver.Throttled, Status: 503, RetryAfter: time.Minute}, throttled, throttled, false, time.Minute},
		"a web page":              {secretserver.Error{Kind: secretserver.Protocol, Cause: secretserver.HTMLAnswer, Status: 200}, protocol, protocol, false, 0},
		"a grant without a token": {secretserver.Error{Kind: secretserver.Protocol, Cause: secretserver.NoAccessToken, Status: 200}, protocol, protocol, false, 0},
		"a redirect":              {secretserver.Error{Kind: secretserver.Protocol, Cause: secretserver.Redirected, Status: 302}, protocol, protocol, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for grant, reason := range map[session.GrantType]string{session.Password: tt.login, session.RefreshToken: tt.refresh} {
				p := failing(0)
				p.failed(grant, &tt.err)
				if p.failure.reason != reason || p.failure.count != 1 || !p.failure.at.Equal(noon) {
					t.Errorf("%s: %s for the %d. time at %v, want %s", grant, p.failure.reason, p.failure.count, p.failure.at, reason)
				}
				wait := p.failure.retryAt.Sub(noon)
				if least := max(tt.wait, 750*time.Millisecond); wait < least || wait > least+2*time.Second {
					t.Errorf("%s: tried again after %v, want %v and hardly more", grant, wait, least)
				}
			}
			if counts := mayHaveCounted(&tt.err); counts != tt.counts {
				t.Errorf("may have counted as a bad login: %t", counts)
			}
		})
	}
}

func TestBackoffOfASessionDoublesUpToFiveMinutes(t *testing.T) {
	want := time.Second
	for failures := range int32(30) {
		p := failing(failures)
		p.failed(session.Password, broken)
		wait := p.failure.retryAt.Sub(noon)
		if wait < want*3/4 || wait > want+time.Second {
			t.Errorf("after %d failures it is tried again after %v, want %v less up to a quarter", failures+1, wait, want)
		}
		want = min(2*want, session.LongestBackoff)
	}
}
