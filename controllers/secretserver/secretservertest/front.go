package secretservertest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// front is one span of listening: from Start or Up to Down or Close.
type front struct {
	server *http.Server
	hangUp context.CancelFunc // ends the requests being answered
	conns  sync.WaitGroup
	served chan struct{} // closed when no connection is accepted any more
}

// Start listens for plain HTTP on Options.Listen.
func (s *Server) Start() error {
	return s.start(false)
}

// StartTLS listens for HTTPS on Options.Listen, with a certificate of a CA made
// for the purpose: see CA.
func (s *Server) StartTLS() error {
	return s.start(true)
}

func (s *Server) start(secure bool) error {
	o := s.Options()
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.address != "" {
		return errors.New("secretservertest: started before")
	}
	if secure {
		made, err := newAuthority(o.Hosts, time.Now())
		if err != nil {
			return fmt.Errorf("secretservertest: %w", err)
		}
		s.authority = made
	}
	return s.listen(orDefault(o.Listen, "127.0.0.1:0"), &o)
}

// Up listens again after Down, on the same port and with the same certificate. It
// does nothing when the server is up.
func (s *Server) Up() error {
	o := s.Options()
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.front != nil {
		return nil
	}
	if s.address == "" {
		return errors.New("secretservertest: not started")
	}
	return s.listen(s.address, &o)
}

// Down imitates a server that is down: connections are refused and those open
// are closed. Tokens, accounts and faults stay. It returns when all is quiet.
func (s *Server) Down() {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.front != nil {
		s.front.close()
		s.front = nil
	}
}

// Close ends the server and every request that it is answering. No goroutine
// of it is left when Close returns. It may be called twice.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.Down()
	s.handlers.Wait()
}

// URL is the base URL, base path included and without a slash at its end; "" before
// the start.
func (s *Server) URL() string {
	o := s.Options()
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.address == "" {
		return ""
	}
	scheme := "http"
	if s.authority != nil {
		scheme = "https"
	}
	return scheme + "://" + reachable(s.address) + o.basePath()
}

// CA is the PEM certificate that a client must trust; nil without TLS.
func (s *Server) CA() []byte {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.authority == nil {
		return nil
	}
	return append([]byte(nil), s.authority.pem...)
}

// reachable replaces the unspecified address by loopback.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// listen opens a front. The lifecycle lock is held.
func (s *Server) listen(address string, o *Options) error {
	select {
	case <-s.closing:
		return errors.New("secretservertest: closed")
	default:
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("secretservertest: %w", err)
	}
	s.address = listener.Addr().String()
	ctx, hangUp := context.WithCancel(context.Background())
	f := &front{hangUp: hangUp, served: make(chan struct{})}
	f.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         func(_ net.Conn, state http.ConnState) { s.connection(f, state) },
		ErrorLog:          o.ErrorLog,
	}
	if f.server.ErrorLog == nil {
		f.server.ErrorLog = log.New(io.Discard, "", 0)
	}
	serve := f.server.Serve
	if s.authority != nil {
		f.secure(s.authority, o.HTTP2)
		serve = func(l net.Listener) error { return f.server.ServeTLS(l, "", "") }
	}
	s.front = f
	go func() {
		defer close(f.served)
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			f.server.ErrorLog.Print(err)
		}
	}()
	return nil
}

func (f *front) secure(a *authority, http2 bool) {
	f.server.TLSConfig = &tls.Config{
		Certificates: []tls.Certificate{a.certificate},
		MinVersion:   tls.VersionTLS12, // as Secret Server Cloud
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(http2)
	f.server.Protocols = protocols
}

// connection follows each connection from its first state to its last.
func (s *Server) connection(f *front, state http.ConnState) {
	switch state {
	case http.StateNew:
		f.conns.Add(1)
		s.mu.Lock()
		s.stats.Connections++
		s.mu.Unlock()
	case http.StateClosed, http.StateHijacked:
		f.conns.Done()
	case http.StateActive, http.StateIdle:
	}
}

// close returns when every connection is gone.
func (f *front) close() {
	f.hangUp()
	if err := f.server.Close(); err != nil {
		f.server.ErrorLog.Print(err)
	}
	<-f.served
	f.conns.Wait()
}
