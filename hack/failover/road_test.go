package failover

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// A road is the way to Secret Server. It can be closed: then connections are made, and nothing comes through.
type road struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	open  chan struct{} // closed while the road is open
	conns map[net.Conn]bool
	waits int // connections that wait for the road to open
}

func newRoad(t *testing.T, target string) *road {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &road{listener: listener, target: target, open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(r.open)
	var travelers sync.WaitGroup
	travelers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			travelers.Go(func() { r.carry(conn) })
		}
	})
	t.Cleanup(func() {
		hangUp(listener)
		r.breakAll()
		travelers.Wait()
	})
	return r
}

// carry takes a connection to the target, once the road is open.
func (r *road) carry(conn net.Conn) {
	defer hangUp(conn)
	r.mu.Lock()
	r.conns[conn] = true
	open := r.open
	r.waits++
	r.mu.Unlock()
	<-open
	far, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", r.target)
	r.mu.Lock()
	r.waits--
	if err == nil {
		r.conns[far] = true
	}
	r.mu.Unlock()
	if err != nil {
		return
	}
	defer hangUp(far)
	go func() {
		defer hangUp(far)
		defer hangUp(conn)
		forward(conn, far)
	}()
	forward(far, conn)
}

// forward copies until either side is gone.
func forward(to io.Writer, from io.Reader) {
	io.Copy(to, from) //nolint:errcheck // how it ends does not matter
}

// block closes the road, and ends the connections that are on it. It returns what lets through those who come until then;
// who comes after free finds the road open.
func (r *road) block() (free, pass func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		hangUp(conn)
		delete(r.conns, conn)
	}
	held := make(chan struct{})
	r.open = held
	free = func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.open = make(chan struct{})
		close(r.open)
	}
	return free, sync.OnceFunc(func() { close(held) })
}

// waiting is how many connections stand before the closed road.
func (r *road) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waits
}

// breakAll ends everything.
func (r *road) breakAll() {
	free, pass := r.block()
	free()
	pass()
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.conns {
		hangUp(conn)
	}
}

// hangUp closes what may be closed already.
func hangUp(c io.Closer) {
	c.Close() //nolint:errcheck // as above
}
