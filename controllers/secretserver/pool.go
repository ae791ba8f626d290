package secretserver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// maxTransports bounds the endpoints whose connections are kept. Beyond it the one not asked for longest goes.
	maxTransports = 256
	// transportIdle is how long an endpoint may go unasked for before it is forgotten. It is longer than any request takes.
	transportIdle = 15 * time.Minute
	// connectTimeout bounds a dial, and again a TLS handshake; see connecting.
	connectTimeout = 30 * time.Second
	// connectionIdle is shorter than the keep-alive of common servers and load balancers (60 s and more), so that it is the
	// client who ends an idle connection: a request written to one that the server is just closing is lost, and may cost a
	// refresh token.
	connectionIdle = 30 * time.Second
	// maxIdleConnections is per endpoint, where WithConnections does not say how many there may be.
	maxIdleConnections = 16
	// maxAnswerHeader bounds the header of an answer, in bytes.
	maxAnswerHeader = 64 << 10
)

// Pool holds the connections to Secret Servers. Clients share them if their endpoints agree in host, CA and server name.
// Through a proxy each request has a connection of its own. A Pool is safe for concurrent use. Make one with NewPool.
type Pool struct {
	now       func() time.Time
	userAgent string
	proxy     func(*http.Request) (*url.URL, error)
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	system    func() (*x509.CertPool, error)
	permit    func() bool // may be nil
	most      int         // connections per endpoint; 0: as many as there are requests at a time, and some

	mu         sync.Mutex
	transports map[transportKey]*transport
}

// transportKey is what connections must agree in to be shared.
type transportKey struct {
	host       string
	serverName string
	ca         [sha256.Size]byte // all zero: the system's roots alone
}

type transport struct {
	*http.Transport
	usedAt time.Time
}

// Option changes a Pool while it is made.
type Option func(*Pool)

// WithVersion puts the program's version into the User-Agent header.
func WithVersion(version string) Option {
	return func(p *Pool) { p.userAgent += "/" + version }
}

// WithConnections bounds the connections to one host, with one CA and server name, those included that are being made; a request beyond
// waits for one, within its own time. Through a proxy nothing bounds them. Without it, net/http makes one for each request that finds none
// free, and keeps it though another became free meanwhile: more than there are ever requests at a time.
func WithConnections(most int) Option {
	return func(p *Pool) { p.most = most }
}

// NewPool makes an empty Pool. The clock serves to read a Retry-After date and to forget endpoints; timeouts run on real
// time. Proxies are taken from the environment (HTTPS_PROXY, NO_PROXY) as it is at the process's first request.
func NewPool(now func() time.Time, options ...Option) *Pool {
	p := &Pool{
		now:        now,
		userAgent:  "secret-server-operator",
		proxy:      http.ProxyFromEnvironment,
		dial:       (&net.Dialer{}).DialContext,
		system:     x509.SystemCertPool,
		transports: map[transportKey]*transport{},
	}
	for _, option := range options {
		option(p)
	}
	return p
}

// Client makes a client of an endpoint. That is cheap: it is meant to be done for each request, and opens no connection. The error is
// an *Error, of kind InvalidCA when the CA holds no usable certificate, and of kind NotSent when the URL is no base URL.
func (p *Pool) Client(e Endpoint) (*Client, error) {
	base, ok := e.base()
	if !ok {
		return nil, &Error{Operation: Setup, Kind: NotSent, Cause: InvalidURL}
	}
	shared, cause := p.transport(base, e)
	if cause != 0 {
		return nil, &Error{Operation: Setup, Kind: InvalidCA, Cause: cause}
	}
	timeout := e.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return &Client{transport: shared, base: base, timeout: timeout, userAgent: p.userAgent, now: p.now, permit: p.permit}, nil
}

// CloseIdle closes the connections that no request is using, and forgets all endpoints. It disturbs no request, and the Pool
// can be used further: call it at the end, or to have every connection made anew.
func (p *Pool) CloseIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.transports {
		p.forget(key)
	}
}

// transport finds or makes the transport that an endpoint shares with its like.
func (p *Pool) transport(base *url.URL, e Endpoint) (*http.Transport, Cause) {
	key := transportKey{host: strings.ToLower(base.Host), serverName: e.ServerName}
	if e.CA != nil {
		key.ca = sha256.Sum256(e.CA)
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.transports[key]; ok {
		known.usedAt = now
		return known.Transport, 0
	}
	roots, cause := p.roots(e.CA)
	if cause != 0 {
		return nil, cause
	}
	p.makeRoom(now)
	made := &transport{p.newTransport(base, roots, e.ServerName), now}
	p.transports[key] = made
	return made.Transport, 0
}

// roots are the certificates to trust: nil for the system's alone.
func (p *Pool) roots(ca []byte) (*x509.CertPool, Cause) {
	if ca == nil {
		return nil, 0
	}
	added, cause := authorities(ca)
	if cause != 0 {
		return nil, cause
	}
	roots, err := p.system()
	if err != nil {
		// A system without roots, such as an image made from scratch, trusts nobody else. That is no reason not to trust these.
		roots = x509.NewCertPool()
	}
	for _, certificate := range added {
		roots.AddCert(certificate)
	}
	return roots, 0
}

// makeRoom forgets the endpoints that nobody asks for any more, and then as many as it takes for one more to fit.
func (p *Pool) makeRoom(now time.Time) {
	var oldest transportKey
	for key, known := range p.transports {
		if now.Sub(known.usedAt) > transportIdle {
			p.forget(key)
			continue
		}
		if first, ok := p.transports[oldest]; !ok || known.usedAt.Before(first.usedAt) {
			oldest = key
		}
	}
	if len(p.transports) >= maxTransports {
		p.forget(oldest)
	}
}

// forget drops a transport. Requests that run on it end as they would, and their connections close after connectionIdle.
func (p *Pool) forget(key transportKey) {
	p.transports[key].CloseIdleConnections()
	delete(p.transports, key)
}

// errProxyRefused is what a transport returns when its proxy answered the CONNECT with anything but 200.
var errProxyRefused = errors.New("proxy refused to connect")

func (p *Pool) newTransport(base *url.URL, roots *x509.CertPool, serverName string) *http.Transport {
	// HTTP/1.1 only. Over HTTP/2 net/http repeats a request by itself when the server resets its stream or goes away and says that it
	// had not begun to process it. A grant is not repeated on a server's word.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    roots,
		ServerName: serverName,
		NextProtos: []string{"http/1.1"},
	}
	made := &http.Transport{
		Protocols:       &protocols,
		Proxy:           p.proxy,
		DialContext:     p.dialGated,
		TLSClientConfig: config,
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return errProxyRefused // and not the proxy's own words
			}
			return nil
		},
		TLSHandshakeTimeout:    connectTimeout,
		IdleConnTimeout:        connectionIdle,
		MaxIdleConnsPerHost:    cmp.Or(p.most, maxIdleConnections),
		MaxResponseHeaderBytes: maxAnswerHeader,
		DisableCompression:     true, // the bound on an answer is a bound on what is unpacked, too
	}
	if proxy, err := p.proxy(&http.Request{URL: base}); proxy == nil && err == nil {
		made.DialTLSContext = p.dialTLS(config)
		made.MaxConnsPerHost = p.most
	} else {
		// net/http does TLS through a proxy itself, so no connection can be made reticent. One that is never idle needs not be. Nor can be bounded how
		// long one takes to stand, so they must not wait for each other.
		made.DisableKeepAlives = true
	}
	return made
}
