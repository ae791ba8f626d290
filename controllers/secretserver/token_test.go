package secretserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	// userAnswer is what Secret Server answers to a check of a live token.
	userAnswer = `{"id":7,"userName":"svc","displayName":"Billing","permissions":[]}`
	// deadAnswer is the body of its 403 to a token that is expired or revoked.
	deadAnswer = `{"message":"Authentication failed or expired token."}`
	// deniedAnswer is the body of its 403 to somebody who lacks a right.
	deniedAnswer = `{"message":"Access Denied","errorCode":"API_AccessDenied"}`
)

// call is one of the four requests that a client can make.
type call struct {
	operation Operation
	run       func(context.Context) error
}

// tokenCalls are the check and the revocation of a token.
func tokenCalls(client *Client, accessToken string) []call {
	return []call{
		{VerifyToken, func(ctx context.Context) error { return client.Verify(ctx, accessToken) }},
		{RevokeToken, func(ctx context.Context) error { return client.Revoke(ctx, accessToken) }},
	}
}

// everyCall adds the grants to them.
func everyCall(client *Client) []call {
	calls := tokenCalls(client, "AgAccess")
	for _, grant := range bothGrants(client) {
		calls = append(calls, call{grant.operation, func(ctx context.Context) error {
			_, err := grant.run(ctx)
			return err
		}})
	}
	return calls
}

// wantOutcome fails the test unless err is exactly the Error wanted, or nil if that is the zero Error.
func wantOutcome(t *testing.T, err error, want Error) {
	t.Helper()
	if want != (Error{}) {
		wantError(t, err, want)
	} else if err != nil {
		t.Errorf("error is %v, want none", err)
	}
}

func TestTokensAreSentAsBearers(t *testing.T) {
	var record recorder
	server := httptest.NewUnstartedServer(&record)
	server.EnableHTTP2 = true // offered, and not to be taken
	server.StartTLS()
	defer server.Close()
	pool := NewPool(noon, WithVersion("v1.2.3"))
	defer pool.CloseIdle()
	client := connect(t, pool, Endpoint{URL: server.URL + "/Secret%2FServer/", CA: certificateOf(server)})
	for range 2 { // the second would bring back a cookie
		for _, token := range tokenCalls(client, "Ag+/=-_.~") {
			wantOutcome(t, token.run(t.Context()), Error{})
		}
	}
	common := http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer Ag+/=-_.~"},
		"User-Agent":    {"secret-server-operator/v1.2.3"},
	}
	empty := common.Clone()
	empty.Set("Content-Length", "0")
	for i, request := range record.requests {
		line, header := "GET /Secret%2FServer/api/v1/users/current HTTP/1.1", common
		if i%2 == 1 {
			line, header = "POST /Secret%2FServer/api/v1/oauth-expiration HTTP/1.1", empty
		}
		if got := request.Method + " " + request.RequestURI + " " + request.Proto; got != line {
			t.Errorf("request line is %s, want %s", got, line)
		}
		if !reflect.DeepEqual(request.Header, header) {
			t.Errorf("header is %v\nwant      %v", request.Header, header)
		}
		if record.bodies[i] != "" || len(request.TransferEncoding) != 0 {
			t.Errorf("there is a body: %q, %v", record.bodies[i], request.TransferEncoding)
		}
	}
	if len(record.requests) != 4 {
		t.Errorf("the server got %d requests, want 4", len(record.requests))
	}
}

// tokenAnswer is a row of the table of what an answer means to a check and to a revocation. The zero Error is success.
type tokenAnswer struct {
	name    string
	handler http.HandlerFunc
	verify  Error
	revoke  Error
}

