package secretservertest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestFaultReplacesTheAnswer(t *testing.T) {
	tests := map[string]struct {
		fault  fake.Fault
		status int
		header [2]string
		body   string
	}{
		"a status with a page": {
			fake.Fault{Effect: fake.Status, Status: 502}, 502, [2]string{"Content-Type", "text/html"}, "502 - Bad Gateway",
		},
		"too many requests": {
			fake.Fault{Effect: fake.Status, Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: `{"message":"slow down"}`},
			429, [2]string{"Retry-After", "7"}, `{"message":"slow down"}`,
		},
		"a redirect": {
			fake.Fault{Effect: fake.Status, Status: 307, Header: map[string]string{"Location": "https://elsewhere.example/"}},
			307, [2]string{"Location", "https://elsewhere.example/"}, "",
		},
		"a page with 200": {
			fake.Fault{Effect: fake.HTML}, 200, [2]string{"Content-Type", "text/html"}, "<html>",
		},
		"the request in the error": {
			fake.Fault{Effect: fake.Reflect}, 400, [2]string{"Content-Type", "application/json;charset=UTF-8"},
			`"grant_type=password&password=correct+horse&username=svc-billing"`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{})
			tt.fault.Count = 1
			v.Inject(tt.fault)
			w := v.do(tokenRequest(t, "/oauth2/token", passwordForm(user, password)))
			if w.Code != tt.status || w.Header().Get(tt.header[0]) != tt.header[1] || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("answer %d with %s %q", w.Code, tt.header[0], w.Header().Get(tt.header[0]))
			}
			if r := v.lastResult(t); r != fake.Unprocessed {
				t.Errorf("result %q, want %q", r, fake.Unprocessed)
			}
			v.login(t) // the fault is over
		})
	}
}

func TestFaultMayStrikeAfterTheRequestTookEffect(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	v.Inject(fake.Fault{Operation: fake.Refresh, Effect: fake.Status, Status: 504, Processed: true, Count: 1})
	w := v.do(tokenRequest(t, "/oauth2/token", refreshForm(got.refresh())))
	if w.Code != http.StatusGatewayTimeout {
		t.Fatalf("answer %d", w.Code)
	}
	if n := v.Stats().Granted(fake.Refresh); n != 1 {
		t.Errorf("%d refreshes granted, want 1", n)
	}
	wantRefusal(t, v, v.tryRefresh(t, got.refresh()), "invalid_grant", fake.TokenSpent)
}

func TestFaultAltersAGrant(t *testing.T) {
	tests := map[string]struct {
		fault fake.Fault
		wrong func(*tokens) bool
	}{
		"token type":       {fake.Fault{TokenType: "mac"}, func(k *tokens) bool { return k.Type == "mac" }},
		"expires_in":       {fake.Fault{ExpiresIn: `"soon"`}, func(k *tokens) bool { return string(k.ExpiresIn) == `"soon"` }},
		"no access token":  {fake.Fault{Omit: []string{"access_token"}}, func(k *tokens) bool { return k.Access == "" && k.refresh() != "" }},
		"no refresh token": {fake.Fault{Omit: []string{"refresh_token"}}, func(k *tokens) bool { return k.Refresh == nil && k.Access != "" }},
		"line break":       {fake.Fault{TokenNewline: true}, func(k *tokens) bool { return strings.Count(k.Access, "\n") == 1 }},
		"nothing at all": {
			fake.Fault{Omit: []string{"access_token", "token_type", "expires_in", "refresh_token"}},
			func(k *tokens) bool { return k.body == "{}" },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{})
			tt.fault.Effect = fake.Alter
			v.Inject(tt.fault)
			if got := v.login(t); !tt.wrong(got) {
				t.Error("the grant is as it should be")
			}
		})
	}
}

func TestFaultLeavesAnswersThatAreNoGrantsUnaltered(t *testing.T) {
	v := newVault(t, fake.Options{})
	v.Inject(fake.Fault{Effect: fake.Alter, TokenType: "mac"})
	if got := v.tryLogin(t, user, "wrong"); got.body != `{"error":"Login failed."}` {
		t.Errorf("body %s", got.body)
	}
}

func TestFaultChoosesItsRequests(t *testing.T) {
	broken := func(o fake.Operation) fake.Fault {
		return fake.Fault{Operation: o, Effect: fake.Status, Status: http.StatusTeapot}
	}
	all := []fake.Operation{fake.Password, fake.Refresh, fake.Verify, fake.Revoke, fake.Read, fake.Version, fake.Health, fake.Other}
	tests := map[fake.Operation][]fake.Operation{
		"":         all,
		fake.Any:   all,
		fake.Grant: {fake.Password, fake.Refresh},
	}
	for _, o := range all {
		tests[o] = []fake.Operation{o}
	}
	for struck, want := range tests {
		t.Run("on "+string(struck), func(t *testing.T) {
			v := newVault(t, fake.Options{})
			got := v.login(t)
			v.Inject(broken(struck))
			answers := map[fake.Operation]int{
				fake.Password: v.do(tokenRequest(t, "/oauth2/token", passwordForm(user, password))).Code,
				fake.Refresh:  v.do(tokenRequest(t, "/oauth2/token", refreshForm(got.refresh()))).Code,
				fake.Verify:   v.verify(t, got.Access).Code,
				fake.Version:  v.call(t, http.MethodGet, "/api/v1/version", got.Access).Code,
				fake.Read:     v.call(t, http.MethodGet, "/api/v1/secrets", got.Access).Code,
				fake.Health:   v.call(t, http.MethodGet, "/api/v1/healthcheck", "").Code,
				fake.Other:    v.call(t, http.MethodGet, "/", "").Code,
				fake.Revoke:   v.call(t, http.MethodPost, "/api/v1/oauth-expiration", got.Access).Code,
			}
			wanted := map[fake.Operation]bool{}
			for _, o := range want {
				wanted[o] = true
			}
			for o, status := range answers {
				if (status == http.StatusTeapot) != wanted[o] {
					t.Errorf("%s is answered %d", o, status)
				}
			}
		})
	}
}

