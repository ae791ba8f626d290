package controllers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unruly stands between an operator and the API server, and disturbs some of the requests.
type unruly struct {
	// away: no connection can be had.
	away atomic.Bool
	// lag is how long after their arrival the pieces of a watch are let through.
	lag time.Duration

	mu           sync.Mutex
	disturbances []*disturbance
}

// disturbance strikes the first requests of a kind.
type disturbance struct {
	method, path string // the end of the path
	times        int
	effect       effect
}

// effect is what becomes of a request.
type effect func(request *http.Request, next http.RoundTripper) (*http.Response, error)

var errReset = errors.New("connection reset by peer")

// answers leaves the request undone and answers for the API server.
func answers(code int) effect {
	return func(request *http.Request, _ http.RoundTripper) (*http.Response, error) {
		body, err := json.Marshal(metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
			Status:   metav1.StatusFailure, Code: int32(code), Reason: reasons()[code], Message: "disturbed", //nolint:gosec // an HTTP status
		})
		if err != nil {
			return nil, err
		}
		return &http.Response{
			Status: strconv.Itoa(code), StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
			Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {"1"}},
			Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
}

func reasons() map[int]metav1.StatusReason {
	return map[int]metav1.StatusReason{
		http.StatusConflict:            metav1.StatusReasonConflict,
		http.StatusTooManyRequests:     metav1.StatusReasonTooManyRequests,
		http.StatusInternalServerError: metav1.StatusReasonInternalError,
		http.StatusServiceUnavailable:  metav1.StatusReasonServiceUnavailable,
	}
}

// isLost never arrives.
func isLost(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, errReset }

// answerIsLost takes effect, and nobody hears of it.
func answerIsLost(request *http.Request, next http.RoundTripper) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	return nil, errors.Join(errReset, response.Body.Close())
}

// hangs takes effect, and the answer never comes.
func hangs(request *http.Request, next http.RoundTripper) (*http.Response, error) {
	_, err := answerIsLost(request, next)
	<-request.Context().Done()
	return nil, errors.Join(request.Context().Err(), err)
}

func (u *unruly) disturb(d ...*disturbance) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.disturbances = append(u.disturbances, d...)
}

// left says which disturbances did not strike as often as they should.
func (u *unruly) left() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var left []string
	for _, d := range u.disturbances {
		if d.times > 0 {
			left = append(left, fmt.Sprintf("%s ...%s, %d times", d.method, d.path, d.times))
		}
	}
	return left
}

// through lets an operator's requests go through u.
func (u *unruly) through(o *operatorOptions) {
	o.transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if u.away.Load() {
				return nil, errReset
			}
			if effect := u.strike(request); effect != nil {
				return effect(request, next)
			}
			response, err := next.RoundTrip(request)
			if err == nil && u.lag > 0 && request.URL.Query().Get("watch") == "true" {
				response.Body = &lagging{ReadCloser: response.Body, done: request.Context(), lag: u.lag}
			}
			return response, err
		})
	}
}

func (u *unruly) strike(request *http.Request) effect {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range u.disturbances {
		if d.times > 0 && d.method == request.Method && strings.HasSuffix(request.URL.Path, d.path) {
			d.times--
			return d.effect
		}
	}
	return nil
}

// lagging is the body of a watch that is always behind.
type lagging struct {
	io.ReadCloser
	done context.Context //nolint:containedctx // of the request that the body belongs to
	lag  time.Duration
}

func (l *lagging) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	select {
	case <-time.After(l.lag):
	case <-l.done.Done():
	}
	return n, err
}
