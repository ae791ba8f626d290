package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// A proxy stands between one replica of the operator and the API server. It passes requests on as the user whom it was made
// for, and disturbs them while it is told to.
type proxy struct {
	server *httptest.Server
	hits   *hits

	mu        sync.Mutex
	dice      *rand.Rand
	refusing  bool // it takes no connections
	disturbed kind // with what requests are met; "" for none
	dose      float64
	conns     map[net.Conn]struct{}
}

// newProxy starts a proxy to the API server of a user.
func newProxy(user *rest.Config, seed uint64, h *hits) (*proxy, error) {
	upstream, err := url.Parse(user.Host)
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(user)
	if err != nil {
		return nil, err
	}
	p := &proxy{
		hits: h, dice: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // repeatable, not secret
		conns: map[net.Conn]struct{}{},
	}
	forward := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport:     transport,
		FlushInterval: -1, // a watch's events one by one
		ModifyResponse: func(response *http.Response) error {
			if isWatch(response.Request) {
				response.Body = &slowBody{ReadCloser: response.Body, proxy: p, done: response.Request.Context().Done()}
			}
			return nil
		},
		// As if the connection went to the API server itself.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	p.server = httptest.NewUnstartedServer(p.disturbing(forward))
	p.server.Listener = &listener{Listener: p.server.Listener, proxy: p}
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.EnableHTTP2 = true
	p.server.StartTLS()
	return p, nil
}

// config is how the replica reaches the proxy.
func (p *proxy) config() *rest.Config {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	return &rest.Config{Host: p.server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
}

func (p *proxy) close() {
	p.refuse(true)
	p.server.Close()
}

// disturb meets requests with a kind of fault from now on; "" ends that.
func (p *proxy) disturb(k kind, dose float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disturbed, p.dose = k, dose
}

// refuse ends all connections and takes no others, until it is called with false.
func (p *proxy) refuse(refusing bool) {
	p.mu.Lock()
	p.refusing = refusing
	p.mu.Unlock()
	if refusing {
		p.cut()
	}
}

// cut resets all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		reset(conn)
	}
}

// reset closes a connection in the rudest way.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) //nolint:errcheck // it may be closed already
	}
	_ = conn.Close() //nolint:errcheck // the same
}

// strike says what befalls a request; "" for nothing.
func (p *proxy) strike(r *http.Request) kind {
	p.mu.Lock()
	defer p.mu.Unlock()
	read := r.Method == http.MethodGet
	switch {
	case p.disturbed == "", p.disturbed == apiSlowWatch, isWatch(r), p.disturbed == apiConflicts && read:
		return ""
	case p.dice.Float64() >= 0.1+0.3*p.dose:
		return ""
	}
	p.hits.add(p.disturbed)
	return p.disturbed
}

// disturbing passes on what is not struck.
func (p *proxy) disturbing(forward http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p.strike(r) {
		case apiConflicts:
			refuse(w, apierrors.NewConflict(schema.GroupResource{Resource: "anything"}, "anything", errors.New("chaos")))
		case apiThrottles:
			w.Header().Set("Retry-After", "1")
			refuse(w, apierrors.NewTooManyRequests("chaos", 1))
		case apiFails:
			refuse(w, apierrors.NewInternalError(errors.New("chaos")))
		case apiHangs:
			// As long as the client waits, but no longer than a watch dog on the way might.
			select {
			case <-r.Context().Done():
			case <-time.After(hangTime):
			}
			panic(http.ErrAbortHandler)
		case apiResets:
			panic(http.ErrAbortHandler)
		case apiLoses:
			forward.ServeHTTP(&nowhere{header: http.Header{}}, r)
			panic(http.ErrAbortHandler)
		default:
			forward.ServeHTTP(w, r)
		}
	})
}

func isWatch(r *http.Request) bool {
	watch := r.URL.Query().Get("watch")
	return watch == "true" || watch == "1"
}

// refuse answers as the API server would.
func refuse(w http.ResponseWriter, failure *apierrors.StatusError) {
	status := failure.Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	body, err := json.Marshal(status)
	if err != nil {
		panic(err) // it is plain data
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	_, _ = w.Write(body)
}

// nowhere takes an answer that gets lost.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header       { return n.header }
func (*nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (*nowhere) WriteHeader(int)             {}
func (*nowhere) Flush()                      {}

// slowBody is the body of a watch, which may be slow.
type slowBody struct {
	io.ReadCloser

	proxy *proxy
	done  <-chan struct{}
}

func (b *slowBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if delay := b.proxy.watchDelay(); delay > 0 && err == nil {
		select {
		case <-time.After(delay):
		case <-b.done:
		}
	}
	return n, err
}

func (p *proxy) watchDelay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.disturbed != apiSlowWatch {
		return 0
	}
	p.hits.add(apiSlowWatch)
	return time.Second + time.Duration(p.dose*float64(2*time.Second))
}

// listener keeps the connections, to cut them.
type listener struct {
	net.Listener

	proxy *proxy
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if kept := l.keep(conn); kept != nil {
			return kept, nil
		}
		reset(conn)
	}
}

// keep is the connection with its end noted, or nil if it is to be refused.
func (l *listener) keep(conn net.Conn) net.Conn {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.proxy.refusing {
		return nil
	}
	l.proxy.conns[conn] = struct{}{}
	return &connection{Conn: conn, proxy: l.proxy}
}

type connection struct {
	net.Conn

	proxy *proxy
}

func (c *connection) Close() error {
	c.proxy.mu.Lock()
	delete(c.proxy.conns, c.Conn)
	c.proxy.mu.Unlock()
	return c.Conn.Close()
}