func TestFaultChoosesItsAccount(t *testing.T) {
	v := newVault(t, fake.Options{Accounts: []fake.Account{{Username: "a", Password: "p"}, {Username: "b", Password: "p", Domain: "CORP"}}})
	a := v.tryLogin(t, "a", "p")
	b := v.grant(t, tokenRequest(t, "/oauth2/token", withDomain(passwordForm("b", "p"), "CORP")))
	v.Inject(fake.Fault{Account: `CORP\b`, Effect: fake.Status, Status: 503})
	if w := v.verify(t, a.Access); w.Code != http.StatusOK {
		t.Errorf("the other account is answered %d", w.Code)
	}
	v.mustRefresh(t, a.refresh())
	for name, w := range map[string]int{
		"password": v.do(tokenRequest(t, "/oauth2/token", withDomain(passwordForm("b", "p"), "CORP"))).Code,
		"refresh":  v.do(tokenRequest(t, "/oauth2/token", refreshForm(b.refresh()))).Code,
		"verify":   v.verify(t, b.Access).Code,
	} {
		if w != http.StatusServiceUnavailable {
			t.Errorf("%s is answered %d, want 503", name, w)
		}
	}
}

func TestFaultsStrikeInOrderAndAsOftenAsTold(t *testing.T) {
	v := newVault(t, fake.Options{})
	v.Inject(
		fake.Fault{Effect: fake.Status, Status: 500, Count: 2},
		fake.Fault{Effect: fake.Status, Status: 501, Count: 1},
		fake.Fault{Effect: fake.Status, Status: 503},
	)
	for i, want := range []int{500, 500, 501, 503, 503} {
		if i == 1 && v.Faults()[0].Count != 1 {
			t.Errorf("%d strikes left of the first fault, want 1", v.Faults()[0].Count)
		}
		if w := v.call(t, http.MethodGet, "/api/v1/healthcheck", ""); w.Code != want {
			t.Errorf("request %d is answered %d, want %d", i+1, w.Code, want)
		}
	}
	if stats := v.Stats(); stats.Faults[fake.Status] != 5 {
		t.Errorf("%d faults counted, want 5", stats.Faults[fake.Status])
	}
	v.ClearFaults()
	if w := v.call(t, http.MethodGet, "/api/v1/healthcheck", ""); w.Code != http.StatusOK || len(v.Faults()) != 0 {
		t.Errorf("after clearing: %d, %d faults", w.Code, len(v.Faults()))
	}
}

func TestFaultStrikesWithItsProbabilityAndRepeatably(t *testing.T) {
	strikes := func(seed uint64) string {
		v := newVault(t, fake.Options{Seed: seed})
		v.Inject(fake.Fault{Effect: fake.Status, Status: 500, Probability: 0.3})
		var pattern strings.Builder
		for range 1000 {
			if v.call(t, http.MethodGet, "/api/v1/healthcheck", "").Code == http.StatusOK {
				pattern.WriteByte('.')
			} else {
				pattern.WriteByte('x')
			}
		}
		return pattern.String()
	}
	first := strikes(1)
	if n := strings.Count(first, "x"); n < 230 || n > 370 {
		t.Errorf("%d strikes in 1000 at a probability of 0.3", n)
	}
	if strikes(1) != first {
		t.Error("the same seed gave another pattern")
	}
	if strikes(2) == first {
		t.Error("another seed gave the same pattern")
	}
}

func TestFaultsThatMeanNothingAreRefused(t *testing.T) {
	for name, f := range map[string]fake.Fault{
		"operation":      {Operation: "login"},
		"effect":         {Effect: "explode"},
		"status missing": {Effect: fake.Status},
		"status of 1xx":  {Effect: fake.Status, Status: 100},
		"count":          {Count: -1},
		"probability":    {Probability: 1.5},
		"delay":          {Delay: -1},
		"size":           {Effect: fake.Huge, Size: -1},
		"no such field":  {Effect: fake.Alter, Omit: []string{"scope"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := f.Validate(); err == nil {
				t.Error("accepted")
			}
			defer func() {
				if recover() == nil {
					t.Error("Inject did not panic")
				}
			}()
			newVault(t, fake.Options{}).Inject(f)
		})
	}
}

func TestFaultIsTheSameAfterJSON(t *testing.T) {
	f := fake.Fault{Operation: fake.Refresh, Effect: fake.Drop, Processed: true, Count: 2, Delay: 1500 * time.Millisecond}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"operation":"refresh","count":2,"effect":"drop","processed":true,"delay":"1.5s"}`; string(data) != want {
		t.Errorf("JSON %s, want %s", data, want)
	}
	var back fake.Fault
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if back.Delay != f.Delay || back.Operation != f.Operation || back.Effect != f.Effect || !back.Processed || back.Count != 2 {
		t.Errorf("came back as %+v", back)
	}
	for _, bad := range []string{`{"delay":"soon"}`, `{"effekt":"drop"}`, `{"delay":5}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestReflectedRequestIsValidJSON(t *testing.T) {
	v := newVault(t, fake.Options{})
	v.Inject(fake.Fault{Effect: fake.Reflect, Status: 500})
	got := v.grant(t, tokenRequest(t, "/oauth2/token", url.Values{"q": {`"}`}}))
	if got.status != http.StatusInternalServerError || got.Error != "q=%22%7D" {
		t.Errorf("answer %d %q", got.status, got.Error)
	}
}
