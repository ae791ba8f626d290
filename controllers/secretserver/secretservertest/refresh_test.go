package secretservertest_test

import (
	"net/http"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestRefreshRotatesBothTokens(t *testing.T) {
	v := newVault(t, fake.Options{})
	first := v.login(t)
	second := v.mustRefresh(t, first.refresh())
	if second.Access == first.Access || second.refresh() == first.refresh() || second.refresh() == "" {
		t.Error("a refresh must give a new access token and a new refresh token")
	}
	if !v.TokenValid(second.Access) {
		t.Error("the new token must be valid")
	}
}

func TestRefreshLeavesTheOldTokenAlone(t *testing.T) {
	v := newVault(t, fake.Options{})
	first := v.login(t)
	v.mustRefresh(t, first.refresh())
	if !v.TokenValid(first.Access) {
		t.Error("the old token must live until its own time runs out")
	}
}

func TestRefreshCanEndTheOldToken(t *testing.T) {
	v := newVault(t, fake.Options{RevokeOldOnRefresh: true})
	first := v.login(t)
	v.mustRefresh(t, first.refresh())
	if v.TokenValid(first.Access) {
		t.Error("the old token must be dead")
	}
	if w := v.verify(t, first.Access); w.Code != http.StatusForbidden {
		t.Errorf("the old token is answered with %d, want 403", w.Code)
	}
}

func TestRefreshTokenWorksOnce(t *testing.T) {
	v := newVault(t, fake.Options{})
	first := v.login(t)
	second := v.mustRefresh(t, first.refresh())
	wantRefusal(t, v, v.tryRefresh(t, first.refresh()), "invalid_grant", fake.TokenSpent)
	stats := v.Stats()
	if stats.SpentRefreshTokensResent != 1 || stats.RefreshTokensSeenTwice != 1 {
		t.Errorf("resent %d, seen twice %d; want 1 and 1", stats.SpentRefreshTokensResent, stats.RefreshTokensSeenTwice)
	}
	v.tryRefresh(t, first.refresh())
	stats = v.Stats()
	if stats.SpentRefreshTokensResent != 2 || stats.RefreshTokensSeenTwice != 1 {
		t.Errorf("after one more: resent %d, seen twice %d; want 2 and 1", stats.SpentRefreshTokensResent, stats.RefreshTokensSeenTwice)
	}
	if !v.TokenValid(second.Access) {
		t.Error("reuse must not harm the tokens granted since")
	}
	v.mustRefresh(t, second.refresh())
}

func TestRefreshTokenReuseCanEndTheWholeLogin(t *testing.T) {
	v := newVault(t, fake.Options{RefreshReuseKillsChain: true})
	first := v.login(t)
	second := v.mustRefresh(t, first.refresh())
	unrelated := v.login(t)
	v.tryRefresh(t, first.refresh())
	if v.TokenValid(first.Access) || v.TokenValid(second.Access) {
		t.Error("every token of the login must be dead")
	}
	wantRefusal(t, v, v.tryRefresh(t, second.refresh()), "invalid_grant", fake.TokenRevoked)
	if !v.TokenValid(unrelated.Access) {
		t.Error("another login must not suffer")
	}
}

func TestRefreshRefusesWhatIsNoRefreshToken(t *testing.T) {
	v := newVault(t, fake.Options{})
	first := v.login(t)
	for name, token := range map[string]string{"never issued": "garbage", "empty": "", "an access token": first.Access} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, v, v.tryRefresh(t, token), "invalid_grant", fake.TokenUnknown)
		})
	}
}

func TestRefreshesPerLoginAreLimited(t *testing.T) {
	tests := map[string]struct {
		max      *int
		omit     bool
		granted  int  // refreshes
		lastHas  bool // a refresh token
		wantText string
	}{
		"three by default":                   {nil, false, 3, true, "invalid_request"},
		"three, the last without a token":    {nil, true, 3, false, ""},
		"one":                                {new(1), false, 1, true, "invalid_request"},
		"none":                               {new(0), false, 0, true, "invalid_request"},
		"none, and the login has no token":   {new(0), true, 0, false, ""},
		"without limit (ten are tried here)": {new(-1), true, 10, true, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{MaxRefreshes: tt.max, OmitRefreshTokenOnLast: tt.omit})
			last := v.login(t)
			for range tt.granted {
				last = v.mustRefresh(t, last.refresh())
			}
			if has := last.refresh() != ""; has != tt.lastHas {
				t.Fatalf("the last permitted grant has a refresh token: %v, want %v", has, tt.lastHas)
			}
			if tt.wantText == "" {
				return
			}
			wantRefusal(t, v, v.tryRefresh(t, last.refresh()), tt.wantText, fake.LimitReached)
			if !v.TokenValid(last.Access) {
				t.Error("the refusal must not harm the access token")
			}
			fresh := v.login(t)
			if tt.granted > 0 {
				v.mustRefresh(t, fresh.refresh()) // a login begins a new count
			}
		})
	}
}

func TestRefreshWorksFifteenMinutesBeyondTheAccessToken(t *testing.T) {
	tests := map[string]struct {
		age  time.Duration
		want fake.Result
	}{
		"while the access token lives":   {10 * time.Minute, fake.Granted},
		"after it has run out":           {25 * time.Minute, fake.Granted},
		"until just before the end":      {35*time.Minute - 1, fake.Granted},
		"but not at 35 minutes":          {35 * time.Minute, fake.TokenExpired},
		"nor long after, when it is old": {24 * time.Hour, fake.TokenExpired},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{})
			got := v.login(t)
			v.clock.advance(tt.age)
			v.tryRefresh(t, got.refresh())
			if r := v.lastResult(t); r != tt.want {
				t.Errorf("result %q, want %q", r, tt.want)
			}
		})
	}
}

func TestRefreshTokensCanBeOff(t *testing.T) {
	v := newVault(t, fake.Options{})
	before := v.login(t)
	v.Configure(func(o *fake.Options) { o.RefreshDisabled = true })
	if got := v.login(t); got.Refresh != nil {
		t.Error("a refresh token was issued")
	}
	wantRefusal(t, v, v.tryRefresh(t, before.refresh()), "invalid_grant", fake.RefreshOff)
	v.Configure(func(o *fake.Options) { o.RefreshDisabled = false })
	v.mustRefresh(t, before.refresh())
}
