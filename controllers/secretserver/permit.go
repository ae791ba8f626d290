package secretserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

// WithPermit has the Pool ask before it sends a grant; nil permits every one. The function is called at the last moment: the
// connection stands, TLS has shaken hands, and the first bytes of the request are about to be handed to the system. If it returns
// false nothing is sent, and the error's Kind is NotSent and its Cause Withheld. It is called from goroutines of net/http, and must
// not block. Requests that are no grants are sent without asking: they spend nothing.
//
// One gap remains, which no client can close: between the answer and the system call the process may stand still for any
// time, and after it the network.
func WithPermit(permit func() bool) Option {
	return func(p *Pool) { p.permit = permit }
}

// errWithheld is what a connection returns instead of sending. It never leaves the package.
var errWithheld = errors.New("withheld")

// gated is a network connection that can be told to ask before the next byte is written to it.
//
// The body of the request would be the simpler place to ask, but net/http sends the header of a request first, and by itself, if it
// does not know the type of the body.
type gated struct {
	net.Conn
	ask atomic.Pointer[func() bool]
}

// Write asks if it was told to. It asks once: what follows the first byte of a request belongs to it.
func (g *gated) Write(b []byte) (int, error) {
	if ask := g.ask.Swap(nil); ask != nil && !(*ask)() {
		return 0, errWithheld
	}
	return g.Conn.Write(b) //nolint:wrapcheck // it is the connection
}

// gateOf finds the gate below the layers of TLS, the client's own and those of net/http.
func gateOf(conn net.Conn) *gated {
	for {
		switch layer := conn.(type) {
		case *gated:
			return layer
		case reticent:
			conn = layer.Conn
		case *tls.Conn:
			conn = layer.NetConn()
		default:
			return nil
		}
	}
}

// dialGated opens a network connection with a gate.
func (p *Pool) dialGated(ctx context.Context, network, address string) (net.Conn, error) {
	bounded, cancel := connecting(ctx)
	defer cancel()
	conn, err := p.dial(bounded, network, address)
	if err != nil {
		return nil, err
	}
	return &gated{Conn: conn}, nil
}

// guard has the connection that the request was given ask before the request begins. Whatever it was told for an
// earlier request is forgotten.
func (p *passage) guard(conn net.Conn) {
	gate := gateOf(conn)
	if gate == nil {
		return
	}
	if p.permit == nil {
		gate.ask.Store(nil)
		return
	}
	ask := func() bool {
		permitted := p.permit()
		p.withheld.Store(!permitted)
		return permitted
	}
	gate.ask.Store(&ask)
}

// spends reports whether the request may have an effect that cannot be undone.
func (o Operation) spends() bool { return o == PasswordGrant || o == RefreshGrant }
