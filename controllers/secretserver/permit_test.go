package secretserver

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// permission is what a test takes away and gives back.
type permission struct {
	withdrawn atomic.Bool
	asked     atomic.Int32
}

func (p *permission) given() bool {
	p.asked.Add(1)
	return !p.withdrawn.Load()
}

// withdrawnInHandshake takes the permission away when the vault has the client's first words, so that everything before the
// request went well.
func (p *permission) withdrawnInHandshake(v *vault) {
	v.tls.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		p.withdrawn.Store(true)
		return nil, nil //nolint:nilnil // go on with the configuration there is
	}
}

func (v *vault) clientWith(t *testing.T, p *permission) *Client {
	t.Helper()
	pool := v.pool(t)
	WithPermit(p.given)(pool)
	return connect(t, pool, v.endpoint())
}

func TestAGrantIsWithheldWhenThePermissionLapsesWhileConnecting(t *testing.T) {
	for _, proxy := range []bool{false, true} {
		for i, operation := range []Operation{PasswordGrant, RefreshGrant} {
			t.Run(fmt.Sprintf("%s, proxy %t", operation, proxy), func(t *testing.T) {
				arrived := make(chan int64, 1)
				v := newVault(t, func(visit *visit) {
					n, _ := io.Copy(io.Discard, visit.reader) //nolint:errcheck // how it ends does not matter
					arrived <- n
				})
				v.proxy = proxy
				allowed := &permission{}
				allowed.withdrawnInHandshake(v)
				_, err := bothGrants(v.clientWith(t, allowed))[i].run(t.Context())
				wantError(t, err, Error{Operation: operation, Kind: NotSent, Cause: Withheld})
				if n := <-arrived; n != 0 {
					t.Errorf("the server got %d bytes of a request that was withheld", n)
				}
			})
		}
	}
}

func TestAGrantIsWithheldOnAConnectionThatServedBefore(t *testing.T) {
	v := newVault(t, func(visit *visit) { visit.serve() })
	allowed := &permission{}
	client := v.clientWith(t, allowed)
	grant, err := client.Refresh(t.Context(), "Refresh")
	wantGrant(t, grant, err)

	allowed.withdrawn.Store(true)
	_, err = client.Refresh(t.Context(), "Refresh")
	wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: Withheld})

	allowed.withdrawn.Store(false)
	grant, err = client.Refresh(t.Context(), "Refresh")
	wantGrant(t, grant, err)
	if _, grants := v.seen(); len(grants) != 2 {
		t.Errorf("the server got %d grants, want the 2 that were permitted", len(grants))
	}
}

func TestPermissionIsAskedOncePerGrantHoweverLongItIs(t *testing.T) {
	v := newVault(t, func(visit *visit) { visit.serve() })
	allowed := &permission{}
	client := v.clientWith(t, allowed)
	for range 2 {
		grant, err := client.Authenticate(t.Context(), Credentials{Username: "svc", Password: string(make([]byte, 100<<10))})
		wantGrant(t, grant, err)
	}
	if asked := allowed.asked.Load(); asked != 2 {
		t.Errorf("asked %d times for 2 grants", asked)
	}
}

func TestWhatSpendsNothingNeedsNoPermission(t *testing.T) {
	v := newVault(t, func(visit *visit) {
		for visit.request() {
			visit.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"id\":1}")
		}
	})
	allowed := &permission{}
	allowed.withdrawn.Store(true)
	client := v.clientWith(t, allowed)
	// First a grant that is withheld, so that a connection which remembers its question would show.
	_, err := client.Refresh(t.Context(), "Refresh")
	wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: Withheld})
	if err := client.Verify(t.Context(), "AgAccess"); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if err := client.Revoke(t.Context(), "AgAccess"); err != nil {
		t.Errorf("Revoke: %v", err)
	}
	if asked := allowed.asked.Load(); asked != 1 {
		t.Errorf("asked %d times, want once, for the grant", asked)
	}
}

// On a real network, where a server that would rather speak HTTP/2 is refused that.
func TestAWithheldGrantLeavesNothingOnTheWire(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, permitted := range []bool{false, true} {
			t.Run(fmt.Sprintf("server with HTTP/2 %t, permitted %t", http2, permitted), func(t *testing.T) {
				server := httptest.NewUnstartedServer(nil)
				server.EnableHTTP2 = http2
				server.StartTLS() // for its certificate, and what it would negotiate
				defer server.Close()
				listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer hangUp(listener)
				arrived := make(chan []byte, 1)
				go func() {
					conn, err := tls.NewListener(listener, server.TLS).Accept()
					if err != nil {
						return
					}
					defer hangUp(conn)
					if permitted {
						first := make([]byte, 1)
						n, _ := conn.Read(first) //nolint:errcheck // what came decides
						arrived <- first[:n]
						return
					}
					everything, _ := io.ReadAll(conn) //nolint:errcheck // what came decides
					arrived <- everything
				}()
				pool := newPool(t)
				WithPermit(func() bool { return permitted })(pool)
				client := connect(t, pool, Endpoint{URL: "https://" + listener.Addr().String(), CA: certificateOf(server)})
				_, err = client.Refresh(t.Context(), "Refresh")
				got := <-arrived
				if permitted {
					if len(got) == 0 {
						t.Error("nothing arrived of a grant that was permitted: this test shows nothing")
					}
					return
				}
				wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: Withheld})
				if len(got) != 0 {
					t.Errorf("%d bytes arrived", len(got))
				}
			})
		}
	}
}
