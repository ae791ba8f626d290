package secretservertest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// clock is a time that tests move by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// vault is a fake Secret Server with one account, spoken to without a network.
type vault struct {
	*fake.Server
	clock *clock
}

const (
	user     = "svc-billing"
	password = "correct horse"
)

// newVault has an account of user and password unless the options list others.
func newVault(t *testing.T, o fake.Options) *vault {
	t.Helper()
	v := &vault{clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	o.Clock = v.clock.Now
	if o.Accounts == nil {
		o.Accounts = []fake.Account{{Username: user, Password: password}}
	}
	v.Server = fake.New(o)
	t.Cleanup(v.Close)
	return v
}

// tokens is the answer of the token endpoint.
type tokens struct {
	status    int
	header    http.Header
	body      string
	Access    string          `json:"access_token"`
	Type      string          `json:"token_type"`
	ExpiresIn json.RawMessage `json:"expires_in"`
	Refresh   *string         `json:"refresh_token"`
	Error     string          `json:"error"`
	Message   string          `json:"message"`
}

// refresh is the refresh token, "" for none.
func (k *tokens) refresh() string {
	if k.Refresh == nil {
		return ""
	}
	return *k.Refresh
}

func (v *vault) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	return w
}

func tokenRequest(t *testing.T, path string, form url.Values) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (v *vault) grant(t *testing.T, r *http.Request) *tokens {
	t.Helper()
	w := v.do(r)
	got := &tokens{status: w.Code, header: w.Header(), body: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), got); err != nil {
		t.Fatalf("the token endpoint answered %d with something other than JSON: %v", w.Code, err)
	}
	return got
}

func passwordForm(name, secret string) url.Values {
	return url.Values{"grant_type": {"password"}, "username": {name}, "password": {secret}}
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

func (v *vault) tryLogin(t *testing.T, name, secret string) *tokens {
	t.Helper()
	return v.grant(t, tokenRequest(t, "/oauth2/token", passwordForm(name, secret)))
}

func (v *vault) login(t *testing.T) *tokens {
	t.Helper()
	got := v.tryLogin(t, user, password)
	if got.status != http.StatusOK {
		t.Fatalf("login answered %d %q", got.status, got.Error)
	}
	return got
}

func (v *vault) tryRefresh(t *testing.T, token string) *tokens {
	t.Helper()
	return v.grant(t, tokenRequest(t, "/oauth2/token", refreshForm(token)))
}

func (v *vault) mustRefresh(t *testing.T, token string) *tokens {
	t.Helper()
	got := v.tryRefresh(t, token)
	if got.status != http.StatusOK {
		t.Fatalf("refresh answered %d %q", got.status, got.Error)
	}
	return got
}

// call makes a REST request with a bearer token, none if it is "".
func (v *vault) call(t *testing.T, method, path, token string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return v.do(r)
}

func (v *vault) verify(t *testing.T, token string) *httptest.ResponseRecorder {
	t.Helper()
	return v.call(t, http.MethodGet, "/api/v1/users/current", token)
}

// lastResult is what the journal says of the latest request.
func (v *vault) lastResult(t *testing.T) fake.Result {
	t.Helper()
	journal := v.Journal()
	if len(journal) == 0 {
		t.Fatal("the journal is empty")
	}
	return journal[len(journal)-1].Result
}

func wantRefusal(t *testing.T, v *vault, got *tokens, text string, result fake.Result) {
	t.Helper()
	if got.status != http.StatusBadRequest || got.Error != text {
		t.Errorf("answer %d %q, want 400 %q", got.status, got.Error, text)
	}
	if r := v.lastResult(t); r != result {
		t.Errorf("journal says %q, want %q", r, result)
	}
}
