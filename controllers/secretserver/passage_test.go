package secretserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoConnectionIsNotSent(t *testing.T) {
	dialing := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, test := range []struct {
		name string
		err  error
		want Cause
	}{
		{"unknown host", dialing(&net.DNSError{Err: "no such host", IsNotFound: true}), NameNotResolved},
		{"DNS that does not answer", dialing(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), NameNotResolved},
		{"nothing listens", dialing(os.NewSyscallError("connect", syscall.ECONNREFUSED)), ConnectionRefused},
		{"no route to host", dialing(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), Unreachable},
		{"no route to network", dialing(os.NewSyscallError("connect", syscall.ENETUNREACH)), Unreachable},
		{"SYN not answered", dialing(os.NewSyscallError("connect", syscall.ETIMEDOUT)), TimedOut},
		{"dial timeout", dialing(os.ErrDeadlineExceeded), TimedOut},
		{"no file descriptors", dialing(os.NewSyscallError("socket", syscall.EMFILE)), NotConnected},
		{"error of no known type", errors.New("odd"), NotConnected},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool := newPool(t)
			pool.dial = func(context.Context, string, string) (net.Conn, error) { return nil, test.err }
			for _, each := range everyCall(connect(t, pool, Endpoint{URL: vaultURL})) {
				wantError(t, each.run(t.Context()), Error{Operation: each.operation, Kind: NotSent, Cause: test.want})
			}
		})
	}
}

func TestClosedPortIsRefused(t *testing.T) {
	server := newServer(t, answering(200, goodAnswer))
	client := newClient(t, server)
	server.Close()
	_, err := client.Refresh(t.Context(), "Refresh")
	wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: ConnectionRefused})
}

func TestUntrustedServersGetNothing(t *testing.T) {
	stranger := newAuthority(t).pem
	for _, test := range []struct {
		name   string
		change func(*testing.T, *vault, *Endpoint)
		want   Cause
	}{
		{"unknown authority", func(_ *testing.T, _ *vault, e *Endpoint) { e.CA = stranger }, UnknownAuthority},
		{"unknown authority, system roots alone", func(_ *testing.T, _ *vault, e *Endpoint) { e.CA = nil }, UnknownAuthority},
		{"another host's certificate", func(_ *testing.T, _ *vault, e *Endpoint) { e.URL = "https://other.example.com" }, WrongHostName},
		{"server name that the certificate lacks", func(_ *testing.T, _ *vault, e *Endpoint) { e.ServerName = "other.example.com" }, WrongHostName},
		{"expired", presenting(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(1, 0, 0) }), CertificateExpired},
		{"not yet valid", presenting(func(c *x509.Certificate) { c.NotBefore = c.NotAfter.AddDate(-1, 0, 0) }), CertificateExpired},
		{"not for servers", presenting(func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}), InvalidCertificate},
		{"TLS 1.1 only", func(_ *testing.T, v *vault, _ *Endpoint) { v.tls.MaxVersion = tls.VersionTLS11 }, HandshakeFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVault(t, func(visit *visit) { visit.request() })
			var opened *closable
			v.wrap = func(conn net.Conn) net.Conn {
				opened = &closable{Conn: conn}
				return opened
			}
			endpoint := v.endpoint()
			test.change(t, v, &endpoint)
			_, err := connect(t, v.pool(t), endpoint).Authenticate(t.Context(), goodCredentials())
			wantError(t, err, Error{Operation: PasswordGrant, Kind: NotSent, Cause: test.want})
			if _, grants := v.seen(); len(grants) != 0 {
				t.Error("the password was sent")
			}
			if !opened.closed.Load() {
				t.Error("the connection was left open")
			}
		})
	}
}

// closable is a connection that remembers its end.
type closable struct {
	net.Conn
	closed atomic.Bool
}

func (c *closable) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// presenting has the vault show a certificate that is changed in one respect.
func presenting(change func(*x509.Certificate)) func(*testing.T, *vault, *Endpoint) {
	return func(t *testing.T, v *vault, _ *Endpoint) {
		t.Helper()
		v.tls.Certificates = []tls.Certificate{v.authority.issue(t, change)}
	}
}

func TestServerNameReplacesTheHostName(t *testing.T) {
	v := newVault(t, func(visit *visit) { _ = visit.request() && visit.grant() })
	endpoint := v.endpoint()
	endpoint.URL, endpoint.ServerName = "https://10.0.0.1", vaultHost
	grant, err := connect(t, v.pool(t), endpoint).Refresh(t.Context(), "Refresh")
	wantGrant(t, grant, err)
}

func TestServersWithoutTLS(t *testing.T) {
	for _, test := range []struct {
		name   string
		banner string
		want   Cause
	}{
		{"plain HTTP", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", PlainHTTP},
		{"something else", "SSH-2.0-OpenSSH_9.9\r\n", HandshakeFailed},
		{"nothing at all", "", HandshakeFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool := newPool(t)
			pool.dial = func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				go func() {
					defer hangUp(far)
					if _, err := far.Read(make([]byte, 4096)); err == nil {
						send(far, test.banner)
					}
				}()
				return near, nil
			}
			_, err := connect(t, pool, Endpoint{URL: vaultURL}).Refresh(t.Context(), "Refresh")
			wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: test.want})
		})
	}
}

func TestConnectionsThatBreakAreAmbiguous(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer string
		status int
		want   Cause
	}{
		{"without an answer", "", 0, ConnectionLost},
		{"in the status line", "HTTP/1.1 20", 0, NotHTTP},
		{"in the header", "HTTP/1.1 200 OK\r\nContent-", 0, NotHTTP},
		{"before the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, ConnectionLost},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + goodAnswer, 200, ConnectionLost},
		{"in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + goodAnswer, 200, ConnectionLost},
		{"in a body without a length", "HTTP/1.1 200 OK\r\n\r\n" + goodAnswer[:50], 200, ConnectionLost},
		{"before a body without a length", "HTTP/1.1 200 OK\r\n\r\n", 200, ConnectionLost},
		{"after something that is no HTTP", "220 smtp.example.com ready\r\n\r\n", 0, NotHTTP},
		{"after a header without end", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxAnswerHeader), 0, NotHTTP},
		{"after a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 200, NotHTTP},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // closing TLS may take time, as nobody reads what is said at the end
				v := newVault(t, func(visit *visit) { _ = visit.request() && visit.write(test.answer) })
				for _, grant := range bothGrants(v.client(t)) {
					_, err := grant.run(t.Context())
					wantError(t, err, Error{Operation: grant.operation, Kind: Ambiguous, Cause: test.want, Status: test.status})
				}
				if _, grants := v.seen(); len(grants) != 2 {
					t.Errorf("the server got %d grants, want each of 2 once", len(grants))
				}
			})
		})
	}
}

func TestABodyEndedByTheConnectionIsRead(t *testing.T) {
	v := newVault(t, func(visit *visit) { _ = visit.request() && visit.write("HTTP/1.0 200 OK\r\n\r\n"+goodAnswer) })
	grant, err := v.client(t).Refresh(t.Context(), "Refresh")
	wantGrant(t, grant, err)
}

func TestSwitchingProtocolsIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if the client waits for the end of the connection
		v := newVault(t, func(visit *visit) {
			_ = visit.request() && visit.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			visit.wait()
		})
		start := time.Now()
		_, err := v.client(t).Refresh(t.Context(), "Refresh")
		wantError(t, err, Error{Operation: RefreshGrant, Kind: Protocol, Cause: ErrorStatus, Status: 101})
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}
