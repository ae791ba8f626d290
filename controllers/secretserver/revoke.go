package secretserver

import (
	"context"
	"net/http"
)

// Revoke ends the access token. It returns nil if the token is dead, be it by this request or for another reason. Every 2xx says
// that it is, whatever the body. The error is an *Error. If its Kind is Ambiguous, the token may be dead all the same. Trying
// again does no harm.
//
// Nothing is said of the refresh token that came with the access token: nobody documents that it ends too.
func (c *Client) Revoke(ctx context.Context, accessToken string) error {
	// net/http repeats this POST as it does those of Client.form: only if nothing of it was sent before.
	answer, err := c.exchange(ctx, RevokeToken, c.bearing(accessToken, http.MethodPost, expirationPath))
	if err != nil {
		return err
	}
	dead, cause := answer.dead()
	switch {
	case cause != 0:
		return answer.unusable(RevokeToken, cause)
	case dead, answer.successful():
		return nil
	default:
		return statusError(RevokeToken, answer.Response, c.now())
	}
}
