package secretservertest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestStatsCountGrantsAndRequests(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	v.login(t)
	v.tryLogin(t, user, "wrong")
	v.tryLogin(t, "hunter2", "a password typed as a username") // must not appear
	v.mustRefresh(t, got.refresh())
	v.tryRefresh(t, "garbage")
	v.verify(t, got.Access)
	v.call(t, http.MethodGet, "/api/v1/secrets/12?secretPath=x", got.Access)
	stats := v.Stats()
	if p, r := stats.Granted(fake.Password), stats.Granted(fake.Refresh); p != 2 || r != 1 {
		t.Errorf("granted %d logins, %d refreshes; want 2 and 1", p, r)
	}
	if p, r := stats.Refused(fake.Password), stats.Refused(fake.Refresh); p != 2 || r != 1 {
		t.Errorf("refused %d logins, %d refreshes; want 2 and 1", p, r)
	}
	if stats.FailedLogins[user] != 1 || stats.FailedLogins["(unknown)"] != 1 || len(stats.FailedLogins) != 2 {
		t.Errorf("failed logins %v", stats.FailedLogins)
	}
	for path, want := range map[string]int{"/oauth2/token": 6, "/api/v1/users/current": 1, "/api/v1/secrets/{id}": 1} {
		if stats.Requests[path] != want {
			t.Errorf("%d requests to %s, want %d", stats.Requests[path], path, want)
		}
	}
}

func TestStatsFollowLiveTokens(t *testing.T) {
	v := newVault(t, fake.Options{RevokeOldOnRefresh: true})
	first, second := v.login(t), v.login(t)
	want := func(when string, live, most int) {
		t.Helper()
		stats := v.Stats()
		if stats.LiveTokens[user] != live || stats.MaxLiveTokens[user] != most {
			t.Errorf("%s: %d live, at most %d; want %d and %d", when, stats.LiveTokens[user], stats.MaxLiveTokens[user], live, most)
		}
	}
	want("after two logins", 2, 2)
	v.mustRefresh(t, first.refresh())
	want("after a refresh that ends its predecessor", 2, 2)
	v.call(t, http.MethodPost, "/api/v1/oauth-expiration", second.Access)
	want("after a revocation", 1, 2)
	v.clock.advance(20 * time.Minute)
	want("after the timeout", 0, 2)
	v.ResetStats()
	want("after a reset", 0, 0)
}

func TestResetStatsKeepsTheServersState(t *testing.T) {
	v := newVault(t, fake.Options{MaxLoginFailures: 2})
	got := v.login(t)
	v.tryLogin(t, user, "wrong")
	v.Inject(fake.Fault{Operation: fake.Health, Effect: fake.HTML})
	v.ResetStats()
	stats := v.Stats()
	if stats.Granted(fake.Password) != 0 || len(stats.Requests) != 0 || len(v.Journal()) != 0 {
		t.Error("something is still counted")
	}
	if !v.TokenValid(got.Access) || len(v.Faults()) != 1 {
		t.Error("a token or a fault is gone")
	}
	v.tryLogin(t, user, "wrong")
	if !v.Locked(user) {
		t.Error("the first failure is forgotten")
	}
}

func TestStatsCountConnectionsAndTheRush(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	n.post200(t)
	n.post200(t)
	if c := n.Stats().Connections; c != 1 {
		t.Errorf("%d connections for two requests of one client, want 1", c)
	}
	n.client.CloseIdleConnections()
	n.post200(t)
	if c := n.Stats().Connections; c != 2 {
		t.Errorf("%d connections, want 2", c)
	}
	n.Inject(fake.Fault{Delay: time.Hour})
	for range 3 {
		go func() { // ends with the server
			if body, err := n.post(t, passwordForm(user, password)); err == nil {
				t.Errorf("%d bytes came in spite of the delay", len(body))
			}
		}()
	}
	eventually(t, "the three requests do not arrive", func() bool { return n.Stats().InFlight == 3 })
	n.Close()
	if m := n.Stats().MaxInFlight; m != 3 {
		t.Errorf("at most %d in flight, want 3", m)
	}
}

func TestJournalTellsWhatHappened(t *testing.T) {
	v := newVault(t, fake.Options{})
	first := v.login(t)
	v.Inject(fake.Fault{Operation: fake.Refresh, Effect: fake.Truncate, Count: 1})
	v.do(tokenRequest(t, "/oauth2/token", refreshForm(first.refresh())))
	v.verify(t, first.Access)
	journal := v.Journal()
	if len(journal) != 3 {
		t.Fatalf("%d entries, want 3", len(journal))
	}
	login, refresh, verify := journal[0], journal[1], journal[2]
	if login.Operation != fake.Password || login.Account != user || login.Status != 200 || login.Issued != fake.Fingerprint(first.Access) {
		t.Errorf("login: %+v", login)
	}
	if refresh.Fault == nil || *refresh.Fault != fake.Truncate || refresh.Presented != fake.Fingerprint(first.refresh()) {
		t.Errorf("refresh: %+v", refresh)
	}
	if verify.Path != "/api/v1/users/current" || verify.Presented != login.Issued || !verify.Time.Equal(v.clock.Now()) {
		t.Errorf("verify: %+v", verify)
	}
}

func TestJournalKeepsTheLatest(t *testing.T) {
	v := newVault(t, fake.Options{JournalSize: 3})
	for i := range 10 {
		v.Inject(fake.Fault{Effect: fake.Status, Status: 500 + i, Count: 1})
		v.call(t, http.MethodGet, "/", "")
		v.clock.advance(time.Second)
	}
	var statuses []int
	for _, entry := range v.Journal() {
		statuses = append(statuses, entry.Status)
	}
	if !slices.Equal(statuses, []int{507, 508, 509}) {
		t.Errorf("kept %v", statuses)
	}
	v.Configure(func(o *fake.Options) { o.JournalSize = 2 })
	if n := len(v.Journal()); n != 0 {
		t.Errorf("%d entries after a change of size, want none", n)
	}
}

func TestBooksHoldNoSecrets(t *testing.T) {
	v := newVault(t, fake.Options{Accounts: []fake.Account{
		{Username: user, Password: password, OTPSeed: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", Secrets: team()},
	}})
	v.Inject(fake.Fault{Operation: fake.Password, Effect: fake.Reflect, Count: 1})
	r := tokenRequest(t, "/oauth2/token", passwordForm(user, password))
	v.do(r)
	v.Configure(func(o *fake.Options) { o.Accounts[0].OTPSeed = "" })
	got := v.login(t)
	second := v.mustRefresh(t, got.refresh())
	v.tryRefresh(t, got.refresh())
	v.tryLogin(t, "Tr0ub4dor", "as a username")
	v.verify(t, got.Access)
	v.call(t, http.MethodGet, "/api/v1/secrets/7", got.Access)
	v.call(t, http.MethodGet, "/api/v1/"+got.Access, "")
	books, err := json.Marshal(map[string]any{"stats": v.Stats(), "journal": v.Journal(), "faults": v.Faults()})
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{
		"the password": password, "an access token": got.Access, "a refresh token": got.refresh(),
		"the next access token": second.Access, "a mistyped password": "Tr0ub4dor", "a secret's value": "s3cret",
	} {
		if strings.Contains(string(books), secret) {
			t.Errorf("the books hold %s", name)
		}
	}
}

func TestFingerprint(t *testing.T) {
	// printf abc | sha256sum
	if got := fake.Fingerprint("abc"); got != "ba7816bf" {
		t.Errorf("fingerprint %s", got)
	}
}
