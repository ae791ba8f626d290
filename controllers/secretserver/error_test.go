package secretserver

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestErrorsReadWell(t *testing.T) {
	for _, test := range []struct {
		err  Error
		want string
	}{
		{Error{Operation: PasswordGrant, Kind: NotSent, Cause: ConnectionRefused}, "password grant: connection refused"},
		{Error{Operation: RefreshGrant, Kind: Refused, Cause: ErrorStatus, Status: 400}, "refresh grant: error status (HTTP 400)"},
		{Error{Operation: PasswordGrant, Kind: Protocol, Cause: HTMLAnswer, Status: 200}, "password grant: HTML instead of JSON (HTTP 200)"},
		{Error{Operation: VerifyToken, Kind: Refused, Cause: ErrorStatus, Status: 401}, "token check: error status (HTTP 401)"},
		{Error{Operation: RevokeToken, Kind: Ambiguous, Cause: TimedOut}, "token revocation: timed out"},
		{Error{Operation: Setup, Kind: InvalidCA, Cause: NotPEM}, "endpoint setup: not in PEM format"},
		{Error{}, "unknown operation: unknown cause"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("error reads %q, want %q", got, test.want)
		}
	}
}

func TestEveryCauseHasAPhraseOfItsOwn(t *testing.T) {
	known := map[string]Cause{}
	for cause := Cause(1); cause < causes; cause++ {
		phrase := cause.String()
		if other, taken := known[phrase]; taken || phrase == Cause(0).String() {
			t.Errorf("cause %d has the phrase %q, as has %d", cause, phrase, other)
		}
		if len(phrase) > 60 || strings.TrimSpace(phrase) != phrase {
			t.Errorf("%q does not fit behind a colon", phrase)
		}
		known[phrase] = cause
	}
	for _, none := range []Cause{0, causes, 255} {
		if got := none.String(); got != "unknown cause" {
			t.Errorf("cause %d reads %q", none, got)
		}
	}
}

func TestEveryKindHasItsName(t *testing.T) {
	for kind, want := range map[Kind]string{
		NotSent: "NotSent", Ambiguous: "Ambiguous", Refused: "Refused", Throttled: "Throttled", Unavailable: "Unavailable",
		Protocol: "Protocol", InvalidCA: "InvalidCA", 0: "Unknown", InvalidCA + 1: "Unknown",
	} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is called %s, want %s", kind, got, want)
		}
	}
}

func TestOnlyInterruptionsUnwrap(t *testing.T) {
	for cause := range causes {
		err := error(&Error{Operation: RefreshGrant, Kind: Ambiguous, Cause: cause})
		if got, want := errors.Is(err, context.Canceled), cause == Canceled; got != want {
			t.Errorf("%v is context.Canceled: %t", err, got)
		}
		if got, want := errors.Is(err, context.DeadlineExceeded), cause == TimedOut; got != want {
			t.Errorf("%v is context.DeadlineExceeded: %t", err, got)
		}
	}
}
