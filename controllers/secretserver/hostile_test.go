package secretserver

import (
	"crypto/tls"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Answers before the answer (100 Continue, 103 Early Hints) may be sent without end, each of them harmless.
func TestAnswersBeforeTheAnswerAreBounded(t *testing.T) {
	for _, early := range []string{"100 Continue", "103 Early Hints", "102 Processing", "199 Whatever"} {
		t.Run(early, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // closing TLS may take time, as nobody reads what is said at the end
				v := newVault(t, func(visit *visit) {
					for ok := visit.request(); ok; {
						ok = visit.write("HTTP/1.1 " + early + "\r\nLink: </" + strings.Repeat("x", 1000) + ">\r\n\r\n")
					}
				})
				_, err := v.client(t).Authenticate(t.Context(), goodCredentials())
				wantError(t, err, Error{Operation: PasswordGrant, Kind: Ambiguous, Cause: NotHTTP})
				if _, grants := v.seen(); len(grants) != 1 {
					t.Errorf("the login was sent %d times", len(grants))
				}
			})
		})
	}
}

func TestAnEarlyHintDoesNotHideTheAnswer(t *testing.T) {
	v := newVault(t, func(visit *visit) {
		_ = visit.request() && visit.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n") && visit.grant()
	})
	grant, err := v.client(t).Refresh(t.Context(), "Refresh")
	wantGrant(t, grant, err)
}

func TestUntrustedTLSGetsNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*vault)
		want   Cause
	}{
		{"TLS 1.0 only", func(v *vault) { v.tls.MinVersion, v.tls.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, HandshakeFailed},
		{"TLS 1.1 at most", func(v *vault) { v.tls.MinVersion, v.tls.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, HandshakeFailed},
		{"no certificate", func(v *vault) { v.tls.Certificates = nil }, HandshakeFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVault(t, func(visit *visit) { visit.request() })
			test.change(v)
			_, err := v.client(t).Authenticate(t.Context(), goodCredentials())
			wantError(t, err, Error{Operation: PasswordGrant, Kind: NotSent, Cause: test.want})
			if _, grants := v.seen(); len(grants) != 0 {
				t.Error("the password was sent")
			}
		})
	}
}

func TestASelfSignedServerGetsNothing(t *testing.T) {
	var record recorder
	server := newServer(t, record.ServeHTTP)
	_, err := connect(t, newPool(t), Endpoint{URL: server.URL}).Authenticate(t.Context(), goodCredentials())
	wantError(t, err, Error{Operation: PasswordGrant, Kind: NotSent, Cause: UnknownAuthority})
	if len(record.requests) != 0 {
		t.Error("the password was sent")
	}
}

// A handshake that goes on, a byte a second, is ended by the timeout like one that stops.
func TestAHandshakeInDropsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, done := newVault(t, nil), make(chan struct{})
		v.raw = func(conn io.ReadWriter) {
			defer close(done)
			go pass(io.Discard, conn)
			send(conn, "\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb\x03\x03") // a server hello of 16 KiB
			second := time.NewTicker(time.Second)
			defer second.Stop()
			for range second.C {
				if _, err := conn.Write([]byte{0}); err != nil {
					return
				}
			}
		}
		endpoint := v.endpoint()
		endpoint.Timeout = 20 * time.Second
		start := time.Now()
		_, err := connect(t, v.pool(t), endpoint).Authenticate(t.Context(), goodCredentials())
		wantError(t, err, Error{Operation: PasswordGrant, Kind: NotSent, Cause: TimedOut})
		if took := time.Since(start); took != endpoint.Timeout {
			t.Errorf("took %v, want %v", took, endpoint.Timeout)
		}
		<-done // the client has closed the connection
	})
}

// What an answer costs in memory does not depend on how long it is.
func TestAnAnswerOfAGigabyteCostsLittleMemory(t *testing.T) {
	const bound = 16 << 20
	gigabyte := strconv.Itoa(1 << 30)
	bomb := "\x1f\x8b\x08\x00\x00\x00\x00\x00" + strings.Repeat("\x00", 1<<16)
	for name, handler := range map[string]http.HandlerFunc{
		"by its length": answering(200, goodAnswer, "Content-Length", gigabyte),
		"as an error":   floodOf(500),
		"gzip":          answering(200, bomb, "Content-Encoding", "gzip"),
		"as JSON": func(w http.ResponseWriter, _ *http.Request) {
			send(w, `{"access_token":"`)
			for chunk := strings.Repeat("A", 64<<10); ; {
				if _, err := io.WriteString(w, chunk); err != nil {
					return
				}
			}
		},
		"as a deep JSON": func(w http.ResponseWriter, _ *http.Request) {
			send(w, strings.Repeat(`{"a":[`, 20_000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, newServer(t, handler))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := client.Refresh(t.Context(), "Refresh"); err == nil {
				t.Error("a token was found in it")
			}
			runtime.ReadMemStats(&after)
			// All that was ever allocated, the test's own server included.
			if cost := after.TotalAlloc - before.TotalAlloc; cost > bound {
				t.Errorf("%d bytes were allocated, want %d at most", cost, bound)
			}
		})
	}
}

// A clock is asked for within the timeout, and is no worse for a body that comes late.
func TestTheTimeoutBoundsTheClockToo(t *testing.T) {
	dated := "HTTP/1.1 200 OK\r\nDate: " + noon().Format(http.TimeFormat) + "\r\nContent-Length: 1000\r\n\r\n"
	for _, test := range []struct {
		name   string
		script func(*visit)
		want   Error
	}{
		{"header in drops", func(v *visit) {
			v.request()
			v.drip("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1000))
		}, Error{Operation: ReadClock, Kind: Ambiguous, Cause: TimedOut}},
		{"body in drops", func(v *visit) {
			_ = v.request() && v.write(dated)
			v.drip(strings.Repeat(" ", 1000))
		}, Error{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault(t, test.script)
				start := time.Now()
				pool := v.pool(t)
				pool.now = func() time.Time { return noon().Add(time.Since(start)) }
				endpoint := v.endpoint()
				endpoint.Timeout = 20 * time.Second
				ahead, err := connect(t, pool, endpoint).Ahead(t.Context())
				wantOutcome(t, err, test.want)
				if err == nil && ahead != time.Second/2 {
					t.Errorf("the clock is %s ahead, want half a second", ahead)
				}
				if took := time.Since(start); took > endpoint.Timeout {
					t.Errorf("took %v, want %v at most", took, endpoint.Timeout)
				}
			})
		})
	}
}
