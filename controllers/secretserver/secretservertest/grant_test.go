package secretservertest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestLoginAnswersLikeKatana(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	shape := regexp.MustCompile(`^\{"access_token":"Ag[\w-]{254}","token_type":"bearer","expires_in":1199,"refresh_token":"[\w-]{256}"\}$`)
	if !shape.MatchString(got.body) {
		t.Error("the body is not of the documented shape; it is not shown, it holds tokens")
	}
	for name, want := range map[string]string{
		"Content-Type":  "application/json;charset=UTF-8",
		"Cache-Control": "no-cache",
		"Pragma":        "no-cache",
		"Expires":       "-1",
	} {
		if have := got.header.Get(name); have != want {
			t.Errorf("header %s is %q, want %q", name, have, want)
		}
	}
	if !v.TokenValid(got.Access) || v.TokenValid(got.refresh()) {
		t.Error("the access token, and no other, must be valid")
	}
}

func TestTokenRequestIsReadWhateverItLooksLike(t *testing.T) {
	form := passwordForm(user, password).Encode()
	tests := map[string]struct {
		method, path, contentType string
	}{
		"a form":               {http.MethodPost, "/SecretServer/oauth2/token", "application/x-www-form-urlencoded"},
		"a form called JSON":   {http.MethodPost, "/SecretServer/oauth2/token", "application/json"},
		"no content type":      {http.MethodPost, "/SecretServer/oauth2/token", ""},
		"a path in other case": {http.MethodPost, "/secretserver/OAuth2/Token", "text/plain"},
		"another method":       {http.MethodPut, "/SecretServer/oauth2/token", "application/x-www-form-urlencoded"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{BasePath: "SecretServer/"})
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(form))
			r.Header.Set("Content-Type", tt.contentType)
			r.Header.Set("Authorization", "Bearer old") // some clients send it; it does not matter
			if got := v.grant(t, r); got.status != http.StatusOK {
				t.Errorf("answer %d %q, want a grant", got.status, got.Error)
			}
		})
	}
}

func TestTokenRequestsThatMakeNoSenseAreRefused(t *testing.T) {
	tests := map[string]struct {
		body, text string
		result     fake.Result
	}{
		"no grant type":         {"", "unsupported_grant_type", fake.Unsupported},
		"an unknown grant type": {"grant_type=client_credentials", "unsupported_grant_type", fake.Unsupported},
		"grant type in other case": {
			strings.Replace(passwordForm(user, password).Encode(), "=password", "=Password", 1),
			"unsupported_grant_type", fake.Unsupported,
		},
		"a JSON body":    {`{"grant_type":"password"}`, "unsupported_grant_type", fake.Unsupported},
		"a broken form":  {"grant_type=%zz", "invalid_request", fake.Malformed},
		"a body too big": {"grant_type=password&x=" + strings.Repeat("%", 2<<20), "invalid_request", fake.Malformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth2/token", strings.NewReader(tt.body))
			wantRefusal(t, v, v.grant(t, r), tt.text, tt.result)
		})
	}
}

func TestEveryRefusedLoginReadsTheSame(t *testing.T) {
	accounts := []fake.Account{
		{Username: user, Password: password},
		{Username: "joint", Password: "p", Domain: "CORP"},
	}
	tests := map[string]struct {
		form   url.Values
		result fake.Result
	}{
		"wrong password":               {passwordForm(user, "wrong"), fake.WrongPassword},
		"no password":                  {passwordForm(user, ""), fake.WrongPassword},
		"password with a line break":   {passwordForm(user, password+"\n"), fake.WrongPassword},
		"unknown user":                 {passwordForm("nobody", password), fake.UnknownUser},
		"domain account, no domain":    {passwordForm("joint", "p"), fake.UnknownUser},
		"local account, some domain":   {withDomain(passwordForm(user, password), "CORP"), fake.UnknownUser},
		"domain account, other domain": {withDomain(passwordForm("joint", "p"), "EVIL"), fake.UnknownUser},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{Accounts: accounts})
			got := v.grant(t, tokenRequest(t, "/oauth2/token", tt.form))
			wantRefusal(t, v, got, "Login failed.", tt.result)
			if got.body != `{"error":"Login failed."}` {
				t.Errorf("body %s", got.body)
			}
		})
	}
}

func withDomain(form url.Values, domain string) url.Values {
	form.Set("domain", domain)
	return form
}

func TestDomainAccountLogsInWithItsDomain(t *testing.T) {
	v := newVault(t, fake.Options{Accounts: []fake.Account{{Username: "joint", Password: "p", Domain: "CORP"}}})
	got := v.grant(t, tokenRequest(t, "/oauth2/token", withDomain(passwordForm("Joint", "p"), "corp")))
	if got.status != http.StatusOK {
		t.Errorf("answer %d %q", got.status, got.Error)
	}
}

func TestRefusalCanUseThePublishedKey(t *testing.T) {
	v := newVault(t, fake.Options{ErrorKey: "message"})
	if got := v.tryLogin(t, user, "wrong"); got.body != `{"message":"Login failed."}` {
		t.Errorf("body %s", got.body)
	}
}

