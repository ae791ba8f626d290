package main

import (
	"testing"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestGrantOf(t *testing.T) {
	granted := func(by secretservertest.Operation, account string, t token) secretservertest.Entry {
		return secretservertest.Entry{Operation: by, Account: account, Result: secretservertest.Granted, Issued: t.fingerprint}
	}
	refused := func(account string, why secretservertest.Result) secretservertest.Entry {
		return secretservertest.Entry{Operation: secretservertest.Refresh, Account: account, Result: why}
	}
	used := func(account string) secretservertest.Entry {
		return secretservertest.Entry{Operation: secretservertest.Verify, Account: account, Result: secretservertest.Granted}
	}
	const password, refresh = secretservertest.Password, secretservertest.Refresh
	tests := map[string]struct {
		journal []secretservertest.Entry
		want    grant
	}{
		"a token that was never issued": {[]secretservertest.Entry{granted(password, "u", newToken("other"))}, grant{}},
		"a login":                       {[]secretservertest.Entry{granted(password, "u", newToken("t"))}, byPassword()},
		"a refresh":                     {[]secretservertest.Entry{granted(password, "u", newToken("s")), granted(refresh, "u", newToken("t"))}, byRefresh()},
		"a login after a refusal": {
			[]secretservertest.Entry{
				granted(refresh, "u", newToken("s")), refused("u", secretservertest.LimitReached),
				used("u"), granted(password, "u", newToken("t")),
			},
			overLimit(),
		},
		"a login after another account's refusal": {
			[]secretservertest.Entry{granted(refresh, "u", newToken("s")), refused("v", secretservertest.LimitReached), granted(password, "u", newToken("t"))},
			byPassword(),
		},
		"a refusal before the last grant": {
			[]secretservertest.Entry{refused("u", secretservertest.LimitReached), granted(password, "u", newToken("s")), granted(refresh, "u", newToken("t"))},
			byRefresh(),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := grantOf(test.journal, newToken("t")); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestVaultRefusesATokenThatItDidNotIssue(t *testing.T) {
	v, err := openVault([]secretservertest.Account{{Username: "user", Password: "made-up"}}, []string{"vault.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	tried := v.try(t.Context(), "billing", newToken("made-up"))
	if tried.ok || tried.answer != "GET users/current, 401 Unauthorized" || time.Time(tried.moment).IsZero() {
		t.Errorf("tried: %+v", tried)
	}
}
