package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// A way is a client of a proxy whose API server counts the requests that arrive.
type way struct {
	*proxy
	client  *http.Client
	arrived atomic.Int32
}

func newWay(t *testing.T) *way {
	t.Helper()
	w := &way{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.arrived.Add(1)
		_, _ = rw.Write([]byte("true"))
		if isWatch(r) {
			_ = http.NewResponseController(rw).Flush() //nolint:errcheck // the test sees it
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	var err error
	if w.proxy, err = newProxy(&rest.Config{Host: server.URL}, 1, newHits()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	roots := x509.NewCertPool()
	roots.AddCert(w.server.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return w
}

// try makes a request and returns the status, 0 if there is no answer.
func (w *way) try(t *testing.T, method string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+"/x", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := w.client.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	return response.StatusCode
}

// until repeats a request until it is answered so: whether one is struck is a matter of dice.
func (w *way) until(t *testing.T, method string, status int) {
	t.Helper()
	for range 200 {
		if w.try(t, method) == status {
			return
		}
	}
	t.Errorf("200 requests, and none answered %d", status)
}

func TestTheProxyPassesOn(t *testing.T) {
	w := newWay(t)
	if status := w.try(t, http.MethodPatch); status != http.StatusOK || w.arrived.Load() != 1 {
		t.Errorf("status %d, %d arrived", status, w.arrived.Load())
	}
}

func TestTheProxyDisturbs(t *testing.T) {
	for k, status := range map[kind]int{
		apiConflicts: http.StatusConflict, apiThrottles: http.StatusTooManyRequests, apiFails: http.StatusInternalServerError,
		apiResets: 0, apiLoses: 0,
	} {
		t.Run(string(k), func(t *testing.T) {
			w := newWay(t)
			w.disturb(k, 1)
			w.until(t, http.MethodPatch, status)
			if w.hits.all()[k] == 0 {
				t.Error("it is not counted")
			}
			w.disturb("", 0)
			if got := w.try(t, http.MethodPatch); got != http.StatusOK {
				t.Errorf("afterwards %d", got)
			}
		})
	}
}

func TestALostAnswerIsOneOfARequestThatArrived(t *testing.T) {
	for k, arrives := range map[kind]bool{apiLoses: true, apiResets: false} {
		w := newWay(t)
		w.disturb(k, 1)
		for range 200 {
			before := w.arrived.Load()
			if w.try(t, http.MethodPatch) == 0 {
				if arrived := w.arrived.Load() > before; arrived != arrives {
					t.Errorf("%s: arrived %v", k, arrived)
				}
				break
			}
		}
	}
}

func TestReadsAreNoConflict(t *testing.T) {
	w := newWay(t)
	w.disturb(apiConflicts, 1)
	for range 50 {
		if status := w.try(t, http.MethodGet); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
}

func TestARefusingProxyHasNoConnections(t *testing.T) {
	w := newWay(t)
	w.until(t, http.MethodGet, http.StatusOK)
	w.refuse(true)
	if status := w.try(t, http.MethodPatch); status != 0 {
		t.Errorf("status %d", status)
	}
	w.refuse(false)
	w.until(t, http.MethodGet, http.StatusOK)
}

func TestACutEndsAWatch(t *testing.T) {
	w := newWay(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/x?watch=true", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := w.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	w.cut()
	if _, err := io.ReadAll(response.Body); err == nil || ctx.Err() != nil {
		t.Errorf("the watch ended with %v", err)
	}
}