func tokenAnswers() []tokenAnswer {
	success := Error{}
	refused := func(status int) Error { return Error{Kind: Refused, Cause: ErrorStatus, Status: status} }
	unavailable := func(status int) Error { return Error{Kind: Unavailable, Cause: ErrorStatus, Status: status} }
	unusable := func(status int, cause Cause) Error { return Error{Kind: Protocol, Cause: cause, Status: status} }
	lost := func(status int) Error { return Error{Kind: Ambiguous, Cause: ConnectionLost, Status: status} }
	throttled := func(status int, wait time.Duration) Error {
		return Error{Kind: Throttled, Cause: ErrorStatus, Status: status, RetryAfter: wait}
	}
	// For either, an answer about the token, and one about something else.
	dead := func(name string, handler http.HandlerFunc, status int) tokenAnswer {
		return tokenAnswer{name, handler, refused(status), success}
	}
	both := func(name string, handler http.HandlerFunc, want Error) tokenAnswer {
		return tokenAnswer{name, handler, want, want}
	}
	table := []tokenAnswer{
		{"200 with the user", answering(200, userAnswer), success, success},
		{"200 as a web page by its type", answering(200, userAnswer, "Content-Type", "text/html"), success, success},
		{"201", answering(201, `{}`), success, success},
		{"200 with the largest user", answering(200, largest(userAnswer)), success, success},
		{"200 with more than that", answering(200, largest(userAnswer)+" "), unusable(200, AnswerTooLarge), success},
		{"200 with gigabytes by its length", answering(200, "", "Content-Length", "5000000000"), unusable(200, AnswerTooLarge), success},
		{"200 without end", flood, unusable(200, AnswerTooLarge), success},
		{"200 with true", answering(200, "true"), unusable(200, NotJSON), success},
		{"200 with null", answering(200, "null"), unusable(200, NotJSON), success},
		{"200 with a list", answering(200, "["+userAnswer+"]"), unusable(200, NotJSON), success},
		{"200 with HTML", answering(200, "<html>"), unusable(200, HTMLAnswer), success},
		{"200 with nothing", answering(200, ""), unusable(200, EmptyAnswer), success},
		{"200 with too little", answering(200, userAnswer[:20]), unusable(200, TruncatedJSON), success},
		{"200 cut off", cutOff(200, userAnswer), lost(200), success},
		{"204", answering(204, ""), unusable(204, EmptyAnswer), success},

		dead("401", answering(401, `{"message":"Authorization has been denied for this request."}`, "WWW-Authenticate", "Bearer"), 401),
		dead("401 without a body", answering(401, ""), 401),
		dead("401 with HTML", answering(401, "<html>"), 401),
		dead("401 cut off", cutOff(401, "{}"), 401),
		dead("401 without end", floodOf(401), 401),
		dead("403 for a dead token", answering(403, deadAnswer), 403),
		dead("403 for a dead token, as large as can be", answering(403, largest(deadAnswer)), 403),
		{"403 for a right", answering(403, deniedAnswer), success, refused(403)},
		both("403 without a message", answering(403, `{}`), unusable(403, NoMessage)),
		both("403 with HTML", answering(403, "<html>"+deadAnswer), unusable(403, HTMLAnswer)),
		both("403 with text", answering(403, "no"), unusable(403, NotJSON)),
		both("403 with nothing", answering(403, ""), unusable(403, EmptyAnswer)),
		both("403 with too little", answering(403, deadAnswer[:20]), unusable(403, TruncatedJSON)),
		both("403 with too much", answering(403, largest(deadAnswer)+" "), unusable(403, AnswerTooLarge)),
		both("403 without end", floodOf(403), unusable(403, AnswerTooLarge)),
		both("403 cut off", cutOff(403, deadAnswer), lost(403)),
		{"400", answering(400, deadAnswer), unusable(400, ErrorStatus), refused(400)},

		both("408", answering(408, ""), unavailable(408)),
		both("429", answering(429, ""), throttled(429, 0)),
		both("429 with seconds", answering(429, deadAnswer, "Retry-After", "7"), throttled(429, 7*time.Second)),
		both("500", answering(500, deadAnswer), unavailable(500)),
		both("502", answering(502, "<html>"), unavailable(502)),
		both("503", answering(503, ""), unavailable(503)),
		both("503 with Retry-After", answering(503, "", "Retry-After", "900"), throttled(503, 5*time.Minute)),
		both("304", answering(304, ""), unusable(304, Redirected)),
		both("999", answering(999, ""), unusable(999, ErrorStatus)),
	}
	for _, status := range []int{402, 404, 405, 406, 409, 410, 413, 415, 418, 421, 431, 451} {
		table = append(table, both(strconv.Itoa(status), answering(status, deadAnswer), unusable(status, ErrorStatus)))
	}
	return table
}

// largest is a JSON text, made as long by spaces as it may be.
func largest(text string) string { return text + strings.Repeat(" ", maxTokenAnswer-len(text)) }

