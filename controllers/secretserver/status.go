package secretserver

import (
	"net/http"
	"time"
)

// statusError judges an answer that is no success by its status and Retry-After alone. Secret Server's error texts are not
// documented, differ between versions, and may repeat what was sent. The one that is documented, deadMessage, has been heeded before.
func statusError(operation Operation, response *http.Response, now time.Time) *Error {
	failure := &Error{Operation: operation, Kind: Protocol, Cause: ErrorStatus, Status: response.StatusCode}
	wait, asked := retryAfter(response.Header, now)
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && asked:
		failure.Kind, failure.RetryAfter = Throttled, wait
	case status == http.StatusRequestTimeout, status/100 == 5:
		failure.Kind = Unavailable
	case status/100 == 3:
		failure.Cause = Redirected
	case operation.refusedBy(status):
		failure.Kind = Refused
	}
	return failure
}

// refusedBy reports whether a status, which is neither 408 nor 429, refuses what was sent. Any other 4xx than those three
// answers a login with "there is no token endpoint here", which no other password would change. A refresh token has no
// second try in either case. A 400 says of an access token nothing at all.
func (o Operation) refusedBy(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusBadRequest:
		return o != VerifyToken
	default:
		return o == RefreshGrant && status/100 == 4
	}
}
