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
	// maxAnswer bounds the body of a grant, in bytes.
	maxAnswer = 1 << 20
	// maxTokenAnswer bounds what is answered to an access token, in bytes: a user, or an error.
	maxTokenAnswer = 64 << 10
	// maxDrain is how many bytes of a body that nobody wants are read, for the sake of reusing the connection.
	maxDrain = 64 << 10
)

// request is one without a body, and without a context.
func (c *Client) request(method, path string) *http.Request {
	return &http.Request{
		Method: method,
		URL:    c.at(path),
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {c.userAgent}},
	}
}

// at is the URL of a path below the base URL. The path must need no escaping.
func (c *Client) at(path string) *url.URL {
	below := *c.base
	below.Path += path
	if below.RawPath != "" {
		below.RawPath += path
	}
	return &below
}

// form is the POST of a form, without a context.
//
// GetBody is set, so net/http may send the request on a second connection. It does so, for a POST without an
// Idempotency-Key over HTTP/1.1, on one condition only: the first connection was a reused one and broke before any of the
// request was written to it (persistConn.shouldRetryRequest, as of Go 1.26; over TLS, before a whole record was). That is no
// second grant, as there was no first. Without GetBody each such connection, which the server had closed while it was idle,
// would look like a lost answer and cost a refresh token.
func (c *Client) form(path string, form url.Values) *http.Request {
	text := form.Encode()
	body := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	request := c.request(http.MethodPost, path)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Body, _ = body() //nolint:errcheck // it has no error
	request.GetBody = body
	request.ContentLength = int64(len(text))
	return request
}

// bearing is a request that an access token goes with, and no body.
func (c *Client) bearing(accessToken, method, path string) *http.Request {
	request := c.request(method, path)
	request.Header.Set("Authorization", "Bearer "+accessToken)
	return request
}

// reply is an answer whose body is dealt with: it is in text if the operation reads it, and thrown away otherwise.
type reply struct {
	*http.Response

	text []byte
	at   time.Time // when the header had come
}

// exchange sends one request and reads its answer, both within the timeout. The error is an *Error.
func (c *Client) exchange(ctx context.Context, operation Operation, request *http.Request) (reply, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	passage := &passage{}
	if operation.spends() {
		passage.permit = c.permit
	}
	// The bare transport: http.Client is what follows redirects, keeps cookies and puts URLs into errors.
	response, err := c.transport.RoundTrip(request.WithContext(passage.watch(withinTimeout(bounded, c.timeout))))
	if err != nil {
		return reply{}, &Error{Operation: operation, Kind: passage.kind(), Cause: passage.cause(bounded, err)}
	}
	defer response.Body.Close()
	at := c.now()
	limit := operation.reads(response.StatusCode)
	if limit == 0 {
		drain(response)
		return reply{Response: response, at: at}, nil
	}
	text, err := readAnswer(response.Body, response.ContentLength, limit)
	switch {
	case errors.Is(err, errTooLarge):
		return reply{}, &Error{Operation: operation, Kind: Protocol, Cause: AnswerTooLarge, Status: response.StatusCode}
	case err != nil:
		return reply{}, &Error{Operation: operation, Kind: Ambiguous, Cause: passage.cause(bounded, err), Status: response.StatusCode}
	}
	return reply{response, text, at}, nil
}

// reads is how many bytes the body of an answer may have, or zero if the status says all that the operation wants to know.
func (o Operation) reads(status int) int64 {
	ofToken := o == VerifyToken || o == RevokeToken
	switch {
	case status == http.StatusForbidden && ofToken, status/100 == 2 && o == VerifyToken:
		return maxTokenAnswer
	case status == http.StatusOK && !ofToken && o != ReadClock:
		return maxAnswer
	default:
		return 0
	}
}

// unusable is the error for a body that was read and makes no sense.
func (r reply) unusable(operation Operation, cause Cause) *Error {
	if r.endless() && (cause == TruncatedJSON || cause == EmptyAnswer) {
		return &Error{Operation: operation, Kind: Ambiguous, Cause: ConnectionLost, Status: r.StatusCode}
	}
	return &Error{Operation: operation, Kind: Protocol, Cause: cause, Status: r.StatusCode}
}

// successful reports a status of 2xx.
func (r reply) successful() bool { return r.StatusCode/100 == 2 }

// endless reports whether the end of the connection is the only end that the body has. Then nothing tells a body that was cut off
// from one that the server wrote so.
func (r reply) endless() bool {
	return r.ContentLength < 0 && len(r.TransferEncoding) == 0
}

// errTooLarge is what readAnswer returns for a body above its limit.
var errTooLarge = errors.New("answer too large")

// readAnswer reads a whole body of at most limit bytes. It gives up before the first byte if the stated length, which is negative if
// there is none, is too large already. What it leaves unread is never drained: closing the body closes the connection.
func readAnswer(body io.Reader, stated, limit int64) ([]byte, error) {
	if stated > limit {
		return nil, errTooLarge
	}
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, errTooLarge
	}
	return text, err //nolint:wrapcheck // classified by the caller, and never shown
}

// drain reads a body that nobody wants, so that its connection can be used again. A body that is too long or does not end
// costs the connection and nothing else.
func drain(response *http.Response) {
	if response.StatusCode == http.StatusSwitchingProtocols {
		return // the body is the connection itself and has no end
	}
	io.CopyN(io.Discard, response.Body, maxDrain) //nolint:errcheck // the status has decided already
}
