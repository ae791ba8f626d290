package secretservertest_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestServerListensWithACertificateOfItsOwnCA(t *testing.T) {
	n := newNetwork(t, fake.Options{BasePath: "/SecretServer/", Hosts: []string{"vault.example.com", "10.1.2.3"}}, true)
	base, err := url.Parse(n.URL())
	if err != nil || base.Scheme != "https" || base.Hostname() != "127.0.0.1" || base.Path != "/SecretServer" {
		t.Fatalf("URL %s, %v", n.URL(), err)
	}
	n.post200(t)
	for _, name := range []string{"localhost", "::1", "vault.example.com", "10.1.2.3"} {
		client := trusting(t, n.Server, false)
		transport, ok := client.Transport.(*http.Transport)
		if !ok {
			t.Fatal("not an *http.Transport")
		}
		transport.TLSClientConfig.ServerName = name
		if _, err := (&network{vault: n.vault, client: client}).post(t, passwordForm(user, password)); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	stranger := &network{vault: n.vault, client: trusting(t, fake.New(fake.Options{}), false)}
	if _, err := stranger.post(t, passwordForm(user, password)); err == nil {
		t.Error("a client without the CA was satisfied")
	}
}

// post200 logs in over the wire.
func (n *network) post200(t *testing.T) {
	t.Helper()
	body, err := n.post(t, passwordForm(user, password))
	if err != nil || !bytes.Contains(body, []byte("access_token")) {
		t.Fatalf("login over the wire: %v", err)
	}
}

func TestEveryServerHasAnotherCA(t *testing.T) {
	one, other := newNetwork(t, fake.Options{}, true), newNetwork(t, fake.Options{}, true)
	if bytes.Equal(one.CA(), other.CA()) {
		t.Error("two servers share a CA")
	}
	if newNetwork(t, fake.Options{}, false).CA() != nil {
		t.Error("a server without TLS has a CA")
	}
}

func TestServerSpeaksHTTP2WhenAsked(t *testing.T) {
	for name, tt := range map[string]struct {
		offered bool
		want    int
	}{"no": {false, 1}, "yes": {true, 2}} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, fake.Options{HTTP2: tt.offered}, true)
			client := trusting(t, n.Server, true)
			answer, err := client.Do(n.request(t, passwordForm(user, password)))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.ProtoMajor != tt.want {
				t.Errorf("the answer came over %s", answer.Proto)
			}
		})
	}
}

func TestServerIsStartedOnce(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	if err := n.StartTLS(); err == nil {
		t.Error("started twice")
	}
	n.post200(t)
}

func TestServerSaysWhenItCannotListen(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	taken := strings.TrimPrefix(n.URL(), "http://")
	if err := newVault(t, fake.Options{Listen: taken}).Start(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error %v, want address in use", err)
	}
}

