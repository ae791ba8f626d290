package controllers

import (
	"testing"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

const vaultURL = "https://vault.example.com/SecretServer"

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// credentialsWith are of one account; the passwords differ.
func credentialsWith(password string) secretserver.Credentials {
	return secretserver.Credentials{Username: "billing", Password: password}
}

// attempt begins a login and returns its fingerprint.
func attempt(a *accounts, password string, at time.Time) fingerprint {
	f := fingerprintOf(vaultURL, credentialsWith(password))
	a.begin("account", f, at)
	return f
}

func TestOneRefusalHoldsTheSameCredentials(t *testing.T) {
	a := newAccounts()
	a.refused("account", attempt(a, "wrong", noon), noon)

	if at, _ := a.verdict("account", vaultURL, credentialsWith("wrong"), noon.Add(time.Minute)); !at.Equal(noon) {
		t.Errorf("refused at %v, want %v", at, noon)
	}
	if at, _ := a.verdict("account", vaultURL, credentialsWith("right"), noon.Add(time.Minute)); !at.IsZero() {
		t.Errorf("another password counts as refused at %v", at)
	}
}

func TestBudgetIsBelowSecretServersLockout(t *testing.T) {
	a := newAccounts()
	passwords := []string{"one", "two", "three", "four"}
	for i, password := range passwords {
		at := noon.Add(time.Duration(i) * time.Minute)
		if _, held := a.verdict("account", vaultURL, credentialsWith(password), at); !held.IsZero() {
			t.Fatalf("held at attempt %d; the budget is %d", i+1, lockoutBudget)
		}
		a.refused("account", attempt(a, password, at), at)
	}
	now := noon.Add(10 * time.Minute)
	_, held := a.verdict("account", vaultURL, credentialsWith("five"), now)
	if want := noon.Add(lockoutWindow); !held.Equal(want) {
		t.Errorf("held until %v, want %v: when the oldest bad login no longer counts", held, want)
	}
	if _, held := a.verdict("account", vaultURL, credentialsWith("five"), noon.Add(lockoutWindow)); !held.IsZero() {
		t.Errorf("still held until %v", held)
	}
}

func TestUnansweredLoginsCountUntilTheyAreKnownToBeHarmless(t *testing.T) {
	a := newAccounts()
	var last fingerprint
	for i := range lockoutBudget {
		last = attempt(a, "unknown", noon.Add(time.Duration(i)*time.Second))
	}
	if _, held := a.verdict("account", vaultURL, credentialsWith("unknown"), noon.Add(time.Minute)); held.IsZero() {
		t.Fatal("not held, although each login may have counted as a bad one")
	}
	a.harmless("account", last)
	if _, held := a.verdict("account", vaultURL, credentialsWith("unknown"), noon.Add(time.Minute)); !held.IsZero() {
		t.Errorf("held until %v, although one login was not even sent", held)
	}
}

func TestSuccessForgetsBadLogins(t *testing.T) {
	a := newAccounts()
	for range lockoutBudget {
		a.refused("account", attempt(a, "wrong", noon), noon)
	}
	a.succeeded("account")
	if at, held := a.verdict("account", vaultURL, credentialsWith("wrong"), noon); !at.IsZero() || !held.IsZero() {
		t.Errorf("refused at %v, held until %v; want neither", at, held)
	}
	if len(a.failures) != 0 {
		t.Errorf("%d accounts kept", len(a.failures))
	}
}

func TestRefusalThatManySessionsStoredCountsOnceAfterARestart(t *testing.T) {
	a := newAccounts()
	f := fingerprintOf(vaultURL, credentialsWith("wrong"))
	for range 50 {
		a.recall("account", badLogin{login: f, at: noon, refused: true, count: 1}, noon.Add(time.Minute))
	}
	at, held := a.verdict("account", vaultURL, credentialsWith("wrong"), noon.Add(time.Minute))
	if !at.Equal(noon) || !held.IsZero() {
		t.Errorf("refused at %v, held until %v; want %v and not held", at, held, noon)
	}
}

func TestUnansweredCountsOfSeveralSessionsAreTheLargestOfThem(t *testing.T) {
	a := newAccounts()
	for _, count := range []int{1, 3, 2} {
		f := fingerprintOf(vaultURL, credentialsWith("unknown"))
		a.recall("account", badLogin{login: f, at: noon, count: count}, noon.Add(time.Minute))
	}
	if _, held := a.verdict("account", vaultURL, credentialsWith("unknown"), noon.Add(time.Minute)); !held.IsZero() {
		t.Fatalf("held until %v with three unanswered logins", held)
	}
	if unanswered := a.begin("account", fingerprintOf(vaultURL, credentialsWith("unknown")), noon.Add(time.Minute)); unanswered != 4 {
		t.Errorf("the next login is unanswered number %d, want 4", unanswered)
	}
}

func TestCrashesBeforeTheAnswerIsStoredCannotLockTheAccount(t *testing.T) {
	// Each process begins a login, stores the intent, and dies. The next one recalls the intent.
	type intent struct {
		login fingerprint
		count int
	}
	var stored *intent
	logins := 0
	for i := range 20 {
		now := noon.Add(time.Duration(i) * time.Minute)
		a := newAccounts()
		if stored != nil {
			a.recall("account", badLogin{login: stored.login, at: noon, count: stored.count}, now)
		}
		if _, held := a.verdict("account", vaultURL, credentialsWith("wrong"), now); !held.IsZero() {
			continue
		}
		f := fingerprintOf(vaultURL, credentialsWith("wrong"))
		stored = &intent{f, a.begin("account", f, now)}
		logins++
	}
	if logins >= 5 {
		t.Errorf("%d logins in 20 crashes; the fifth locks the account", logins)
	}
}

func TestFingerprintTellsLoginsApart(t *testing.T) {
	f := fingerprintOf(vaultURL, secretserver.Credentials{Username: "u", Password: "p", Domain: "d"})
	for name, c := range map[string]struct {
		url  string
		with secretserver.Credentials
		want bool
	}{
		"the same":         {vaultURL, secretserver.Credentials{Username: "u", Password: "p", Domain: "d"}, true},
		"another password": {vaultURL, secretserver.Credentials{Username: "u", Password: "q", Domain: "d"}, false},
		"another server":   {vaultURL + "2", secretserver.Credentials{Username: "u", Password: "p", Domain: "d"}, false},
		"a shifted border": {vaultURL, secretserver.Credentials{Username: "up", Domain: "d"}, false},
		"no domain":        {vaultURL, secretserver.Credentials{Username: "u", Password: "p"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := f.matches(c.url, c.with); got != c.want {
				t.Errorf("matches = %v, want %v", got, c.want)
			}
		})
	}
	if fingerprint(nil).matches(vaultURL, secretserver.Credentials{}) {
		t.Error("no fingerprint matches a login")
	}
}
