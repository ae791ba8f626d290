package secretserver

import (
	"context"
	"fmt"
	"time"
)

// Operation is what was asked of the client.
type Operation uint8

// The operations.
const (
	Setup         Operation = iota + 1 // making a client; no request is involved
	PasswordGrant                      // a login
	RefreshGrant                       // spending a refresh token
	VerifyToken                        // asking whether an access token is alive
	RevokeToken                        // ending an access token
	ReadClock                          // asking for the time
)

// String names the operation for people.
func (o Operation) String() string {
	switch o {
	case Setup:
		return "endpoint setup"
	case PasswordGrant:
		return "password grant"
	case RefreshGrant:
		return "refresh grant"
	case VerifyToken:
		return "token check"
	case RevokeToken:
		return "token revocation"
	case ReadClock:
		return "clock check"
	default:
		return "unknown operation"
	}
}

// Kind says what a failure means to the one who asked. Every Error has exactly one.
type Kind uint8

// The kinds.
const (
	// NotSent: provably, the server got nothing of the request that it could read. No connection was had, or those that were
	// had broke before anything got through, or permission to send was gone. For a token check see [Client.Verify].
	NotSent Kind = iota + 1
	// Ambiguous: the server may have got the request and acted on it, but its answer did not arrive whole.
	Ambiguous
	// Refused: the server said no. To a password grant that is 400, 401 or 403; to a refresh grant every 4xx but 408 and 429.
	// The status alone decides, even if the body after it is cut off: a no is a no. To a token check it is 401, or a 403 which
	// says that the token is dead; to a revocation 400, or a 403 about rights.
	Refused
	// Throttled: 429, or 503 with a Retry-After that can be read.
	Throttled
	// Unavailable: 408, and every other 5xx.
	Unavailable
	// Protocol: a whole answer that no Secret Server gives, such as a redirect, a web page, a grant without a token. After a 200 the
	// server may well have acted on the request.
	Protocol
	// InvalidCA: Endpoint.CA holds no certificate that can be used. Only [Pool.Client] returns it.
	InvalidCA
)

// String is the name of the kind's constant.
func (k Kind) String() string {
	switch k {
	case NotSent:
		return "NotSent"
	case Ambiguous:
		return "Ambiguous"
	case Refused:
		return "Refused"
	case Throttled:
		return "Throttled"
	case Unavailable:
		return "Unavailable"
	case Protocol:
		return "Protocol"
	case InvalidCA:
		return "InvalidCA"
	default:
		return "Unknown"
	}
}

// Error is every error of this package. It is made of closed sets and numbers only: nothing that a server, a resolver or a
// certificate says gets into it, so it can be shown to anybody.
type Error struct {
	Operation Operation
	Kind      Kind
	Cause     Cause
	// Status is that of the server's answer; zero when there was none.
	Status int
	// RetryAfter is how long a Throttled server asks to be left alone, at most five minutes; zero when it does not say.
	RetryAfter time.Duration
}

// Error names the operation, the cause and the status.
func (e *Error) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("%s: %s", e.Operation, e.Cause)
	}
	return fmt.Sprintf("%s: %s (HTTP %d)", e.Operation, e.Cause, e.Status)
}

// Unwrap lets errors.Is find context.Canceled and context.DeadlineExceeded. The latter stands for every timeout.
func (e *Error) Unwrap() error {
	switch e.Cause {
	case Canceled:
		return context.Canceled
	case TimedOut:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
