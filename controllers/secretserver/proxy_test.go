package secretserver

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestProxies(t *testing.T) {
	v := newVault(t, func(visit *visit) { _ = visit.request() && visit.grant() })
	tunnel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != vaultHost+":443" {
			http.Error(w, "unexpected", http.StatusBadRequest)
			return
		}
		inside, err := v.dial(r.Context(), "", "")
		if err != nil {
			panic(err)
		}
		w.WriteHeader(http.StatusOK)
		outside, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		go func() {
			pass(inside, buffered) // it may have read on before it was handed over
			hangUp(inside)
		}()
		pass(outside, inside)
		hangUp(outside)
	}))
	defer tunnel.Close()
	guard := httptest.NewServer(answering(http.StatusProxyAuthRequired, "", "Proxy-Authenticate", "Basic"))
	defer guard.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, test := range []struct {
		name  string
		proxy string
		want  Cause
	}{
		{"tunnel", tunnel.URL, 0},
		{"is not a URL", "://", NotConnected},
		{"asks for a password", guard.URL, ProxyRefused},
		{"is gone", gone.URL, ProxyUnreachable},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool := newPool(t)
			pool.proxy = func(*http.Request) (*url.URL, error) { return url.Parse(test.proxy) }
			grant, err := connect(t, pool, v.endpoint()).Refresh(t.Context(), "Refresh")
			if test.want == 0 {
				wantGrant(t, grant, err)
				return
			}
			wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: test.want})
		})
	}
}

func TestConnectionsThroughAProxyAreNotReused(t *testing.T) {
	v := newVault(t, (*visit).serve)
	v.proxy = true
	client := v.client(t)
	for range 3 {
		grant, err := client.Refresh(t.Context(), "Refresh")
		wantGrant(t, grant, err)
	}
	if dials, _ := v.seen(); dials != 3 {
		t.Errorf("3 grants took %d connections, want 3", dials)
	}
}
