package secretserver

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A connection that is being made when another becomes free is kept as well: who comes then must wait for one, and not make a third.
func TestNoMoreConnectionsAreMadeThanThereMayBe(t *testing.T) {
	const most = 2
	asked, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		send(w, goodAnswer)
	}))
	defer server.Close()

	var dials atomic.Int32
	hold, dialled := make(chan struct{}), make(chan struct{}, 3)
	pool := NewPool(noon, WithConnections(most))
	dial := pool.dial
	pool.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		first := dials.Add(1) == 1
		dialled <- struct{}{}
		if !first {
			<-hold
		}
		return dial(ctx, network, address)
	}
	client := connect(t, pool, Endpoint{URL: server.URL, CA: pemOf(server.Certificate().Raw), ServerName: "example.com"})

	var requests sync.WaitGroup
	begin := func() (wants chan struct{}) {
		wants = make(chan struct{})
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(string) { close(wants) }})
		requests.Go(func() {
			if _, err := client.Authenticate(ctx, Credentials{Username: "svc", Password: "p"}); err != nil {
				t.Error(err)
			}
		})
		return wants
	}
	begin()
	<-dialled
	<-asked // on the first connection
	begin()
	<-dialled // and its connection is not ready
	answer <- struct{}{}
	<-asked // on the first connection again
	<-begin()
	answer <- struct{}{}
	<-asked
	answer <- struct{}{}
	requests.Wait()
	if n := dials.Load(); n != most {
		t.Errorf("%d connections were made for 3 requests, want %d", n, most)
	}
	close(hold)
}

// A server that took a connection and then fell silent is asked again as soon as it could answer.
func TestAConnectionThatNeverStandsKeepsNobodyWaiting(t *testing.T) {
	for name, hang := range map[string]func(*vault, *Pool){
		"it is not accepted": func(_ *vault, pool *Pool) {
			first, dial := true, pool.dial
			pool.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if first {
					first = false
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return dial(ctx, network, address)
			}
		},
		"it shakes no hands": func(v *vault, _ *Pool) {
			first, serve := true, v.script
			v.script = func(visit *visit) {
				conn, ok := visit.conn.(*tls.Conn)
				if ok && first {
					first = false
					pass(io.Discard, conn.NetConn())
					return
				}
				serve(visit)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault(t, (*visit).serve)
				pool := v.pool(t)
				pool.most = 1
				hang(v, pool)
				endpoint := v.endpoint()
				endpoint.Timeout = 10 * time.Second
				client := connect(t, pool, endpoint)
				_, err := client.Refresh(t.Context(), "Refresh")
				wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: TimedOut})
				if _, err := client.Refresh(t.Context(), "Refresh"); err != nil {
					t.Errorf("the next request: %v", err)
				}
			})
		})
	}
}

// A request that is given up early leaves its connection to the next: a server that takes longer to shake hands than somebody waits for it
// would never be reached otherwise.
func TestAConnectionOutlivesTheRequestThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault(t, func(visit *visit) {
			<-time.After(12 * time.Second)
			visit.serve()
		})
		pool := v.pool(t)
		pool.most = 1
		client := connect(t, pool, v.endpoint()) // its timeout is 30 s
		for range 2 {
			impatient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := client.Refresh(impatient, "Refresh")
			cancel()
			if err == nil {
				return
			}
			wantError(t, err, Error{Operation: RefreshGrant, Kind: NotSent, Cause: TimedOut})
		}
		t.Error("a server that shakes hands after 12 s is never reached")
	})
}
