package secretserver

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// recorder keeps what a server got.
type recorder struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request)
	r.bodies = append(r.bodies, string(body))
	w.Header().Set("Set-Cookie", "affinity=node1")
	send(w, goodAnswer)
}

func TestPasswordGrantSendsTheForm(t *testing.T) {
	for _, test := range []struct {
		name        string
		credentials Credentials
		form        url.Values
	}{
		{"local account", Credentials{Username: "svc", Password: "p"},
			url.Values{"grant_type": {"password"}, "username": {"svc"}, "password": {"p"}}},
		{"domain account", Credentials{Username: "svc", Password: "p", Domain: "CORP"},
			url.Values{"grant_type": {"password"}, "username": {"svc"}, "password": {"p"}, "domain": {"CORP"}}},
		{"one-time password stays out of the form", Credentials{Username: "svc", Password: "p", OTP: "123456"},
			url.Values{"grant_type": {"password"}, "username": {"svc"}, "password": {"p"}}},
		{"every character arrives", Credentials{Username: `CORP\ü`, Password: " &=+%#\n\x00€ "},
			url.Values{"grant_type": {"password"}, "username": {`CORP\ü`}, "password": {" &=+%#\n\x00€ "}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var record recorder
			grant, err := newClient(t, newServer(t, record.ServeHTTP)).Authenticate(t.Context(), test.credentials)
			wantGrant(t, grant, err)
			form, err := url.ParseQuery(record.bodies[0])
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(form, test.form) {
				t.Errorf("form is %v, want %v", form, test.form)
			}
			if got := record.requests[0].Header.Get("OTP"); got != test.credentials.OTP {
				t.Errorf("OTP header is %q, want %q", got, test.credentials.OTP)
			}
		})
	}
}

func TestRefreshGrantSendsTheFormAndNothingElse(t *testing.T) {
	var record recorder
	grant, err := newClient(t, newServer(t, record.ServeHTTP)).Refresh(t.Context(), "a+b/c=")
	wantGrant(t, grant, err)
	if want := "grant_type=refresh_token&refresh_token=a%2Bb%2Fc%3D"; record.bodies[0] != want {
		t.Errorf("body is %q, want %q", record.bodies[0], want)
	}
}

func TestRequestIsPlain(t *testing.T) {
	var record recorder
	server := httptest.NewUnstartedServer(&record)
	server.EnableHTTP2 = true // offered, and not to be taken
	server.StartTLS()
	defer server.Close()
	pool := NewPool(noon, WithVersion("v1.2.3"))
	defer pool.CloseIdle()
	client := connect(t, pool, Endpoint{URL: server.URL + "/SecretServer//", CA: certificateOf(server)})
	for range 2 { // the second would bring back a cookie
		grant, err := client.Authenticate(t.Context(), goodCredentials())
		wantGrant(t, grant, err)
	}
	for _, request := range record.requests {
		if request.Method != http.MethodPost || request.RequestURI != "/SecretServer/oauth2/token" || request.Proto != "HTTP/1.1" {
			t.Errorf("request line is %s %s %s", request.Method, request.RequestURI, request.Proto)
		}
		want := http.Header{
			"Accept":         {"application/json"},
			"Content-Type":   {"application/x-www-form-urlencoded"},
			"Content-Length": {strconv.Itoa(len(record.bodies[0]))},
			"User-Agent":     {"secret-server-operator/v1.2.3"},
		}
		if !reflect.DeepEqual(request.Header, want) {
			t.Errorf("header is %v\nwant      %v", request.Header, want)
		}
	}
}

// answer is a row of the table of what each grant makes of an answer.
type answer struct {
	name     string
	handler  http.HandlerFunc
	password Error
	refresh  Error
}

// same is an answer that means the same to both grants.
func same(name string, handler http.HandlerFunc, want Error) answer {
	return answer{name, handler, want, want}
}

