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
	if err := server.StartTLS(); err != nil {
		return nil, err
	}
	return server, nil
}

// vaultFaults are what Secret Server is to do to requests; nil for a kind that is done by other means.
func vaultFaults(f fault, now time.Time) []secretservertest.Fault {
	some := 0.3 + 0.7*f.dose
	if shape, ok := toAll(f); ok {
		shape.Operation = secretservertest.Any
		return []secretservertest.Fault{shape}
	}
	if shape, ok := toGrants(f, now); ok {
		shape.Operation, shape.Probability = secretservertest.Grant, some
		return []secretservertest.Fault{shape}
	}
	if shape, ok := toAnswers(f.kind); ok {
		login := shape
		login.Operation, login.Count = secretservertest.Password, 1
		shape.Operation, shape.Probability = secretservertest.Refresh, some
		return []secretservertest.Fault{shape, login}
	}
	return nil
}

// toAll is what befalls every request.
func toAll(f fault) (shape secretservertest.Fault, ok bool) {
	switch f.kind {
	case vaultSlow:
		return secretservertest.Fault{Delay: time.Duration(f.dose * float64(1500*time.Millisecond))}, true
	case vaultHangs:
		return secretservertest.Fault{Delay: hangTime, Effect: secretservertest.Drop}, true
	case vaultHangsDone:
		return secretservertest.Fault{Delay: hangTime, Processed: true}, true
	default:
		return secretservertest.Fault{}, false
	}
}

// toGrants is what befalls some grants, each of which the operator knows was not decided, or does not count as a bad login.
func toGrants(f fault, now time.Time) (shape secretservertest.Fault, ok bool) {
	wait := time.Duration(1+int(4*f.dose)) * time.Second
	asking := func(status int, retryAfter string) secretservertest.Fault {
		header := map[string]string{"Retry-After": retryAfter}
		return secretservertest.Fault{Effect: secretservertest.Status, Status: status, Header: header}
	}
	switch f.kind {
	case vaultFails:
		return secretservertest.Fault{Effect: secretservertest.Status, Status: http.StatusInternalServerError}, true
	case vaultThrottles:
		return asking(http.StatusTooManyRequests, strconv.Itoa(int(wait.Seconds()))), true
	case vaultBusy:
		return asking(http.StatusServiceUnavailable, now.Add(f.lasts+wait).UTC().Format(http.TimeFormat)), true
	case vaultHTML:
		return secretservertest.Fault{Effect: secretservertest.HTML}, true
	default:
		return secretservertest.Fault{}, false
	}
}

// toAnswers is what befalls the answers to some refreshes, and to one login.
//
// A login whose answer is lost may have counted as a bad one, as far as the operator can know, and after four of them it
// spares the account for an hour: see the handbook. That is a promise of its own, and no recovery within a minute could
// follow. So several answers in a row are lost only with all others, as toAll does it: there the operator must not knock.
func toAnswers(k kind) (shape secretservertest.Fault, ok bool) {
	switch k {
	case vaultGateway:
		return secretservertest.Fault{Effect: secretservertest.Status, Status: http.StatusBadGateway}, true
	case vaultResets:
		return secretservertest.Fault{Effect: secretservertest.Drop}, true
	case vaultLoses:
		return secretservertest.Fault{Effect: secretservertest.Drop, Processed: true}, true
	case vaultHalves:
		return secretservertest.Fault{Effect: secretservertest.Half}, true
	case vaultTruncates:
		return secretservertest.Fault{Effect: secretservertest.Truncate}, true
	case vaultOmits:
		return secretservertest.Fault{Effect: secretservertest.Alter, Omit: []string{"access_token"}}, true
	case vaultDrips:
		return secretservertest.Fault{Effect: secretservertest.Drip}, true
	default:
		return secretservertest.Fault{}, false
	}
}