func TestURLIsReachableWhereverTheServerListens(t *testing.T) {
	v := newVault(t, fake.Options{Listen: "0.0.0.0:0"})
	if v.URL() != "" {
		t.Errorf("URL before the start %q", v.URL())
	}
	if err := v.Start(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(v.URL(), "http://127.0.0.1:") {
		t.Errorf("URL %s", v.URL())
	}
}

func TestServerThatIsDownRefusesConnectionsAndComesBackAsItWas(t *testing.T) {
	n := newNetwork(t, fake.Options{}, true)
	got := n.login(t)
	n.post200(t)
	address, ca := n.URL(), n.CA()
	n.Down()
	n.Down()
	n.client.CloseIdleConnections() // it may not have noticed yet
	if _, err := n.post(t, passwordForm(user, password)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("error %v, want connection refused", err)
	}
	if n.URL() != address {
		t.Error("the URL changed")
	}
	for range 2 {
		if err := n.Up(); err != nil {
			t.Fatal(err)
		}
	}
	if n.URL() != address || !bytes.Equal(n.CA(), ca) {
		t.Error("it came back with another URL or CA")
	}
	n.post200(t)
	if !n.TokenValid(got.Access) {
		t.Error("it forgot a token")
	}
	n.mustRefresh(t, got.refresh())
}

func TestServerThatWasNotStartedCannotComeBack(t *testing.T) {
	if err := newVault(t, fake.Options{}).Up(); err == nil {
		t.Error("it did")
	}
}

func TestClosedServerRefusesEverything(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	n.Close()
	n.Close()
	if _, err := n.post(t, passwordForm(user, password)); err == nil {
		t.Error("it answered")
	}
	if w := n.call(t, http.MethodGet, "/api/v1/healthcheck", ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("mounted elsewhere, it answered %d", w.Code)
	}
	if err := n.Up(); err == nil {
		t.Error("it came back")
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	n := newNetwork(t, fake.Options{}, true)
	n.post200(t) // leaves an idle connection
	n.Inject(fake.Fault{Effect: fake.Drip})
	var clients sync.WaitGroup
	for range 10 {
		clients.Go(func() {
			answer, err := n.client.Do(n.request(t, passwordForm(user, password)))
			if err != nil {
				return // the server closed before it was reached
			}
			defer answer.Body.Close()
			if _, err := io.Copy(io.Discard, answer.Body); err == nil {
				t.Error("an endless body ended")
			}
		})
	}
	eventually(t, "no request arrives", func() bool { return n.Stats().InFlight > 0 })
	n.Close()
	clients.Wait()
	n.client.CloseIdleConnections()
	eventually(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestServerServesManyAtOnce(t *testing.T) {
	const clients, rounds = 16, 20
	n := newNetwork(t, fake.Options{MaxRefreshes: new(-1)}, false)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			got := n.login(t)
			for range rounds {
				got = n.mustRefresh(t, got.refresh())
				if w := n.verify(t, got.Access); w.Code != http.StatusOK {
					t.Errorf("a fresh token is answered %d", w.Code)
				}
				n.Stats()
				n.Configure(func(o *fake.Options) { o.Version = "x" })
			}
		})
	}
	group.Wait()
	stats := n.Stats()
	if stats.Granted(fake.Password) != clients || stats.Granted(fake.Refresh) != clients*rounds {
		t.Errorf("%d logins and %d refreshes granted", stats.Granted(fake.Password), stats.Granted(fake.Refresh))
	}
	if stats.LiveTokens[user] != clients*(rounds+1) || stats.SpentRefreshTokensResent != 0 {
		t.Errorf("%d live tokens, %d resent", stats.LiveTokens[user], stats.SpentRefreshTokensResent)
	}
}

func TestTwinsRaceForOneRefreshToken(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	var twins sync.WaitGroup
	for range 8 {
		twins.Go(func() { v.tryRefresh(t, got.refresh()) })
	}
	twins.Wait()
	stats := v.Stats()
	if stats.Granted(fake.Refresh) != 1 || stats.Refused(fake.Refresh) != 7 {
		t.Errorf("%d refreshes granted and %d refused, want 1 and 7", stats.Granted(fake.Refresh), stats.Refused(fake.Refresh))
	}
	if stats.SpentRefreshTokensResent != 7 || stats.RefreshTokensSeenTwice != 1 {
		t.Errorf("resent %d, seen twice %d; want 7 and 1", stats.SpentRefreshTokensResent, stats.RefreshTokensSeenTwice)
	}
}

func TestServerReportsToItsErrorLog(t *testing.T) {
	var lines synced
	n := newNetwork(t, fake.Options{ErrorLog: log.New(&lines, "", 0)}, true)
	stranger := &network{vault: n.vault, client: trusting(t, fake.New(fake.Options{}), false)}
	if _, err := stranger.post(t, passwordForm(user, password)); err == nil {
		t.Fatal("a client without the CA was satisfied")
	}
	eventually(t, "no failed handshake in the log", func() bool { return strings.Contains(lines.String(), "TLS handshake") })
}

// synced is a buffer for several goroutines.
type synced struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *synced) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestClientMayLeaveWhileItSends(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(n.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	half := "POST /oauth2/token HTTP/1.1\r\nHost: vault\r\nContent-Length: 100\r\n\r\ngrant_type=password"
	if _, err := conn.Write([]byte(half)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the request does not arrive", func() bool { return n.Stats().InFlight == 1 })
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	n.eventuallyIdle(t)
	if r := n.lastResult(t); r != fake.Malformed {
		t.Errorf("result %q", r)
	}
}