func answers() []answer {
	refused := func(status int) Error { return Error{Kind: Refused, Cause: ErrorStatus, Status: status} }
	unavailable := func(status int) Error { return Error{Kind: Unavailable, Cause: ErrorStatus, Status: status} }
	unusable := func(status int, cause Cause) Error { return Error{Kind: Protocol, Cause: cause, Status: status} }
	throttled := func(status int, wait time.Duration) Error {
		return Error{Kind: Throttled, Cause: ErrorStatus, Status: status, RetryAfter: wait}
	}
	loginFailed := `{"error":"Login failed."}`
	table := []answer{
		same("400", answering(400, loginFailed), refused(400)),
		same("400 without a body", answering(400, ""), refused(400)),
		same("401", answering(401, "", "WWW-Authenticate", "Basic"), refused(401)),
		same("403", answering(403, "<html>"), refused(403)),
		same("400 cut off", cutOff(400, loginFailed), refused(400)),
		same("408", answering(408, ""), unavailable(408)),
		same("429", answering(429, ""), throttled(429, 0)),
		same("429 with seconds", answering(429, "", "Retry-After", "7"), throttled(429, 7*time.Second)),
		same("429 with a date", answering(429, "",
			"Date", noon().Format(http.TimeFormat), "Retry-After", noon().Add(time.Minute).Format(http.TimeFormat)),
			throttled(429, time.Minute)),
		same("429 with garbage", answering(429, "", "Retry-After", "soon"), throttled(429, 0)),
		same("500", answering(500, goodAnswer), unavailable(500)),
		same("500 with Retry-After", answering(500, "", "Retry-After", "7"), unavailable(500)),
		same("502", answering(502, "<html>"), unavailable(502)),
		same("503", answering(503, ""), unavailable(503)),
		same("503 with Retry-After", answering(503, "", "Retry-After", "900"), throttled(503, 5*time.Minute)),
		same("503 with garbage for Retry-After", answering(503, "", "Retry-After", "-1"), unavailable(503)),
		same("504", answering(504, ""), unavailable(504)),
		same("599", answering(599, ""), unavailable(599)),
		same("201", answering(201, goodAnswer), unusable(201, ErrorStatus)),
		same("204", answering(204, ""), unusable(204, ErrorStatus)),
		same("999", answering(999, ""), unusable(999, ErrorStatus)),
		same("304", answering(304, ""), unusable(304, Redirected)),
		same("empty body", answering(200, ""), unusable(200, EmptyAnswer)),
		same("HTML with 200", answering(200, "\n<!DOCTYPE html><p>access_token", "Content-Type", "text/html"), unusable(200, HTMLAnswer)),
		same("text with 200", answering(200, "welcome"), unusable(200, NotJSON)),
		same("truncated JSON, complete by its length", answering(200, goodAnswer[:40]), unusable(200, TruncatedJSON)),
		same("error with 200", answering(200, loginFailed), unusable(200, NoAccessToken)),
		same("token with a newline", answering(200, `{"access_token":"AgA\nb"}`), unusable(200, MalformedAccessToken)),
		same("token of another type", answering(200, `{"access_token":"AgAccess","token_type":"mac"}`), unusable(200, WrongTokenType)),
		same("gzip that nobody asked for", answering(200, "\x1f\x8b\x08\x00", "Content-Encoding", "gzip"), unusable(200, NotJSON)),
		same("one byte too many", answering(200, padded(maxAnswer+1)), unusable(200, AnswerTooLarge)),
		same("gigabytes by its length", answering(200, "", "Content-Length", "5000000000"), unusable(200, AnswerTooLarge)),
		same("a body without end", flood, unusable(200, AnswerTooLarge)),
		same("an error body without end", floodOf(400), refused(400)),
		same("cut off", cutOff(200, goodAnswer), Error{Kind: Ambiguous, Cause: ConnectionLost, Status: 200}),
	}
	for _, status := range []int{402, 404, 405, 406, 409, 410, 413, 415, 418, 421, 431, 451} {
		table = append(table, answer{strconv.Itoa(status), answering(status, ""), unusable(status, ErrorStatus), refused(status)})
	}
	return table
}

func TestAnswersAreClassified(t *testing.T) {
	for _, test := range answers() {
		t.Run(test.name, func(t *testing.T) {
			client := newClient(t, newServer(t, test.handler))
			for _, grant := range bothGrants(client) {
				want := test.password
				if grant.operation == RefreshGrant {
					want = test.refresh
				}
				want.Operation = grant.operation
				_, err := grant.run(t.Context())
				wantError(t, err, want)
			}
		})
	}
}

// either is one of the two grants.
type either struct {
	operation Operation
	run       func(context.Context) (Grant, error)
}

