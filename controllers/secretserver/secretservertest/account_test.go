package secretservertest_test

import (
	"net/http"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestFiveRefusedLoginsLockTheAccount(t *testing.T) {
	v := newVault(t, fake.Options{})
	for i := range 5 {
		if v.Locked(user) {
			t.Fatalf("locked after %d failures", i)
		}
		wantRefusal(t, v, v.tryLogin(t, user, "wrong"), "Login failed.", fake.WrongPassword)
	}
	if !v.Locked(user) {
		t.Fatal("not locked after five failures")
	}
	wantRefusal(t, v, v.tryLogin(t, user, password), "Login failed.", fake.AccountLocked)
	stats := v.Stats()
	if stats.FailedLogins[user] != 6 || stats.Lockouts[user] != 1 || len(stats.Locked) != 1 || stats.Locked[0] != user {
		t.Errorf("failed logins %d, lockouts %d, locked %v; want 6, 1 and the account",
			stats.FailedLogins[user], stats.Lockouts[user], stats.Locked)
	}
}

func TestLockoutEndsAfterAnHour(t *testing.T) {
	v := newVault(t, fake.Options{})
	v.lock(t)
	v.clock.advance(time.Hour - time.Nanosecond)
	v.tryLogin(t, user, password) // does not lengthen the lock
	if !v.Locked(user) {
		t.Fatal("free before the hour is over")
	}
	v.clock.advance(time.Nanosecond)
	v.login(t)
}

func TestFailuresCountFromZeroAfterALockout(t *testing.T) {
	v := newVault(t, fake.Options{})
	v.lock(t)
	v.clock.advance(time.Hour)
	v.tryLogin(t, user, "wrong")
	if v.Locked(user) {
		t.Error("one failure locked the account again")
	}
}

func TestLockoutCanLastUntilUnlocked(t *testing.T) {
	v := newVault(t, fake.Options{LockoutDuration: -1})
	v.lock(t)
	v.clock.advance(1000 * time.Hour)
	wantRefusal(t, v, v.tryLogin(t, user, password), "Login failed.", fake.AccountLocked)
	if !v.Unlock(user) {
		t.Fatal("no such account")
	}
	v.login(t)
}

func TestLockoutCanBeOff(t *testing.T) {
	v := newVault(t, fake.Options{MaxLoginFailures: -1})
	for range 50 {
		v.tryLogin(t, user, "wrong")
	}
	v.login(t)
}

func TestLoginClearsTheFailures(t *testing.T) {
	v := newVault(t, fake.Options{MaxLoginFailures: 2})
	for range 5 {
		v.tryLogin(t, user, "wrong")
		v.login(t)
	}
}

func TestLockoutLeavesTokensAlone(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	v.lock(t)
	if !v.TokenValid(got.Access) {
		t.Error("the token died")
	}
	v.mustRefresh(t, got.refresh())
}

func TestLockoutCanStopRefreshes(t *testing.T) {
	v := newVault(t, fake.Options{LockoutStopsRefresh: true})
	got := v.login(t)
	v.lock(t)
	wantRefusal(t, v, v.tryRefresh(t, got.refresh()), "invalid_grant", fake.AccountLocked)
	v.Unlock(user)
	v.mustRefresh(t, got.refresh())
}

func TestRefusedRefreshesDoNotCountTowardsALockout(t *testing.T) {
	for name, counts := range map[string]bool{"by default": false, "unless asked to": true} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{RefreshFailuresCount: counts})
			got := v.login(t)
			v.mustRefresh(t, got.refresh())
			for range 5 {
				v.tryRefresh(t, got.refresh())
			}
			if v.Locked(user) != counts {
				t.Errorf("locked: %v, want %v", v.Locked(user), counts)
			}
			if n := v.Stats().Lockouts[user]; n > 0 != counts {
				t.Errorf("%d lockouts counted", n)
			}
		})
	}
}

// lock fails five logins.
func (v *vault) lock(t *testing.T) {
	t.Helper()
	for range 5 {
		v.tryLogin(t, user, "wrong")
	}
	if !v.Locked(user) {
		t.Fatal("not locked")
	}
}

