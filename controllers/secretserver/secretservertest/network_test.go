package secretservertest_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// network is a vault that listens, and a client that trusts it. Its clock moves by
// hand like every vault's; delays are real.
type network struct {
	*vault
	client *http.Client
}

func newNetwork(t *testing.T, o fake.Options, secure bool) *network {
	t.Helper()
	n := &network{vault: newVault(t, o)}
	start := n.Start
	if secure {
		start = n.StartTLS
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	n.client = trusting(t, n.Server, o.HTTP2)
	return n
}

// trusting is a client with connections of its own that trusts the server's CA.
func trusting(t *testing.T, s *fake.Server, http2 bool) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

func (n *network) request(t *testing.T, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL()+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// post sends a form over the wire and reads the whole answer.
func (n *network) post(t *testing.T, form url.Values) ([]byte, error) {
	t.Helper()
	answer, err := n.client.Do(n.request(t, form))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

// eventuallyIdle waits, ten seconds at most, until no request is being answered.
func (n *network) eventuallyIdle(t *testing.T) {
	t.Helper()
	eventually(t, "a request is still being answered", func() bool { return n.Stats().InFlight == 0 })
}

// eventually polls, ten seconds at most, until the condition holds.
func eventually(t *testing.T, complaint string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatal(complaint)
		case <-poll.C:
		}
	}
}
