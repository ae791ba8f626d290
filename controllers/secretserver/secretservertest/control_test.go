package secretservertest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// control makes a control request and returns the status and the JSON answered.
func (v *vault) control(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	v.Control().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	if !json.Valid(w.Body.Bytes()) {
		t.Fatalf("%s %s answered %d with something other than JSON", method, path, w.Code)
	}
	return w.Code, w.Body.String()
}

func (v *vault) mustControl(t *testing.T, method, path, body string) string {
	t.Helper()
	status, answer := v.control(t, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s answered %d %s", method, path, status, answer)
	}
	return answer
}

func TestControlShowsTheBooks(t *testing.T) {
	v := newVault(t, fake.Options{})
	v.login(t)
	var stats fake.Stats
	if err := json.Unmarshal([]byte(v.mustControl(t, http.MethodGet, "/stats", "")), &stats); err != nil {
		t.Fatal(err)
	}
	if stats.Granted(fake.Password) != 1 || stats.LiveTokens[user] != 1 {
		t.Errorf("stats %+v", stats)
	}
	var journal []fake.Entry
	if err := json.Unmarshal([]byte(v.mustControl(t, http.MethodGet, "/journal", "")), &journal); err != nil {
		t.Fatal(err)
	}
	if len(journal) != 1 || journal[0].Operation != fake.Password {
		t.Errorf("journal %+v", journal)
	}
	v.mustControl(t, http.MethodDelete, "/stats", "")
	if n := v.Stats().Granted(fake.Password); n != 0 {
		t.Errorf("%d logins counted after the reset", n)
	}
}

func TestControlInjectsFaults(t *testing.T) {
	for name, body := range map[string]string{
		"one":  `{"operation":"password","effect":"status","status":503,"count":2,"delay":"1ms"}`,
		"list": ` [{"operation":"password","effect":"status","status":503,"count":1},{"effect":"status","status":503,"count":1}]`,
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{})
			v.mustControl(t, http.MethodPost, "/faults", body)
			for range 2 {
				if w := v.do(tokenRequest(t, "/oauth2/token", passwordForm(user, password))); w.Code != http.StatusServiceUnavailable {
					t.Errorf("answer %d", w.Code)
				}
			}
			v.login(t)
		})
	}
}

func TestControlListsAndClearsFaults(t *testing.T) {
	v := newVault(t, fake.Options{})
	v.Inject(fake.Fault{Effect: fake.HTML, Delay: time.Minute})
	if got := v.mustControl(t, http.MethodGet, "/faults", ""); got != `[{"effect":"html","delay":"1m0s"}]` {
		t.Errorf("faults %s", got)
	}
	v.mustControl(t, http.MethodDelete, "/faults", "")
	if len(v.Faults()) != 0 {
		t.Error("the fault is still there")
	}
}

func TestControlConfigures(t *testing.T) {
	v := newVault(t, fake.Options{})
	answer := v.mustControl(t, http.MethodPost, "/configure",
		`{"token-lifetime":"30s","max-refreshes":1,"revoke-old-on-refresh":true,"expires-in-override":"0"}`)
	for _, want := range []string{
		`"token-lifetime":"30s"`, `"max-refreshes":"1"`, `"revoke-old-on-refresh":"true"`, `"max-login-failures":"5"`,
	} {
		if !strings.Contains(answer, want) || v.mustControl(t, http.MethodGet, "/configure", "") != answer {
			t.Errorf("configuration %s, want %s in it", answer, want)
		}
	}
	first := v.login(t)
	if string(first.ExpiresIn) != "0" {
		t.Errorf("expires_in %s", first.ExpiresIn)
	}
	second := v.mustRefresh(t, first.refresh())
	if v.TokenValid(first.Access) {
		t.Error("the old token lives")
	}
	wantRefusal(t, v, v.tryRefresh(t, second.refresh()), "invalid_request", fake.LimitReached)
}

func TestControlDrivesAccounts(t *testing.T) {
	v := newVault(t, fake.Options{Accounts: []fake.Account{{Username: "joint", Password: "p", Domain: "CORP"}}})
	v.mustControl(t, http.MethodPost, "/accounts", `{"username":"`+user+`","password":"first"}`)
	v.mustControl(t, http.MethodPost, "/accounts/"+user+"/password", `{"password":"`+password+`"}`)
	v.login(t)
	v.mustControl(t, http.MethodPost, `/accounts/CORP%5Cjoint/password`, `{"password":"q"}`)
	v.lock(t)
	if got := v.mustControl(t, http.MethodGet, "/accounts/"+user+"/locked", ""); got != `{"locked":true}` {
		t.Errorf("locked: %s", got)
	}
	v.mustControl(t, http.MethodPost, "/accounts/"+user+"/unlock", "")
	v.login(t)
}

