package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// A proxy connects to names that only it knows, so that documents show URLs as a reader has them.
type proxy struct {
	listener  net.Listener
	server    *http.Server
	addresses map[string]string // by host and port
}

func startProxy(addresses map[string]string) (*proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, addresses: addresses}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go func() { p.server.Serve(listener) }() //nolint:errcheck // it ends with Close
	return p, nil
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

// Close ends the proxy; connections through it end with their own ends.
func (p *proxy) Close() error { return p.server.Close() }

// ServeHTTP answers CONNECT.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address, known := p.addresses[r.Host]
	if r.Method != http.MethodConnect || !known {
		http.Error(w, "unknown host", http.StatusBadGateway)
		return
	}
	server, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, "no connection", http.StatusBadGateway)
		return
	}
	defer server.Close() //nolint:errcheck // nobody to tell
	w.WriteHeader(http.StatusOK)
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close() //nolint:errcheck // the same
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			io.Copy(pair[0], pair[1]) //nolint:errcheck // what ends one way ends both
			done <- struct{}{}
		}()
	}
	<-done
}
