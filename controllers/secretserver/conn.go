package secretserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"time"
)

// reticent is a TLS connection that gives up one byte at a time.
//
// net/http writes what a server sends after the end of an answer to the standard logger of the process, as far as it has
// been read into its buffer: up to 4 KiB, and if the stated length of the answer was too small, that is the end of a grant. Of
// single bytes its buffer never holds more than it needs, so one byte is all that can be logged. An answer has a few hundred.
type reticent struct{ net.Conn }

func (r reticent) Read(p []byte) (int, error) {
	return r.Conn.Read(p[:min(len(p), 1)]) //nolint:wrapcheck // it is the connection
}

// standsBy is the key of when a connection must stand at the latest that a request wants. For a dial net/http keeps the values of the
// request's context, and neither its end nor its deadline.
type standsBy struct{}

// withinTimeout returns a context by which net/http opens no connection for longer than the endpoint's timeout, counted from now.
func withinTimeout(ctx context.Context, timeout time.Duration) context.Context {
	timed, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout) // for its deadline alone
	defer cancel()
	by, _ := timed.Deadline()
	return context.WithValue(ctx, standsBy{}, by)
}

// connecting bounds a dial or a handshake by connectTimeout, and by the endpoint's timeout since the request began: what went on for longer would
// keep a connection of those that WithConnections allows from the requests that follow. One whose own patience was shorter leaves a connection
// to the next: a server that is slow to shake hands is not taken for one that is down.
func connecting(ctx context.Context) (context.Context, context.CancelFunc) {
	bounded, cancel := context.WithTimeout(ctx, connectTimeout)
	by, ok := ctx.Value(standsBy{}).(time.Time)
	if !ok {
		return bounded, cancel
	}
	sooner, cancelSooner := context.WithDeadline(bounded, by)
	return sooner, func() {
		cancelSooner()
		cancel()
	}
}

// dialTLS makes the function that opens a transport's connections, unless there is a proxy.
func (p *Pool) dialTLS(config *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err //nolint:wrapcheck // classified by type
		}
		raw, err := p.dialGated(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn, err := handshake(ctx, raw, config, host)
		if err != nil {
			return nil, err
		}
		return reticent{conn}, nil
	}
}

// handshake does what net/http does for connections of its own: the host is the server name unless there is another, and
// the passage of the request learns of the outcome.
func handshake(ctx context.Context, raw net.Conn, config *tls.Config, host string) (*tls.Conn, error) {
	own := config.Clone()
	if own.ServerName == "" {
		own.ServerName = host
	}
	conn := tls.Client(raw, own)
	bounded, cancel := connecting(ctx)
	defer cancel()
	err := conn.HandshakeContext(bounded)
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(conn.ConnectionState(), err)
	}
	if err != nil {
		raw.Close()     //nolint:errcheck // the handshake's error is the one that matters
		return nil, err //nolint:wrapcheck // classified by type
	}
	return conn, nil
}