func TestOnlyApplicationAccountsLogInWhenSoConfigured(t *testing.T) {
	v := newVault(t, fake.Options{ApplicationAccountsOnly: true, MaxLoginFailures: 1, Accounts: []fake.Account{
		{Username: user, Password: password},
		{Username: "app", Password: "p", Application: true},
	}})
	wantRefusal(t, v, v.tryLogin(t, user, password), "Login failed.", fake.DirectLoginDenied)
	if v.Locked(user) {
		t.Error("a right password locked the account")
	}
	if got := v.tryLogin(t, "app", "p"); got.status != http.StatusOK {
		t.Errorf("the application account is answered %d", got.status)
	}
}

func TestOneTimeCode(t *testing.T) {
	// Seed and codes of RFC 6238, appendix B (SHA-1), cut to six digits.
	const seed = "GEZD GNBV GY3T QOJQ gezd gnbv gy3t qojq"
	at := time.Unix(1111111109, 0)
	tests := map[string]struct {
		code string
		at   time.Time
		want fake.Result
	}{
		"of this half minute":     {"081804", at, fake.Granted},
		"of the one before":       {"081804", at.Add(30 * time.Second), fake.Granted},
		"of the one after":        {"081804", at.Add(-30 * time.Second), fake.Granted},
		"of a minute ago":         {"081804", at.Add(60 * time.Second), fake.WrongOTP},
		"of another time":         {"287082", at, fake.WrongOTP},
		"of its own time":         {"287082", time.Unix(59, 0), fake.Granted},
		"missing":                 {"", at, fake.WrongOTP},
		"with a blank in between": {"081 804", at, fake.WrongOTP},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{MaxLoginFailures: 1, Accounts: []fake.Account{
				{Username: user, Password: password, OTPSeed: seed},
			}})
			v.clock.advance(tt.at.Sub(v.clock.Now()))
			v.loginWithCode(t, tt.code)
			if r := v.lastResult(t); r != tt.want {
				t.Errorf("result %q, want %q", r, tt.want)
			}
			if v.Locked(user) != (tt.want == fake.WrongOTP) {
				t.Error("a wrong code must count as a failure, and a right one must not")
			}
		})
	}
}

func TestOneTimeCodeMayBeUsedOnceOnly(t *testing.T) {
	const seed, code = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "081804"
	for name, tt := range map[string]struct {
		single bool
		want   fake.Result
	}{
		"twice by default":    {false, fake.Granted},
		"once when so chosen": {true, fake.WrongOTP},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{OTPSingleUse: tt.single, Accounts: []fake.Account{
				{Username: user, Password: password, OTPSeed: seed},
			}})
			v.clock.advance(time.Unix(1111111109, 0).Sub(v.clock.Now()))
			v.loginWithCode(t, code)
			v.loginWithCode(t, code)
			if r := v.lastResult(t); r != tt.want {
				t.Errorf("the second login: %q, want %q", r, tt.want)
			}
		})
	}
}

func (v *vault) loginWithCode(t *testing.T, code string) {
	t.Helper()
	r := tokenRequest(t, "/oauth2/token", passwordForm(user, password))
	r.Header.Set("OTP", code)
	v.grant(t, r)
}

func TestSetPassword(t *testing.T) {
	for name, wipes := range map[string]bool{"keeps tokens": false, "wipes tokens when so configured": true} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{PasswordChangeWipesTokens: wipes})
			got := v.login(t)
			if !v.SetPassword(user, "new") || v.SetPassword("nobody", "new") {
				t.Fatal("exactly the account that exists must be found")
			}
			wantRefusal(t, v, v.tryLogin(t, user, password), "Login failed.", fake.WrongPassword)
			if again := v.tryLogin(t, user, "new"); again.status != http.StatusOK {
				t.Errorf("the new password is answered %d", again.status)
			}
			if v.TokenValid(got.Access) == wipes {
				t.Errorf("the old token is valid: %v", !wipes)
			}
			wantStatus := map[bool]int{false: http.StatusOK, true: http.StatusBadRequest}[wipes]
			if again := v.tryRefresh(t, got.refresh()); again.status != wantStatus {
				t.Errorf("a refresh is answered %d, want %d", again.status, wantStatus)
			}
		})
	}
}

