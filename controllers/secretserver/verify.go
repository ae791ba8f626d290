package secretserver

import (
	"context"
	"net/http"
)

// Verify asks Secret Server whose the access token is. It returns nil if Secret Server takes the token: it shows the user, or
// denies a known user the right to ask. The error is an *Error, whose Kind is Refused if, and only if, the token is dead:
// expired, revoked, or not of this server. With any other Kind nothing is known of the token.
//
// Unlike a grant, the request may be sent more than once: net/http repeats a GET when the reused connection that it went out on
// breaks before the answer begins (persistConn.shouldRetryRequest, as of Go 1.26). That is welcome, as asking changes nothing on the
// server. The error is then about the last attempt alone, so NotSent does not rule out that an earlier one arrived.
func (c *Client) Verify(ctx context.Context, accessToken string) error {
	answer, err := c.exchange(ctx, VerifyToken, c.bearing(accessToken, http.MethodGet, currentUserPath))
	if err != nil {
		return err
	}
	dead, cause := answer.dead()
	if answer.successful() {
		_, cause = decodeObject(answer.text)
	}
	switch {
	case cause != 0:
		return answer.unusable(VerifyToken, cause)
	case answer.successful(), answer.StatusCode == http.StatusForbidden && !dead:
		return nil
	default:
		return statusError(VerifyToken, answer.Response, c.now())
	}
}
