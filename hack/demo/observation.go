package main

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// A token is an access token, behind a pointer because fmt follows none inside a value: however a token, or what holds one, is
// printed, it shows as its fingerprint at most. The zero value is no token.
type token struct {
	fingerprint string // the first eight hexadecimal digits of the SHA-256
	raw         *string
}

func newToken(raw string) token { return token{secretservertest.Fingerprint(raw), &raw} }

func (t token) String() string { return t.fingerprint }

// An observation is something that happened, with the time at which the demo came to know of it.
type observation interface{ when() time.Time }

type moment time.Time

func (m moment) when() time.Time { return time.Time(m) }

// targetSeen is the present content of a session's target: after a change to the Secret, and when it appears.
type targetSeen struct {
	moment
	session, secret string
	uid             types.UID // of the Secret
	token           token
	expires         time.Time // as the Secret has it; zero if it cannot be read there
	grant           grant     // from which the token came
}

// targetGone is a target that was deleted, by whomever.
type targetGone struct {
	moment
	session, secret string
}

// targetDeletion is the demo's own, right before its request.
type targetDeletion struct {
	moment
	session, secret string
}

// sessionSeen is a session's present status. Ready is "" before the operator has written any.
type sessionSeen struct {
	moment
	session       string
	ready, reason string    // of the condition Ready
	renewal       time.Time // zero: none planned
}

// sessionGone is a session that was deleted.
type sessionGone struct {
	moment
	session string
}

// tokenTried is what Secret Server answered to a request with a token.
type tokenTried struct {
	moment
	session string
	token   token
	answer  string // its status
	ok      bool
}

// A grant is how Secret Server's own books say that it came to issue a token.
type grant struct {
	by      secretservertest.Operation // Password or Refresh; "" for a token that it never issued
	refused secretservertest.Result    // why it refused the account's request just before; "" if it did not
}

func (g grant) known() bool { return g.by != "" }