func TestAccountsAreFoundWithAndWithoutDomain(t *testing.T) {
	v := newVault(t, fake.Options{MaxLoginFailures: 1, Accounts: []fake.Account{
		{Username: "joint", Password: "p", Domain: "CORP"},
		{Username: "joint", Password: "p", Domain: "LAB"},
	}})
	v.grant(t, tokenRequest(t, "/oauth2/token", withDomain(passwordForm("joint", "wrong"), "CORP")))
	for name, want := range map[string]bool{`corp\joint`: true, "JOINT": true, `LAB\joint`: false, "other": false} {
		if v.Locked(name) != want {
			t.Errorf("Locked(%q) = %v, want %v", name, !want, want)
		}
	}
}

func TestAddAccount(t *testing.T) {
	v := newVault(t, fake.Options{})
	before := v.login(t)
	if err := v.AddAccount(fake.Account{Username: "second", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	if got := v.tryLogin(t, "second", "p"); got.status != http.StatusOK {
		t.Errorf("the new account is answered %d", got.status)
	}
	if err := v.AddAccount(fake.Account{Username: user, Password: "changed"}); err != nil {
		t.Fatal(err)
	}
	if !v.TokenValid(before.Access) {
		t.Error("a changed account must keep its tokens")
	}
	if err := v.AddAccount(fake.Account{Password: "p"}); err == nil {
		t.Error("an account without a name was added")
	}
}

func TestConfigureSeesAndChangesAccounts(t *testing.T) {
	v := newVault(t, fake.Options{PasswordChangeWipesTokens: true, Accounts: []fake.Account{
		{Username: "a", Password: "p"}, {Username: "b", Password: "p"}, {Username: "c", Password: "p"},
	}})
	v.SetPassword("a", "kept")
	a, b, c := v.tryLogin(t, "a", "kept"), v.tryLogin(t, "b", "p"), v.tryLogin(t, "c", "p")
	v.Configure(func(o *fake.Options) {
		if len(o.Accounts) != 3 || o.Accounts[0].Password != "kept" {
			t.Fatal("the function must see the accounts as they are, in order")
		}
		o.Accounts = o.Accounts[:2]
		o.Accounts[1].Password = "changed"
	})
	if !v.TokenValid(a.Access) || v.TokenValid(b.Access) || v.TokenValid(c.Access) {
		t.Error("want the untouched account's token alive, the changed and the removed account's dead")
	}
	if got := v.tryLogin(t, "c", "p"); got.status != http.StatusBadRequest {
		t.Errorf("a removed account is answered %d", got.status)
	}
}

func TestOptionsThatMeanNothingAreRefused(t *testing.T) {
	for name, o := range map[string]fake.Options{
		"negative lifetime":         {TokenLifetime: -1},
		"negative refresh lifetime": {RefreshLifetime: -1},
		"short tokens":              {TokenSize: 15},
		"unlimited expires_in":      {UnlimitedExpiresIn: "never"},
		"expired status":            {ExpiredStatus: 200},
		"error key":                 {ErrorKey: "reason"},
		"health":                    {Health: "fair"},
		"remember":                  {Remember: -1},
		"journal size":              {JournalSize: -1},
		"nameless account":          {Accounts: []fake.Account{{}}},
		"account twice":             {Accounts: []fake.Account{{Username: "A"}, {Username: "a"}}},
		"OTP seed":                  {Accounts: []fake.Account{{Username: "a", OTPSeed: "!"}}},
		"secret without an id":      {Accounts: []fake.Account{{Username: "a", Secrets: []fake.Secret{{Name: "s"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := o.Validate(); err == nil {
				t.Error("accepted")
			}
			v := newVault(t, fake.Options{})
			before := v.Options()
			defer func() {
				if recover() == nil {
					t.Error("Configure did not panic")
				}
				if v.Options().TokenLifetime != before.TokenLifetime {
					t.Error("Configure changed something")
				}
			}()
			v.Configure(func(p *fake.Options) { *p = o })
		})
	}
}
