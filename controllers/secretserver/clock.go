package secretserver

import (
	"context"
	"net/http"
	"time"
)

// healthPath answers without a token, and with little.
const healthPath = "/api/v1/healthcheck"

// Ahead asks how far Secret Server's clock is ahead of the pool's; negative: behind. It is taken from the Date header of
// whatever answer comes, the status does not matter; an answer without one that can be read counts as no difference. It
// is good to about a second and half the time that the request took. The server may say anything, so the caller bounds
// what it believes. The error is an *Error, and means that no answer came.
//
// Asking changes nothing on the server. Like that of [Client.Verify], the request may be sent more than once.
func (c *Client) Ahead(ctx context.Context) (time.Duration, error) {
	sent := c.now()
	answer, err := c.exchange(ctx, ReadClock, c.request(http.MethodGet, healthPath))
	if err != nil {
		return 0, err
	}
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return 0, nil //nolint:nilerr // no clock that can be read is an answer
	}
	// The header is cut to the second, and was written somewhere between the request and its own arrival.
	const half = time.Second / 2
	took := max(answer.at.Sub(sent), 0)
	return date.Add(half).Sub(sent.Add(took / 2)), nil
}