func TestControlKnowsTokens(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	body := `{"token":"` + got.Access + `"}`
	for _, step := range []struct{ path, body, want string }{
		{"/token-valid", body, `{"valid":true}`},
		{"/token-valid", `{"token":"garbage"}`, `{"valid":false}`},
		{"/expire-token", body, `{"expired":true}`},
		{"/token-valid", body, `{"valid":false}`},
		{"/expire-token", body, `{"expired":false}`},
		{"/revoke-all", "", `{"tokens":1}`},
	} {
		if answer := v.mustControl(t, http.MethodPost, step.path, step.body); answer != step.want {
			t.Errorf("%s: %s, want %s", step.path, answer, step.want)
		}
	}
}

func TestControlPlantsTokens(t *testing.T) {
	v := newVault(t, fake.Options{TokenLifetime: time.Minute})
	v.mustControl(t, http.MethodPost, "/accounts/"+user+"/tokens", `{"access":"kept-access","refresh":"kept-refresh"}`)
	if n := v.Stats().Granted(fake.Password); n != 0 {
		t.Errorf("%d logins counted", n)
	}
	if w := v.verify(t, "kept-access"); w.Code != http.StatusOK {
		t.Errorf("the planted access token is answered %d", w.Code)
	}
	next := v.mustRefresh(t, "kept-refresh")
	if !v.TokenValid(next.Access) {
		t.Error("the planted refresh token bought no token")
	}
	wantRefusal(t, v, v.tryRefresh(t, "kept-refresh"), "invalid_grant", fake.TokenSpent)
	v.clock.advance(time.Minute)
	if v.TokenValid("kept-access") {
		t.Error("the planted token outlives its time")
	}
}

func TestControlGivesTheCA(t *testing.T) {
	n := newNetwork(t, fake.Options{}, true)
	var answer struct {
		CA string `json:"ca"`
	}
	if err := json.Unmarshal([]byte(n.mustControl(t, http.MethodGet, "/ca", "")), &answer); err != nil || answer.CA != string(n.CA()) {
		t.Errorf("%q, %v", answer.CA, err)
	}
}

func TestControlTakesTheServerDownAndUp(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	n.mustControl(t, http.MethodPost, "/down", "")
	if _, err := n.post(t, passwordForm(user, password)); err == nil {
		t.Error("it answers though it is down")
	}
	n.mustControl(t, http.MethodPost, "/up", "")
	n.post200(t)
}

func TestControlRefusesWhatMakesNoSense(t *testing.T) {
	tests := map[string]struct {
		path, body string
		status     int
	}{
		"fault that is no JSON":     {"/faults", `{`, 400},
		"fault with a typing error": {"/faults", `{"efect":"drop"}`, 400},
		"fault without meaning":     {"/faults", `{"effect":"status"}`, 400},
		"list with one bad fault":   {"/faults", `[{"effect":"drop"},{"effect":"status"}]`, 400},
		"unknown setting":           {"/configure", `{"token-life":"30s"}`, 400},
		"setting of another kind":   {"/configure", `{"token-lifetime":30}`, 400},
		"setting without meaning":   {"/configure", `{"token-lifetime":"30s","expired-status":500}`, 400},
		"count that is no number":   {"/configure", `{"max-refreshes":"many"}`, 400},
		"settings that are a list":  {"/configure", `[]`, 400},
		"account without a name":    {"/accounts", `{"password":"p"}`, 400},
		"account that is no JSON":   {"/accounts", `p`, 400},
		"password missing":          {"/accounts/" + user + "/password", `{}`, 400},
		"password that is a number": {"/accounts/" + user + "/password", `{"password":1}`, 400},
		"password of nobody":        {"/accounts/nobody/password", `{"password":"p"}`, 404},
		"unlocking nobody":          {"/accounts/nobody/unlock", "", 404},
		"planted token missing":     {"/accounts/" + user + "/tokens", `{"access":"a"}`, 400},
		"planted tokens equal":      {"/accounts/" + user + "/tokens", `{"access":"a","refresh":"a"}`, 400},
		"planting for nobody":       {"/accounts/nobody/tokens", `{"access":"a","refresh":"b"}`, 404},
		"token missing":             {"/token-valid", `{}`, 400},
		"token that is no JSON":     {"/expire-token", `x`, 400},
		"up before the start":       {"/up", "", 500},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{})
			status, answer := v.control(t, http.MethodPost, tt.path, tt.body)
			if status != tt.status || !strings.HasPrefix(answer, `{"error":"`) {
				t.Errorf("answer %d %s, want %d with an error", status, answer, tt.status)
			}
			if len(v.Faults()) != 0 || v.Options().TokenLifetime != 0 {
				t.Error("something took effect")
			}
		})
	}
	v := newVault(t, fake.Options{})
	if status, _ := v.control(t, http.MethodGet, "/accounts/nobody/locked", ""); status != http.StatusNotFound {
		t.Errorf("locked? of nobody: %d", status)
	}
}