func TestAnswersAboutTokensAreClassified(t *testing.T) {
	for _, test := range tokenAnswers() {
		t.Run(test.name, func(t *testing.T) {
			client := newClient(t, newServer(t, test.handler))
			for _, token := range tokenCalls(client, "AgAccess") {
				want := test.verify
				if token.operation == RevokeToken {
					want = test.revoke
				}
				if want != (Error{}) {
					want.Operation = token.operation
				}
				wantOutcome(t, token.run(t.Context()), want)
			}
		})
	}
}

func TestADenialEndedByTheConnection(t *testing.T) {
	for _, test := range []struct {
		name string
		body string
		dead bool
	}{
		{"is read", deadAnswer, true},
		{"may be cut off", deadAnswer[:30], false},
		{"may be missing", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVault(t, func(visit *visit) { _ = visit.request() && visit.write("HTTP/1.0 403 Forbidden\r\n\r\n"+test.body) })
			for _, token := range tokenCalls(v.client(t), "AgAccess") {
				want := Error{Operation: token.operation, Kind: Ambiguous, Cause: ConnectionLost, Status: 403}
				switch {
				case test.dead && token.operation == VerifyToken:
					want.Kind, want.Cause = Refused, ErrorStatus
				case test.dead:
					want = Error{}
				}
				wantOutcome(t, token.run(t.Context()), want)
			}
		})
	}
}

func TestTheTimeoutBoundsWhatIsAskedOfATokenToo(t *testing.T) {
	dripping := func(status string) func(*visit) {
		return func(v *visit) {
			_ = v.request() && v.write("HTTP/1.1 "+status+"\r\nContent-Length: 1000\r\n\r\n")
			v.drip(strings.Repeat(" ", 1000))
		}
	}
	late := func(status int) Error { return Error{Kind: Ambiguous, Cause: TimedOut, Status: status} }
	for _, test := range []struct {
		name   string
		script func(*visit)
		verify Error
		revoke Error
	}{
		{"no answer", func(v *visit) {
			v.request()
			v.wait()
		}, late(0), late(0)},
		{"a user that comes in drops", dripping("200 OK"), late(200), Error{}},
		{"a denial that comes in drops", dripping("403 Forbidden"), late(403), late(403)},
		{"a refusal that comes in drops", dripping("401 Unauthorized"), Error{Kind: Refused, Cause: ErrorStatus, Status: 401}, Error{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault(t, test.script)
				endpoint := v.endpoint()
				endpoint.Timeout = 20 * time.Second
				for _, token := range tokenCalls(connect(t, v.pool(t), endpoint), "AgAccess") {
					want := test.verify
					if token.operation == RevokeToken {
						want = test.revoke
					}
					if want != (Error{}) {
						want.Operation = token.operation
					}
					start := time.Now()
					wantOutcome(t, token.run(t.Context()), want)
					if took := time.Since(start); took != endpoint.Timeout {
						t.Errorf("%v took %v, want %v", token.operation, took, endpoint.Timeout)
					}
				}
			})
		})
	}
}

func TestTokensGoOverTheConnectionOfTheGrants(t *testing.T) {
	var mu sync.Mutex
	var peers []string
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		peers = append(peers, r.RemoteAddr)
		count := len(peers)
		mu.Unlock()
		status := []int{200, 403, 401, 500}[count/4%4]
		answering(status, deadAnswer)(w, r)
	})
	pool := newPool(t)
	for range 4 {
		for _, each := range everyCall(connect(t, pool, Endpoint{URL: server.URL, CA: certificateOf(server)})) {
			var failed *Error
			if err := each.run(t.Context()); err != nil && (!errors.As(err, &failed) || failed.Status == 0) {
				t.Errorf("%v got no answer: %v", each.operation, err)
			}
		}
	}
	if got := len(slices.Compact(peers)); got != 1 || len(peers) != 16 {
		t.Errorf("%d requests came over %d connections, want 16 over 1", len(peers), got)
	}
}

// A token that no header can carry comes from a broken store. It must not be sent, nor shown.
func TestAnUnsendableTokenIsNotSent(t *testing.T) {
	v := newVault(t, func(*visit) {})
	for _, token := range tokenCalls(v.client(t), markedToken+"\n") {
		err := token.run(t.Context())
		wantError(t, err, Error{Operation: token.operation, Kind: NotSent, Cause: NotConnected})
		wantSilent(t, err)
	}
	if dials, _ := v.seen(); dials != 0 {
		t.Error("a connection was opened")
	}
}
