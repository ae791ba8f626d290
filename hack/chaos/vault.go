package main

import (
	"net/http"
	"strconv"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

const (
	tokenLifetime = 20 * time.Second
	// longestTimeout is the sessions' longest timeoutSeconds; hangTime is beyond it.
	longestTimeout = 5 * time.Second
	hangTime       = longestTimeout + 2*time.Second
	// journalSize keeps a run's whole journal.
	journalSize = 1 << 17
)

// openVault starts a Secret Server in this process.
func openVault(accounts []secretservertest.Account, seed uint64) (*secretservertest.Server, error) {
	server := secretservertest.New(secretservertest.Options{
		BasePath:      "/SecretServer",
		Accounts:      accounts,
		TokenLifetime: tokenLifetime,
		Seed:          seed,
		JournalSize:   journalSize,
		// The sterner ones of what is not documented.
		PasswordChangeWipesTokens: true,
		OTPSingleUse:              true,
	})
	return server, server.StartTLS()
}

// vaultFaults are what Secret Server is to do to requests; nil for a kind that is done by other means.
//
// A login whose answer is lost may have counted as a bad one, as far as the operator can know, and after four of them it
// spares the account for an hour: see the handbook. That is a promise of its own and no recovery within a minute could
// follow. So such an answer befalls all requests at once, where the operator must not knock again, or else refreshes and
// one login alone.
func vaultFaults(f fault, now time.Time) []secretservertest.Fault {
	some := 0.3 + 0.7*f.dose
	all := secretservertest.Fault{Operation: secretservertest.Any}
	grants := secretservertest.Fault{Operation: secretservertest.Grant, Probability: some}
	lost := func(shape secretservertest.Fault) []secretservertest.Fault {
		refreshes, login := shape, shape
		refreshes.Operation, refreshes.Probability = secretservertest.Refresh, some
		login.Operation, login.Count = secretservertest.Password, 1
		return []secretservertest.Fault{refreshes, login}
	}
	seconds := 1 + int(4*f.dose)
	switch f.kind {
	case vaultSlow:
		all.Delay = time.Duration(f.dose * float64(1500*time.Millisecond))
		return []secretservertest.Fault{all}
	case vaultHangs:
		all.Delay, all.Effect = hangTime, secretservertest.Drop
		return []secretservertest.Fault{all}
	case vaultHangsDone:
		all.Delay, all.Processed = hangTime, true
		return []secretservertest.Fault{all}
	case vaultFails:
		grants.Effect, grants.Status = secretservertest.Status, http.StatusInternalServerError
		return []secretservertest.Fault{grants}
	case vaultGateway:
		return lost(secretservertest.Fault{Effect: secretservertest.Status, Status: http.StatusBadGateway})
	case vaultThrottles:
		grants.Effect, grants.Status = secretservertest.Status, http.StatusTooManyRequests
		grants.Header = map[string]string{"Retry-After": strconv.Itoa(seconds)}
		return []secretservertest.Fault{grants}
	case vaultBusy:
		grants.Effect, grants.Status = secretservertest.Status, http.StatusServiceUnavailable
		until := now.Add(f.lasts + time.Duration(seconds)*time.Second).UTC()
		grants.Header = map[string]string{"Retry-After": until.Format(http.TimeFormat)}
		return []secretservertest.Fault{grants}
	case vaultHTML:
		grants.Effect = secretservertest.HTML
		return []secretservertest.Fault{grants}
	case vaultResets:
		return lost(secretservertest.Fault{Effect: secretservertest.Drop})
	case vaultLoses:
		return lost(secretservertest.Fault{Effect: secretservertest.Drop, Processed: true})
	case vaultHalves:
		return lost(secretservertest.Fault{Effect: secretservertest.Half})
	case vaultTruncates:
		return lost(secretservertest.Fault{Effect: secretservertest.Truncate})
	case vaultOmits:
		return lost(secretservertest.Fault{Effect: secretservertest.Alter, Omit: []string{"access_token"}})
	case vaultDrips:
		return lost(secretservertest.Fault{Effect: secretservertest.Drip})
	default:
		return nil
	}
}
