package secretserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

const (
	vaultHost = "vault.example.com"
	vaultURL  = "https://" + vaultHost + "/SecretServer"
	// goodAnswer is what Secret Server answers to either grant.
	goodAnswer = `{"access_token":"AgAccess","token_type":"bearer","expires_in":1199,"refresh_token":"Refresh"}`
)

func goodGrant() Grant {
	return Grant{AccessToken: "AgAccess", TokenType: "bearer", ExpiresIn: 1199 * time.Second, RefreshToken: "Refresh"}
}

func goodCredentials() Credentials { return Credentials{Username: "svc", Password: "correct horse"} }

// noon is when the tests take place.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// newServer starts an HTTPS server with a certificate of its own.
func newServer(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// answering is a handler that gives every request the same answer.
func answering(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		send(w, body)
	}
}

// newClient makes a client of a server, with a pool of its own.
func newClient(t *testing.T, server *httptest.Server) *Client {
	t.Helper()
	pool := newPool(t)
	return connect(t, pool, Endpoint{URL: server.URL + "/SecretServer", CA: certificateOf(server)})
}

func newPool(t *testing.T) *Pool {
	t.Helper()
	pool := NewPool(noon)
	t.Cleanup(pool.CloseIdle)
	return pool
}

func connect(t *testing.T, pool *Pool, endpoint Endpoint) *Client {
	t.Helper()
	client, err := pool.Client(endpoint)
	if err != nil {
		t.Fatalf("Client: %v", err)
	}
	return client
}

func certificateOf(server *httptest.Server) []byte { return pemOf(server.Certificate().Raw) }

// vault is a Secret Server in memory. Every connection that is opened to it runs the script, which reads requests and
// writes raw answers; when the script returns, the connection is closed. Without a script the vault never says a word.
type vault struct {
	authority authority
	tls       *tls.Config
	script    func(*visit)
	// proxy is true for a vault behind an HTTP proxy, whose part it plays, too.
	proxy bool
	// raw, if set, speaks instead of the script, below TLS.
	raw func(io.ReadWriter)
	// wrap, if set, stands between the client's TLS and the network.
	wrap func(net.Conn) net.Conn

	mu     sync.Mutex
	dials  int
	grants []url.Values
}

// visit is one connection, as the vault sees it.
type visit struct {
	vault  *vault
	conn   net.Conn
	reader *bufio.Reader
}

func newVault(t *testing.T, script func(*visit)) *vault {
	t.Helper()
	a := newAuthority(t)
	return &vault{authority: a, tls: &tls.Config{Certificates: []tls.Certificate{a.issue(t)}}, script: script}
}

// pool makes a pool whose only network is the vault.
func (v *vault) pool(t *testing.T) *Pool {
	t.Helper()
	pool := newPool(t)
	pool.dial = v.dial
	if v.proxy {
		pool.proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://proxy.example.com:3128") }
	}
	return pool
}

func (v *vault) client(t *testing.T) *Client {
	t.Helper()
	return connect(t, v.pool(t), v.endpoint())
}

func (v *vault) endpoint() Endpoint { return Endpoint{URL: vaultURL, CA: v.authority.pem} }

func (v *vault) dial(context.Context, string, string) (net.Conn, error) {
	v.mu.Lock()
	v.dials++
	v.mu.Unlock()
	near, far := net.Pipe()
	go func() {
		conn := tls.Server(far, v.tls)
		defer hangUp(far) // without the alert that conn.Close would wait to send
		if v.proxy && !acceptTunnel(far) {
			return
		}
		if v.raw != nil {
			v.raw(far)
			return
		}
		if v.script == nil {
			pass(io.Discard, far)
			return
		}
		v.script(&visit{v, conn, bufio.NewReader(conn)})
	}()
	if v.wrap != nil {
		return v.wrap(near), nil
	}
	return near, nil
}

// acceptTunnel does what a proxy does before it falls silent.
func acceptTunnel(conn net.Conn) bool {
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil || request.Method != http.MethodConnect {
		return false
	}
	_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	return err == nil
}

// seen returns how many connections were opened, and the forms of all grants that arrived whole.
func (v *vault) seen() (dials int, grants []url.Values) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dials, v.grants
}

// request reads the next request, and reports whether one came.
func (v *visit) request() bool {
	request, err := http.ReadRequest(v.reader)
	if err != nil || request.ParseForm() != nil {
		return false
	}
	v.vault.mu.Lock()
	defer v.vault.mu.Unlock()
	v.vault.grants = append(v.vault.grants, request.PostForm)
	return true
}

// write sends raw bytes, and reports whether they went out.
func (v *visit) write(raw string) bool {
	_, err := io.WriteString(v.conn, raw)
	return err == nil
}

// serve gives every grant a good answer.
func (v *visit) serve() {
	for v.request() {
		v.grant()
	}
}

// wait returns when the client closes the connection.
func (v *visit) wait() {
	v.reader.ReadByte() //nolint:errcheck // that it ends is what is waited for
}

// grant sends a good answer.
func (v *visit) grant() bool {
	return v.write(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(goodAnswer), goodAnswer))
}

// send writes to a client that may be gone.
func send(w io.Writer, text string) {
	io.WriteString(w, text) //nolint:errcheck // the client's side tells
}

// pass copies until either side is gone.
func pass(to io.Writer, from io.Reader) {
	io.Copy(to, from) //nolint:errcheck // the client's side tells
}

// hangUp closes a connection that may be closed already.
func hangUp(c io.Closer) {
	c.Close() //nolint:errcheck // the client's side tells
}

// wantError fails the test unless err is exactly the Error wanted.
func wantError(t *testing.T, err error, want Error) {
	t.Helper()
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("error is %T (%v), want *Error", err, err)
	}
	if *got != want {
		t.Errorf("error is %+v (%v)\nwant     %+v (%v)", *got, got, want, &want)
	}
}

// wantGrant fails the test unless the grant is good.
func wantGrant(t *testing.T, got Grant, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("error: %v", err)
	}
	if got != goodGrant() {
		t.Errorf("grant differs from the one that was sent")
	}
}