func TestAccessTokenEndsAtItsTimeout(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	v.clock.advance(20*time.Minute - time.Nanosecond)
	if !v.TokenValid(got.Access) {
		t.Error("dead before its time")
	}
	v.clock.advance(time.Nanosecond)
	if v.TokenValid(got.Access) {
		t.Error("alive at its timeout")
	}
	w := v.verify(t, got.Access)
	if w.Code != http.StatusForbidden || w.Body.String() != `{"message":"Authentication failed or expired token."}` {
		t.Errorf("answer %d %s", w.Code, w.Body)
	}
	if n := v.Stats().ExpiredTokenUses; n != 1 {
		t.Errorf("%d uses of an expired token counted, want 1: TokenValid does not count", n)
	}
}

func TestExpiredTokenCanBeA401(t *testing.T) {
	v := newVault(t, fake.Options{ExpiredStatus: http.StatusUnauthorized})
	got := v.login(t)
	v.clock.advance(time.Hour)
	if w := v.verify(t, got.Access); w.Code != http.StatusUnauthorized {
		t.Errorf("answer %d, want 401", w.Code)
	}
}

func TestLifetimesCanBeSet(t *testing.T) {
	v := newVault(t, fake.Options{TokenLifetime: 30 * time.Second, RefreshLifetime: 40 * time.Second})
	got := v.login(t)
	if string(got.ExpiresIn) != "29" {
		t.Errorf("expires_in %s, want 29", got.ExpiresIn)
	}
	v.clock.advance(30 * time.Second)
	if v.TokenValid(got.Access) {
		t.Error("the access token lives too long")
	}
	v.clock.advance(10 * time.Second)
	wantRefusal(t, v, v.tryRefresh(t, got.refresh()), "invalid_grant", fake.TokenExpired)
}

func TestLifetimesCanDifferByChance(t *testing.T) {
	v := newVault(t, fake.Options{TokenLifetime: time.Hour, LeastLifetime: 10 * time.Minute, ExactExpiresIn: true})
	seen := map[int]bool{}
	for range 100 {
		var seconds int
		if err := json.Unmarshal(v.login(t).ExpiresIn, &seconds); err != nil {
			t.Fatal(err)
		}
		if seconds < 600 || seconds >= 3600 {
			t.Errorf("a lifetime of %d s, want 600 to 3600", seconds)
		}
		seen[seconds/600] = true
	}
	if len(seen) < 5 {
		t.Errorf("lifetimes in %d of five parts of the range", len(seen))
	}
	v.Configure(func(o *fake.Options) { o.LeastLifetime = 0 })
	if got := string(v.login(t).ExpiresIn); got != "3600" {
		t.Errorf("without it a token lasts %s s, want 3600", got)
	}
}

func TestExpiresIn(t *testing.T) {
	tests := map[string]struct {
		options fake.Options
		want    string
	}{
		"a second less":        {fake.Options{}, "1199"},
		"exact":                {fake.Options{ExactExpiresIn: true}, "1200"},
		"as a string":          {fake.Options{ExpiresInAsString: true}, `"1199"`},
		"overridden":           {fake.Options{ExpiresInOverride: "1e18"}, "1e18"},
		"overridden by none":   {fake.Options{ExpiresInOverride: fake.ExpiresInAbsent}, ""},
		"too short to say":     {fake.Options{TokenLifetime: time.Second}, ""},
		"unlimited":            {fake.Options{Unlimited: true}, ""},
		"unlimited, huge":      {fake.Options{Unlimited: true, UnlimitedExpiresIn: fake.ExpiresInHuge}, "922337203685"},
		"unlimited, zero":      {fake.Options{Unlimited: true, UnlimitedExpiresIn: fake.ExpiresInZero}, "0"},
		"unlimited, minus one": {fake.Options{Unlimited: true, UnlimitedExpiresIn: fake.ExpiresInMinusOne}, "-1"},
		"unlimited, a string": {
			fake.Options{Unlimited: true, UnlimitedExpiresIn: fake.ExpiresInMinusOne, ExpiresInAsString: true}, `"-1"`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, tt.options)
			if got := v.login(t); string(got.ExpiresIn) != tt.want {
				t.Errorf("expires_in %q, want %q", got.ExpiresIn, tt.want)
			}
		})
	}
}

func TestUnlimitedTimeoutMeansNoExpiryAndNoRefreshToken(t *testing.T) {
	v := newVault(t, fake.Options{Unlimited: true})
	got := v.login(t)
	if got.Refresh != nil {
		t.Error("a refresh token was issued")
	}
	v.clock.advance(10 * 365 * 24 * time.Hour)
	if !v.TokenValid(got.Access) {
		t.Error("the token ended")
	}
}

func TestTokenSize(t *testing.T) {
	v := newVault(t, fake.Options{TokenSize: 4001})
	got := v.login(t)
	if len(got.Access) != 4001 || len(got.refresh()) != 4001 {
		t.Errorf("sizes %d and %d, want 4001", len(got.Access), len(got.refresh()))
	}
}

func TestTokenEndpointHidesFromPlainHTTP(t *testing.T) {
	v := newVault(t, fake.Options{RequireTLS: true})
	w := v.do(tokenRequest(t, "/oauth2/token", passwordForm(user, password)))
	if w.Code != http.StatusNotFound || !bytes.Contains(w.Body.Bytes(), []byte("<html>")) {
		t.Errorf("answer %d, want a web page that says 404", w.Code)
	}
}
