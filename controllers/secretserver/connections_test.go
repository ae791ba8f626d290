package secretserver

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
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
