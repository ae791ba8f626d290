// Package secretserver is the client of Delinea Secret Server's API sessions: the password grant and the refresh grant of its OAuth2
// token endpoint, and of its REST API the check and the revocation of an access token. A [Pool] holds the connections, a
// [Client] speaks to one [Endpoint], and every error is an [Error].
//
// Both grants may have an effect even if their answer never arrives: a wrong password counts towards the account's
// lockout, and a refresh token works once. So the client sends each grant once at most, and never again by itself. It follows no
// redirect (307 and 308 would hand the password on), keeps no cookies, sends no Idempotency-Key (net/http takes one for leave to
// repeat a POST), and reads at most 1 MiB of an answer.
package secretserver

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Paths below the base URL.
const (
	grantPath       = "/oauth2/token"
	currentUserPath = "/api/v1/users/current"
	expirationPath  = "/api/v1/oauth-expiration"
)

// Client asks one Secret Server. It is safe for concurrent use, holds no secret, and is meant to be made anew for each request.
type Client struct {
	transport http.RoundTripper
	base      *url.URL
	timeout   time.Duration
	userAgent string
	now       func() time.Time
	permit    func() bool // may be nil
}

// Authenticate runs the password grant: a login. It sends the domain and the OTP only if they are not empty. The error is
// an *Error.
func (c *Client) Authenticate(ctx context.Context, credentials Credentials) (Grant, error) {
	form := url.Values{
		"grant_type": {"password"},
		"username":   {credentials.Username},
		"password":   {credentials.Password},
	}
	if credentials.Domain != "" {
		form.Set("domain", credentials.Domain)
	}
	request := c.form(grantPath, form)
	if credentials.OTP != "" {
		request.Header.Set("OTP", credentials.OTP)
	}
	return c.grant(ctx, PasswordGrant, request)
}

// Refresh runs the refresh grant. It spends the refresh token, unless the error's Kind is NotSent. The error is an *Error.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (Grant, error) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken},
	}
	return c.grant(ctx, RefreshGrant, c.form(grantPath, form))
}

// grant asks the token endpoint once.
func (c *Client) grant(ctx context.Context, operation Operation, request *http.Request) (Grant, error) {
	answer, err := c.exchange(ctx, operation, request)
	if err != nil {
		return Grant{}, err
	}
	if answer.StatusCode != http.StatusOK {
		return Grant{}, statusError(operation, answer.Response, c.now())
	}
	grant, cause := decodeGrant(answer.text)
	if cause != 0 {
		return Grant{}, answer.unusable(operation, cause)
	}
	return grant, nil
}