func bothGrants(client *Client) []either {
	return []either{
		{PasswordGrant, func(ctx context.Context) (Grant, error) { return client.Authenticate(ctx, goodCredentials()) }},
		{RefreshGrant, func(ctx context.Context) (Grant, error) { return client.Refresh(ctx, "Refresh") }},
	}
}

// cutOff promises one byte more than it sends, and closes the connection.
func cutOff(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
		w.WriteHeader(status)
		send(w, body)
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
		panic(http.ErrAbortHandler)
	}
}

func flood(w http.ResponseWriter, r *http.Request) { floodOf(200)(w, r) }

// floodOf writes until the client closes the connection: a client that drained it would keep the test from ending.
func floodOf(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		for chunk := []byte(strings.Repeat(" ", 64<<10)); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// padded is the good answer, made long by spaces.
func padded(length int) string {
	return goodAnswer + strings.Repeat(" ", length-len(goodAnswer))
}

func TestAnAnswerOfTheGreatestSizeIsRead(t *testing.T) {
	grant, err := newClient(t, newServer(t, answering(200, padded(maxAnswer)))).Refresh(t.Context(), "Refresh")
	wantGrant(t, grant, err)
}

func TestContentTypeOfAGrantDoesNotMatter(t *testing.T) {
	grant, err := newClient(t, newServer(t, answering(200, goodAnswer, "Content-Type", "text/html"))).Refresh(t.Context(), "Refresh")
	wantGrant(t, grant, err)
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			var requests, followed atomic.Int32
			elsewhere := newServer(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
			client := newClient(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				http.Redirect(w, r, elsewhere.URL+"/login", status)
			}))
			calls := everyCall(client)
			for _, each := range calls {
				wantError(t, each.run(t.Context()), Error{Operation: each.operation, Kind: Protocol, Cause: Redirected, Status: status})
			}
			if followed.Load() != 0 || int(requests.Load()) != len(calls) {
				t.Errorf("%d calls became %d requests, and %d elsewhere", len(calls), requests.Load(), followed.Load())
			}
		})
	}
}

func TestEveryFailureIsSentOnce(t *testing.T) {
	for _, status := range []int{400, 408, 429, 500, 503, 307} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			var requests atomic.Int32
			client := newClient(t, newServer(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(status)
			}))
			for _, each := range everyCall(client) {
				requests.Store(0)
				if err := each.run(t.Context()); err == nil {
					t.Fatalf("no error of the %v", each.operation)
				}
				if got := requests.Load(); got != 1 {
					t.Errorf("the server got %d requests for a %v, want 1", got, each.operation)
				}
			}
		})
	}
}

func TestConnectionsAreReused(t *testing.T) {
	for _, test := range []struct {
		name    string
		answer  http.HandlerFunc
		granted bool
	}{
		{"after grants", answering(200, goodAnswer), true},
		{"after refusals", answering(400, `{"error":"Login failed."}`), false},
		{"after errors with a large body", answering(500, strings.Repeat("x", maxDrain-1)), false},
		{"after unusable grants", answering(200, "<html>"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var mu sync.Mutex
			var peers []string
			server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				peers = append(peers, r.RemoteAddr)
				mu.Unlock()
				test.answer(w, r)
			})
			pool := newPool(t)
			for range 10 { // a client is made for each grant, as the operator does it
				client := connect(t, pool, Endpoint{URL: server.URL, CA: certificateOf(server)})
				if _, err := client.Refresh(t.Context(), "Refresh"); (err == nil) != test.granted {
					t.Fatalf("error is %v", err)
				}
			}
			if got := len(slices.Compact(peers)); got != 1 || len(peers) != 10 {
				t.Errorf("%d requests came over %d connections, want 10 over 1", len(peers), got)
			}
		})
	}
}

func TestClientsAreSafeForConcurrentUse(t *testing.T) {
	server := newServer(t, answering(200, goodAnswer))
	pool := newPool(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 8 {
				client, err := pool.Client(Endpoint{URL: server.URL, CA: certificateOf(server)})
				if err != nil {
					t.Errorf("Client: %v", err)
					return
				}
				if _, err := client.Authenticate(t.Context(), goodCredentials()); err != nil {
					t.Errorf("Authenticate: %v", err)
				}
				pool.CloseIdle() // disturbs nobody
			}
		})
	}
	group.Wait()
}
