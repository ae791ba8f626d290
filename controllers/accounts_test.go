package controllers

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

const (
	vaultURL = "https://vault.example.com/SecretServer"
	billing  = "digest of the account"
	retry    = 65 * time.Minute
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// credentialsWith are of one account; the passwords differ.
func credentialsWith(password string) secretserver.Credentials {
	return secretserver.Credentials{Username: "billing", Password: password}
}

// attempt begins a login of a session whose state Secret is "s", and returns its fingerprint.
func attempt(a *accounts, password string, at time.Time) fingerprint {
	f := fingerprintOf(vaultURL, credentialsWith(password))
	a.begin(billing, f, at)
	return f
}

// judge is the verdict on a password a minute after noon.
func judge(a *accounts, password string) verdict {
	return a.verdict(billing, vaultURL, credentialsWith(password), noon.Add(time.Minute))
}

func TestOneRefusalHoldsTheSameCredentials(t *testing.T) {
	a := newAccounts(retry)
	a.refused(billing, "s", attempt(a, "wrong", noon), noon)

	if got := judge(a, "wrong").refusedAt; !got.Equal(noon) {
		t.Errorf("refused at %v, want %v", got, noon)
	}
	if got := judge(a, "right").refusedAt; !got.IsZero() {
		t.Errorf("another password counts as refused at %v", got)
	}
}

func TestBudgetIsBelowSecretServersLockout(t *testing.T) {
	a := newAccounts(retry)
	for i := range lockoutBudget {
		password, at := fmt.Sprint("wrong ", i), noon.Add(time.Duration(i)*time.Second)
		if v := a.verdict(billing, vaultURL, credentialsWith(password), at); !v.heldUntil.IsZero() {
			t.Fatalf("held at attempt %d; the budget is %d", i+1, lockoutBudget)
		}
		a.refused(billing, "s", attempt(a, password, at), at)
	}
	if got, want := judge(a, "another").heldUntil, noon.Add(lockoutWindow); !got.Equal(want) {
		t.Errorf("held until %v, want %v: when the oldest bad login no longer counts", got, want)
	}
	if v := a.verdict(billing, vaultURL, credentialsWith("another"), noon.Add(lockoutWindow)); !v.heldUntil.IsZero() {
		t.Errorf("still held until %v", v.heldUntil)
	}
}

func TestOwnAttemptIsKnownWhereverItTurnsUp(t *testing.T) {
	a := newAccounts(retry)
	// The write of the attempt took effect and its answer was lost: the login was not made, and the process does not know
	// the Secret that tells of it.
	f := attempt(a, "right", noon)
	a.harmless(billing, f, noon)

	if a.wants(billing, "the state Secret that was made", &session.Attempt{At: noon, Bad: 1}) {
		t.Error("its own attempt counts as that of another process")
	}
	if !a.wants(billing, "another state Secret", &session.Attempt{At: noon.Add(time.Second), Bad: 1}) {
		t.Error("an attempt that it did not begin is not looked at")
	}
}

func TestNotesOfOneRefusalAreNoNews(t *testing.T) {
	a := newAccounts(retry)
	a.refused(billing, "s", attempt(a, "wrong", noon), noon)

	if a.wants(billing, "another session's state", &session.Attempt{At: noon, Refused: true, Bad: 1}) {
		t.Error("the note of another session counts as another refusal")
	}
	if !a.wants(billing, "another session's state", &session.Attempt{At: noon.Add(time.Second), Refused: true, Bad: 2}) {
		t.Error("a refusal of another moment is not looked at")
	}
}

func TestUnansweredLoginsMakeTheNextOneDoubtful(t *testing.T) {
	a := newAccounts(retry)
	attempt(a, "unknown", noon)
	if judge(a, "unknown").doubtful {
		t.Error("doubtful after one login without an answer")
	}
	last := attempt(a, "unknown", noon)
	if !judge(a, "unknown").doubtful {
		t.Error("not doubtful after two")
	}
	a.harmless(billing, last, noon)
	if judge(a, "unknown").doubtful {
		t.Error("doubtful although one of the two was not even sent")
	}
}

func TestSuccessForgetsBadLogins(t *testing.T) {
	a := newAccounts(retry)
	for range lockoutBudget {
		a.refused(billing, "s", attempt(a, "wrong", noon), noon)
	}
	a.succeeded(billing)
	if got := judge(a, "wrong"); got != (verdict{}) {
		t.Errorf("verdict %+v, want none", got)
	}
	if a.wants(billing, "s", &session.Attempt{At: noon, Refused: true, Bad: lockoutBudget}) {
		t.Error("what was counted before the success is counted again")
	}
}

func TestRefusalThatManySessionsStoredCountsOnce(t *testing.T) {
	a := newAccounts(retry)
	f := fingerprintOf(vaultURL, credentialsWith("wrong"))
	for i := range 50 {
		stored := &session.Attempt{At: noon, Refused: true, Bad: 1}
		a.recall(billing, types.UID(strconv.Itoa(i)), stored, f, noon.Add(time.Minute))
	}
	if got := judge(a, "wrong"); !got.refusedAt.Equal(noon) || !got.heldUntil.IsZero() {
		t.Errorf("verdict %+v, want refused at %v and not held", got, noon)
	}
}

func TestLargestStoredCountStandsForTheAccount(t *testing.T) {
	a := newAccounts(retry)
	for i, bad := range []int{1, 3, 2} {
		f := fingerprintOf(vaultURL, credentialsWith(fmt.Sprint("wrong ", i)))
		a.recall(billing, types.UID(strconv.Itoa(i)), &session.Attempt{At: noon, Refused: true, Bad: bad}, f, noon.Add(time.Minute))
	}
	if got := judge(a, "another").heldUntil; !got.IsZero() {
		t.Fatalf("held until %v with three bad logins", got)
	}
	f := fingerprintOf(vaultURL, credentialsWith("another"))
	if bad := a.begin(billing, f, noon.Add(time.Minute)); bad != 4 {
		t.Errorf("the next login is bad login number %d, want 4", bad)
	}
}

func TestTimesAheadDoNotHoldAnAccount(t *testing.T) {
	a := newAccounts(retry)
	stored := &session.Attempt{At: noon.AddDate(70, 0, 0), Bad: 1000}
	a.recall(billing, "s", stored, fingerprintOf(vaultURL, credentialsWith("x")), noon)
	if got, latest := judge(a, "right").heldUntil, noon.Add(lockoutWindow); got.After(latest) {
		t.Errorf("held until %v; nothing holds longer than %v", got, latest)
	}
}

func TestOwnAttemptsAreNotRecalled(t *testing.T) {
	a := newAccounts(retry)
	attempt(a, "unknown", noon)
	if a.wants(billing, "s", &session.Attempt{At: noon}) {
		t.Error("this process's own attempt would be counted twice")
	}
	if !a.wants(billing, "s", &session.Attempt{At: noon.Add(time.Second)}) {
		t.Error("another process's attempt would not be counted")
	}
}

func TestCrashesBeforeTheAnswerIsStoredCannotLockTheAccount(t *testing.T) {
	// Each process begins a login, stores the intent, and dies. The next one recalls the intent.
	var (
		stored *session.Attempt
		login  fingerprint
		logins int
	)
	for i := range 20 {
		now := noon.Add(time.Duration(i) * time.Minute)
		a := newAccounts(retry)
		if stored != nil {
			a.recall(billing, "s", stored, login, now)
		}
		if v := a.verdict(billing, vaultURL, credentialsWith("wrong"), now); !v.heldUntil.IsZero() {
			continue
		}
		login = fingerprintOf(vaultURL, credentialsWith("wrong"))
		stored = &session.Attempt{At: now, Bad: a.begin(billing, login, now)}
		logins++
	}
	if logins >= 5 {
		t.Errorf("%d logins in 20 crashes; the fifth locks the account", logins)
	}
}

func TestAccountsThatNoLongerMatterAreForgotten(t *testing.T) {
	a := newAccounts(retry)
	for i := range 2 * sweepAbove {
		name := fmt.Sprint("account ", i)
		at := noon.Add(time.Duration(i) * time.Minute)
		a.refused(name, "s", fingerprintOf(vaultURL, credentialsWith("x")), at)
	}
	if len(a.known) > sweepAbove {
		t.Errorf("%d accounts kept; all but those of the last %v are of no use", len(a.known), lockoutWindow)
	}
}

func TestFingerprintTellsLoginsApart(t *testing.T) {
	f := fingerprintOf(vaultURL, secretserver.Credentials{Username: "u", Password: "p", Domain: "d"})
	for name, c := range map[string]struct {
		url  string
		with secretserver.Credentials
		want bool
	}{
		"the same":                    {vaultURL, secretserver.Credentials{Username: "u", Password: "p", Domain: "d"}, true},
		"another spelling of the URL": {"https://VAULT.example.com:443/SecretServer/", secretserver.Credentials{Username: "u", Password: "p", Domain: "d"}, true},
		"another password":            {vaultURL, secretserver.Credentials{Username: "u", Password: "q", Domain: "d"}, false},
		"another server":              {vaultURL + "2", secretserver.Credentials{Username: "u", Password: "p", Domain: "d"}, false},
		"a shifted border":            {vaultURL, secretserver.Credentials{Username: "up", Domain: "d"}, false},
		"no domain":                   {vaultURL, secretserver.Credentials{Username: "u", Password: "p"}, false},
		"an OTP seed":                 {vaultURL, secretserver.Credentials{Username: "u", Password: "p", Domain: "d", OTPSeed: "s"}, false},
		"a one-time code":             {vaultURL, secretserver.Credentials{Username: "u", Password: "p", Domain: "d", OTP: "123456"}, true},
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

func TestSpellingsOfAServerAreOneAccount(t *testing.T) {
	want := accountOf(vaultURL, credentialsWith("p"))
	for _, url := range []string{
		"https://VAULT.example.com/SecretServer", "https://vault.example.com:443/SecretServer",
		"https://vault.example.com./SecretServer", "https://vault.example.com/SecretServer/",
	} {
		if got := accountOf(url, credentialsWith("p")); got != want {
			t.Errorf("%s is another account: it would have a lockout budget of its own", url)
		}
	}
}

func TestAttemptsThatASuccessCameAfterAreNotCountedAgain(t *testing.T) {
	a := newAccounts(retry)
	// Its time lies ahead, as after a clock that was set back.
	old := &session.Attempt{Account: billing, At: noon.Add(24 * time.Hour), Refused: true, Bad: lockoutBudget}
	a.recall(billing, "s", old, fingerprintOf(vaultURL, credentialsWith("wrong")), noon)
	a.succeeded(billing)

	if a.wants(billing, "s", old) {
		t.Error("the attempt would be counted again")
	}
	if got := judge(a, "wrong"); got != (verdict{}) {
		t.Errorf("after a success the verdict is %+v", got)
	}
}
