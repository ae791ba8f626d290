package secretserver

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

func TestClockIsReadFromWhateverAnswerComes(t *testing.T) {
	dated := func(status int, at time.Time) http.HandlerFunc {
		return answering(status, "whatever", "Date", at.Format(http.TimeFormat))
	}
	const half = time.Second / 2
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    time.Duration
	}{
		"right":             {dated(200, noon()), half},
		"four minutes fast": {dated(200, noon().Add(4*time.Minute)), 4*time.Minute + half},
		"four minutes slow": {dated(200, noon().Add(-4*time.Minute)), -4*time.Minute + half},
		"years off":         {dated(200, noon().AddDate(500, 0, 0)), 1<<63 - 1},
		"not found":         {dated(404, noon().Add(time.Minute)), time.Minute + half},
		"breakdown":         {dated(500, noon().Add(time.Minute)), time.Minute + half},
		"throttled":         {dated(429, noon().Add(time.Minute)), time.Minute + half},
		"no Date": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = nil
		}, 0},
		"no date in it":  {answering(200, "", "Date", "yesterday"), 0},
		"an empty Date":  {answering(200, "", "Date", ""), 0},
		"an endless one": {answering(200, "", "Date", noon().Format(http.TimeFormat)+"X"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newClient(t, newServer(t, test.handler)).Ahead(t.Context())
			wantOutcome(t, err, Error{})
			if got != test.want {
				t.Errorf("the clock is %s ahead, want %s", got, test.want)
			}
		})
	}
}

func TestAskingForTheClockSendsNothingSecretAndFollowsNoRedirect(t *testing.T) {
	var record recorder
	elsewhere := newServer(t, record.ServeHTTP)
	var asked recorder
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
		asked.requests = append(asked.requests, r)
	})
	if _, err := newClient(t, server).Ahead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(record.requests) != 0 {
		t.Error("a redirect was followed")
	}
	request := asked.requests[0]
	if request.Method != http.MethodGet || request.RequestURI != "/SecretServer/api/v1/healthcheck" || request.ContentLength != 0 {
		t.Errorf("asked with %s %s and %d bytes", request.Method, request.RequestURI, request.ContentLength)
	}
	for name := range request.Header {
		if name != "Accept" && name != "User-Agent" {
			t.Errorf("asked with a header %s", name)
		}
	}
}

// Half of what the request took lies before the server read its clock, as far as anybody knows.
func TestClockAllowsForTheTimeThatTheRequestTook(t *testing.T) {
	var passed atomic.Int64 // in nanoseconds
	pool := newPool(t)
	pool.now = func() time.Time { return noon().Add(time.Duration(passed.Load())) }
	server := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		passed.Add(int64(8 * time.Second))
		w.Header().Set("Date", noon().Add(4*time.Second).Format(http.TimeFormat))
	})
	client := connect(t, pool, Endpoint{URL: server.URL, CA: certificateOf(server)})
	got, err := client.Ahead(t.Context())
	wantOutcome(t, err, Error{})
	if want := time.Second / 2; got != want {
		t.Errorf("the clock is %s ahead, want %s", got, want)
	}
}

func TestClockOfAServerThatDoesNotAnswer(t *testing.T) {
	server := newServer(t, answering(200, ""))
	client := newClient(t, server)
	server.Close()
	_, err := client.Ahead(t.Context())
	wantError(t, err, Error{Operation: ReadClock, Kind: NotSent, Cause: ConnectionRefused})

	_, err = newClient(t, newServer(t, hijacking("MARKER\r\n\r\n"))).Ahead(t.Context())
	wantError(t, err, Error{Operation: ReadClock, Kind: Ambiguous, Cause: NotHTTP})
}
