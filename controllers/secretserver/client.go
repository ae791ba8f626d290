// Package secretserver is the client of the OAuth2 token endpoint of Delinea Secret Server: the password grant and the refresh
// grant. A [Pool] holds the connections, a [Client] speaks to one [Endpoint], and every error is an [Error].
//
// Both grants may have an effect even if their answer never arrives: a wrong password counts towards the account's
// lockout, and a refresh token works once. So the client sends each grant once at most, and never again by itself. It follows no
// redirect (307 and 308 would hand the password on), keeps no cookies, sends no Idempotency-Key (net/http takes one for leave to
// repeat a POST), and reads at most 1 MiB of an answer.
package secretserver

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxAnswer bounds the body of an answer, in bytes.
	maxAnswer = 1 << 20
	// maxDrain is how many bytes of a body that nobody wants are read, for the sake of reusing the connection.
	maxDrain = 64 << 10
)

// Client asks the token endpoint of one Secret Server. It is safe for concurrent use, holds no secret, and is meant to
// be made anew for each grant.
type Client struct {
	transport http.RoundTripper
	tokenURL  *url.URL
	timeout   time.Duration
	userAgent string
	now       func() time.Time
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
	header := c.header()
	if credentials.OTP != "" {
		header.Set("OTP", credentials.OTP)
	}
	return c.grant(ctx, PasswordGrant, header, form.Encode())
}

// Refresh runs the refresh grant. It spends the refresh token, unless the error's Kind is NotSent. The error is an *Error.
func (c *Client) Refresh(ctx context.Context, refreshToken string) (Grant, error) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken},
	}
	return c.grant(ctx, RefreshGrant, c.header(), form.Encode())
}

func (c *Client) header() http.Header {
	return http.Header{
		"Accept":       {"application/json"},
		"Content-Type": {"application/x-www-form-urlencoded"},
		"User-Agent":   {c.userAgent},
	}
}

// grant sends one request and reads its answer, both within the timeout.
func (c *Client) grant(ctx context.Context, operation Operation, header http.Header, form string) (Grant, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	passage := &passage{}
	request := c.request(header, form).WithContext(passage.watch(bounded))
	// The bare transport: http.Client is what follows redirects, keeps cookies and puts URLs into errors.
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return Grant{}, &Error{Operation: operation, Kind: passage.kind(), Cause: passage.cause(bounded, err)}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		drain(response)
		return Grant{}, statusError(operation, response, c.now())
	}
	body, err := readAnswer(response.Body, response.ContentLength)
	switch {
	case errors.Is(err, errTooLarge):
		return Grant{}, &Error{Operation: operation, Kind: Protocol, Cause: AnswerTooLarge, Status: response.StatusCode}
	case err != nil:
		return Grant{}, &Error{Operation: operation, Kind: Ambiguous, Cause: passage.cause(bounded, err), Status: response.StatusCode}
	}
	grant, cause := decodeGrant(body)
	switch {
	case cause == 0:
		return grant, nil
	case endless(response) && (cause == TruncatedJSON || cause == EmptyAnswer):
		return Grant{}, &Error{Operation: operation, Kind: Ambiguous, Cause: ConnectionLost, Status: response.StatusCode}
	default:
		return Grant{}, &Error{Operation: operation, Kind: Protocol, Cause: cause, Status: response.StatusCode}
	}
}

// request is the POST, without a context.
//
// GetBody is set, so net/http may send the request on a second connection. It does so, for a POST without an
// Idempotency-Key over HTTP/1.1, on one condition only: the first connection was a reused one and broke before any of the
// request was written to it (persistConn.shouldRetryRequest, as of Go 1.26; over TLS, before a whole record was). That is no
// second grant, as there was no first. Without GetBody each such connection, which the server had closed while it was idle,
// would look like a lost answer and cost a refresh token.
func (c *Client) request(header http.Header, form string) *http.Request {
	body := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(form)), nil }
	first, _ := body() //nolint:errcheck // it has no error
	return &http.Request{
		Method:        http.MethodPost,
		URL:           c.tokenURL,
		Header:        header,
		Body:          first,
		GetBody:       body,
		ContentLength: int64(len(form)),
	}
}

// errTooLarge is what readAnswer returns for a body above maxAnswer.
var errTooLarge = errors.New("answer too large")

// readAnswer reads a whole body. It gives up before the first byte if the stated length, which is negative if there is
// none, is too large already. What it leaves unread is never drained: closing the body closes the connection.
func readAnswer(body io.Reader, stated int64) ([]byte, error) {
	if stated > maxAnswer {
		return nil, errTooLarge
	}
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		return nil, errTooLarge
	}
	return text, err //nolint:wrapcheck // classified by the caller, and never shown
}

// endless reports whether the end of the connection is the only end that the body has. Then nothing tells a body that was cut off
// from one that the server wrote so.
func endless(response *http.Response) bool {
	return response.ContentLength < 0 && len(response.TransferEncoding) == 0
}

// drain reads a body that nobody wants, so that its connection can be used again. A body that is too long or does not end
// costs the connection and nothing else.
func drain(response *http.Response) {
	if response.StatusCode == http.StatusSwitchingProtocols {
		return // the body is the connection itself and has no end
	}
	io.CopyN(io.Discard, response.Body, maxDrain) //nolint:errcheck // the status has decided already
}
