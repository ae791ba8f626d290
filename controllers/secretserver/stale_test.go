package secretserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fragile is a connection that fails when told to.
type fragile struct {
	net.Conn
	mu sync.Mutex
	// left is how many bytes can still be written; negative: any number.
	left int
}

func (f *fragile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left < 0 {
		return f.Conn.Write(p)
	}
	whole := len(p) <= f.left
	n, err := f.Conn.Write(p[:min(len(p), f.left)])
	f.left -= n
	if err == nil && !whole {
		err = syscall.EPIPE
	}
	return n, err
}

func (f *fragile) breakAfter(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = bytes
}

// staleVault is a vault that has answered one grant, over a connection which is idle now.
func staleVault(t *testing.T) (*vault, *Client, *fragile) {
	t.Helper()
	var first *fragile
	v := newVault(t, (*visit).serve)
	v.wrap = func(conn net.Conn) net.Conn {
		next := &fragile{Conn: conn, left: -1}
		if first == nil {
			first = next
		}
		return next
	}
	client := v.client(t)
	grant, err := client.Refresh(t.Context(), "first")
	wantGrant(t, grant, err)
	return v, client, first
}

func TestAStaleConnectionThatTakesNothingCostsNoGrant(t *testing.T) {
	for _, bytes := range []int{0, 20} { // 20 are part of a TLS record, which is nothing that a server can read
		t.Run(fmt.Sprintf("%d bytes written", bytes), func(t *testing.T) {
			v, client, connection := staleVault(t)
			connection.breakAfter(bytes)
			grant, err := client.Refresh(t.Context(), "second")
			wantGrant(t, grant, err)
			dials, grants := v.seen()
			if dials != 2 || len(grants) != 2 || grants[1].Get("refresh_token") != "second" {
				t.Errorf("the server got %d grants over %d connections, want 2 over 2", len(grants), dials)
			}
		})
	}
}

func TestAStaleConnectionThatCannotBeReplacedIsNotSent(t *testing.T) {
	v, client, connection := staleVault(t)
	connection.breakAfter(0)
	refuseConnections(t, client)
	_, err := client.Refresh(t.Context(), "second")
	wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: ConnectionRefused})
	if _, grants := v.seen(); len(grants) != 1 {
		t.Errorf("the server got %d grants, want 1", len(grants))
	}
}

// refuseConnections lets the client have no connection but those that it has.
func refuseConnections(t *testing.T, client *Client) {
	t.Helper()
	transport, ok := client.transport.(*http.Transport)
	if !ok {
		t.Fatalf("transport is %T", client.transport)
	}
	transport.DialTLSContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
}

func TestAStaleConnectionThatTakesPartOfTheRequestIsAmbiguous(t *testing.T) {
	v, client, connection := staleVault(t)
	connection.breakAfter(20 << 10)
	_, err := client.Refresh(t.Context(), strings.Repeat("x", 40<<10))
	wantError(t, err, Error{Operation: RefreshGrant, Kind: Ambiguous, Cause: ConnectionLost})
	if dials, grants := v.seen(); dials != 1 || len(grants) != 1 {
		t.Errorf("the server got %d grants over %d connections: the request was repeated", len(grants), dials)
	}
}

func TestAReusedConnectionThatBreaksBeforeTheAnswerIsAmbiguous(t *testing.T) {
	v := newVault(t, func(visit *visit) { _ = visit.request() && visit.grant() && visit.request() })
	client := v.client(t)
	grant, err := client.Refresh(t.Context(), "first")
	wantGrant(t, grant, err)
	_, err = client.Refresh(t.Context(), "second")
	wantError(t, err, Error{Operation: RefreshGrant, Kind: Ambiguous, Cause: ConnectionLost})
	if dials, grants := v.seen(); dials != 1 || len(grants) != 2 {
		t.Errorf("the server got %d grants over %d connections, want 2 over 1", len(grants), dials)
	}
}

func TestAStaleConnectionThatTakesNothingCostsNoRevocation(t *testing.T) {
	v, client, connection := staleVault(t)
	connection.breakAfter(0)
	wantOutcome(t, client.Revoke(t.Context(), "AgAccess"), Error{})
	if dials, requests := v.seen(); dials != 2 || len(requests) != 2 {
		t.Errorf("the server got %d requests over %d connections, want 2 over 2", len(requests), dials)
	}
}

// dozingVault is a vault that falls asleep after one grant: its first connection breaks once the next request is in.
func dozingVault(t *testing.T) (*vault, *Client) {
	t.Helper()
	v := newVault(t, func(visit *visit) {
		if dials, _ := visit.vault.seen(); dials > 1 {
			visit.serve()
			return
		}
		_ = visit.request() && visit.grant() && visit.request()
	})
	client := v.client(t)
	grant, err := client.Refresh(t.Context(), "first")
	wantGrant(t, grant, err)
	return v, client
}

func TestACheckIsRepeatedOverAnotherConnection(t *testing.T) {
	v, client := dozingVault(t)
	wantOutcome(t, client.Verify(t.Context(), "AgAccess"), Error{})
	if dials, requests := v.seen(); dials != 2 || len(requests) != 3 {
		t.Errorf("the server got %d requests over %d connections, want a grant and 2 checks over 2", len(requests), dials)
	}
}

func TestACheckThatCannotBeRepeatedSaysWhy(t *testing.T) {
	_, client := dozingVault(t)
	refuseConnections(t, client)
	wantError(t, client.Verify(t.Context(), "AgAccess"), Error{Operation: VerifyToken, Kind: NotSent, Cause: ConnectionRefused})
}

func TestARevocationIsNotRepeated(t *testing.T) {
	v, client := dozingVault(t)
	wantError(t, client.Revoke(t.Context(), "AgAccess"), Error{Operation: RevokeToken, Kind: Ambiguous, Cause: ConnectionLost})
	if dials, requests := v.seen(); dials != 1 || len(requests) != 2 {
		t.Errorf("the server got %d requests over %d connections, want a grant and a revocation over 1", len(requests), dials)
	}
}

// A server that closes idle connections at once races with the client, which may find a connection good, stale or gone.
// Whatever it finds, no grant arrives twice, and none that is said not to have been sent arrives at all.
func TestNoGrantArrivesTwice(t *testing.T) {
	var mu sync.Mutex
	arrivals := map[string]int{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.PostFormValue("refresh_token")
		mu.Lock()
		arrivals[token]++
		mu.Unlock()
		send(w, goodAnswer)
	}))
	server.Config.IdleTimeout = time.Nanosecond
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	client := newClient(t, server)
	for i := range 100 {
		token := fmt.Sprint("token", i)
		_, err := client.Refresh(t.Context(), token)
		mu.Lock()
		got := arrivals[token]
		mu.Unlock()
		var failed *Error
		switch {
		case got > 1:
			t.Errorf("grant %d arrived %d times", i, got)
		case err == nil && got != 1:
			t.Errorf("grant %d succeeded and arrived %d times", i, got)
		case err != nil && (!errors.As(err, &failed) || failed.Kind != Ambiguous):
			t.Errorf("grant %d failed with %v", i, err)
		}
	}
}
