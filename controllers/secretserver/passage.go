package secretserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
)

// passage is how far one request got: what a failure can have meant to the server depends on it. The hooks run on goroutines
// of net/http, some of them after the request has ended.
type passage struct {
	connected       atomic.Bool
	handshakeFailed atomic.Bool
	answered        atomic.Bool

	permit   func() bool // asked before the first byte; nil: nobody needs to be asked
	withheld atomic.Bool // it said no, and nothing was written to the last connection
}

// watch returns a context that makes net/http report to the passage.
func (p *passage) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// net/http wants a second connection only when nothing was written to the first; see Client.form. A GET is different,
		// but has no effect: what became of the last one is what matters; see Client.Verify.
		GetConn: func(string) {
			p.connected.Store(false)
			p.withheld.Store(false)
		},
		GotConn: func(info httptrace.GotConnInfo) {
			p.connected.Store(true)
			p.guard(info.Conn)
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				p.handshakeFailed.Store(true)
			}
		},
		GotFirstResponseByte: func() { p.answered.Store(true) },
	})
}

// kind of a failure to get an answer. A request that had a connection counts as sent, unless it was withheld.
func (p *passage) kind() Kind {
	if p.connected.Load() && !p.withheld.Load() {
		return Ambiguous
	}
	return NotSent
}

// cause of a failure to get a whole answer within ctx.
func (p *passage) cause(ctx context.Context, err error) Cause {
	if p.withheld.Load() {
		return Withheld
	}
	if !p.connected.Load() {
		if cause := proxyCause(err); cause != 0 {
			return cause
		}
		if _, ok := errors.AsType[*net.DNSError](err); ok {
			return NameNotResolved
		}
	}
	if cause := interruption(ctx, err); cause != 0 {
		return cause
	}
	if !p.connected.Load() {
		return p.connectionCause(err)
	}
	if p.answered.Load() && !connectionLost(err) {
		return NotHTTP
	}
	return ConnectionLost
}

// interruption is Canceled or TimedOut, or zero if err is about something else. The error goes before the state of
// ctx, which may have ended since.
func interruption(ctx context.Context, err error) Cause {
	if errors.Is(err, context.Canceled) {
		return Canceled
	}
	if timed, ok := errors.AsType[net.Error](err); ok {
		if timed.Timeout() {
			return TimedOut // context.DeadlineExceeded is one, too
		}
		return 0
	}
	// The caller may have ended the context with a cause of its own, which net/http then returns.
	cause := context.Cause(ctx)
	switch {
	case cause == nil || !errors.Is(err, cause):
		return 0
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return TimedOut
	default:
		return Canceled
	}
}

// connectionCause is why there was no connection.
func (p *passage) connectionCause(err error) Cause {
	if cause := certificateCause(err); cause != 0 {
		return cause
	}
	plain, ok := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case ok && string(plain.RecordHeader[:]) == "HTTP/":
		return PlainHTTP
	case p.handshakeFailed.Load():
		return HandshakeFailed
	case errors.Is(err, syscall.ECONNREFUSED):
		return ConnectionRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable
	default:
		return NotConnected
	}
}

// certificateCause is what is wrong with the server's certificate, or zero if err is about something else.
func certificateCause(err error) Cause {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return UnknownAuthority
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return WrongHostName
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return CertificateExpired
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return InvalidCertificate
	}
	return 0
}

// proxyCause is what a proxy did, or zero if err is about something else.
func proxyCause(err error) Cause {
	if errors.Is(err, errProxyRefused) {
		return ProxyRefused
	}
	// net/http marks what happened before the proxy was reached with this operation.
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Op == "proxyconnect" {
		return ProxyUnreachable
	}
	return 0
}

// connectionLost reports whether err says that the connection broke, and not that something odd came out of it.
func connectionLost(err error) bool {
	_, broken := errors.AsType[*net.OpError](err)
	return broken || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
