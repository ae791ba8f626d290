package secretserver

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

func TestTransportsAreSharedByHostCAAndServerName(t *testing.T) {
	pool := newPool(t)
	ca, other := newAuthority(t).pem, newAuthority(t).pem
	base := Endpoint{URL: vaultURL, CA: ca}
	shared := connect(t, pool, base).transport
	for _, test := range []struct {
		name     string
		endpoint Endpoint
		same     bool
	}{
		{"equal", Endpoint{URL: vaultURL, CA: append([]byte(nil), ca...)}, true},
		{"another directory", Endpoint{URL: "https://" + vaultHost + "/other", CA: ca}, true},
		{"host in capitals", Endpoint{URL: strings.ToUpper(vaultURL[:20]) + vaultURL[20:], CA: ca}, true},
		{"another timeout", Endpoint{URL: vaultURL, CA: ca, Timeout: time.Second}, true},
		{"another host", Endpoint{URL: "https://other.example.com", CA: ca}, false},
		{"another port", Endpoint{URL: "https://" + vaultHost + ":8443", CA: ca}, false},
		{"another CA", Endpoint{URL: vaultURL, CA: other}, false},
		{"no CA", Endpoint{URL: vaultURL}, false},
		{"another server name", Endpoint{URL: vaultURL, CA: ca, ServerName: "other.example.com"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := connect(t, pool, test.endpoint).transport == shared; got != test.same {
				t.Errorf("shared: %t, want %t", got, test.same)
			}
		})
	}
}

func TestPoolForgetsWhatNobodyAsksFor(t *testing.T) {
	now := noon()
	pool := NewPool(func() time.Time { return now })
	kept, dropped := Endpoint{URL: "https://kept.example.com"}, Endpoint{URL: "https://dropped.example.com"}
	keptTransport, droppedTransport := connect(t, pool, kept).transport, connect(t, pool, dropped).transport
	now = now.Add(transportIdle)
	connect(t, pool, kept)
	now = now.Add(time.Second)
	connect(t, pool, Endpoint{URL: "https://new.example.com"})
	if got := len(pool.transports); got != 2 {
		t.Errorf("%d transports, want 2", got)
	}
	if connect(t, pool, kept).transport != keptTransport {
		t.Error("the transport in use was forgotten")
	}
	if connect(t, pool, dropped).transport == droppedTransport {
		t.Error("the idle transport was kept")
	}
}

func TestPoolIsBounded(t *testing.T) {
	now := noon()
	pool := NewPool(func() time.Time { now = now.Add(time.Millisecond); return now })
	hosts := func(i int) Endpoint { return Endpoint{URL: fmt.Sprintf("https://vault%d.example.com", i)} }
	oldest, second := connect(t, pool, hosts(0)).transport, connect(t, pool, hosts(1)).transport
	for i := range maxTransports + 1 {
		connect(t, pool, hosts(i))
	}
	if got := len(pool.transports); got != maxTransports {
		t.Errorf("%d transports, want %d", got, maxTransports)
	}
	if connect(t, pool, hosts(1)).transport != second {
		t.Error("more was forgotten than had to be")
	}
	if connect(t, pool, hosts(0)).transport == oldest {
		t.Error("the least recently used transport was kept")
	}
}

func TestCloseIdleClosesConnections(t *testing.T) {
	closed := make(chan struct{})
	v := newVault(t, func(visit *visit) {
		_ = visit.request() && visit.grant()
		visit.wait()
		close(closed)
	})
	pool := v.pool(t)
	client := connect(t, pool, v.endpoint())
	grant, err := client.Refresh(t.Context(), "Refresh")
	wantGrant(t, grant, err)
	pool.CloseIdle()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection is still open")
	}
	if len(pool.transports) != 0 {
		t.Error("transports were kept")
	}
}

func TestUnusableCAIsRefused(t *testing.T) {
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("key")})
	for _, test := range []struct {
		name string
		ca   []byte
		want Cause
	}{
		{"empty", []byte{}, NotPEM},
		{"garbage", []byte("garbage"), NotPEM},
		{"DER", newAuthority(t).certificate.Raw, NotPEM},
		{"cut off", newAuthority(t).pem[:100], NotPEM},
		{"a key", key, NoCertificate},
		{"PEM of garbage", pemOf([]byte("garbage")), MalformedCertificate},
		{"PEM of garbage, then a key", append(pemOf([]byte("garbage")), key...), MalformedCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, err := newPool(t).Client(Endpoint{URL: vaultURL, CA: test.ca})
			wantError(t, err, Error{Operation: Setup, Kind: InvalidCA, Cause: test.want})
			if client != nil {
				t.Error("there is a client all the same")
			}
		})
	}
}

func TestCAIsAddedToTheSystemRoots(t *testing.T) {
	system, private := newAuthority(t), newAuthority(t)
	bundle := append(pemOf([]byte("garbage")), private.pem...)
	for _, test := range []struct {
		name   string
		roots  func() (*x509.CertPool, error)
		issuer authority
		want   Cause
	}{
		{"a server that the system trusts", poolOf(system), system, 0},
		{"a server that the bundle trusts", poolOf(system), private, 0},
		{"a server that neither trusts", poolOf(system), newAuthority(t), UnknownAuthority},
		{"no system roots, a server that the bundle trusts", noRoots, private, 0},
		{"no system roots, any other server", noRoots, system, UnknownAuthority},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVault(t, func(visit *visit) { _ = visit.request() && visit.grant() })
			v.tls.Certificates[0] = test.issuer.issue(t)
			pool := v.pool(t)
			pool.system = test.roots
			grant, err := connect(t, pool, Endpoint{URL: vaultURL, CA: bundle}).Refresh(t.Context(), "Refresh")
			if test.want == 0 {
				wantGrant(t, grant, err)
				return
			}
			wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: test.want})
		})
	}
}

func poolOf(a authority) func() (*x509.CertPool, error) {
	return func() (*x509.CertPool, error) {
		pool := x509.NewCertPool()
		pool.AddCert(a.certificate)
		return pool, nil
	}
}

func noRoots() (*x509.CertPool, error) { return nil, errors.New("no roots") }

func TestBaseURLs(t *testing.T) {
	for _, test := range []struct{ base, token string }{
		{"https://vault.example.com", "https://vault.example.com/oauth2/token"},
		{"https://vault.example.com/", "https://vault.example.com/oauth2/token"},
		{"https://vault.example.com/SecretServer//", "https://vault.example.com/SecretServer/oauth2/token"},
		{"https://[::1]:8443/ss", "https://[::1]:8443/ss/oauth2/token"},
		{"https://vault.example.com/a//b", "https://vault.example.com/a//b/oauth2/token"},
		{"https://vault.example.com/a%2Fb%20c", "https://vault.example.com/a%2Fb%20c/oauth2/token"},
		{"http://vault.example.com", ""},
		{"vault.example.com", ""},
		{"https:///SecretServer", ""},
		{"https://:443", ""},
		{"https://user:password@vault.example.com", ""},
		{"https://vault.example.com?x=1", ""},
		{"https://vault.example.com?", ""},
		{"https://vault.example.com#x", ""},
		{"https://vault.example.com/%zz", ""},
		{"", ""},
	} {
		t.Run(test.base, func(t *testing.T) {
			client, err := newPool(t).Client(Endpoint{URL: test.base})
			if test.token == "" {
				wantError(t, err, Error{Operation: Setup, Kind: NotSent, Cause: InvalidURL})
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := client.at(grantPath).String(); got != test.token {
				t.Errorf("token URL is %s, want %s", got, test.token)
			}
		})
	}
}
