package controllers_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// operator is one running operator, as main would run it, with its requests counted.
type operator struct {
	requests *requestLog
	metrics  *prometheus.Registry
	stop     func()
}

// operatorOptions are what a spec may change.
type operatorOptions struct {
	controllers.Options
	namespaces []string
	selector   labels.Selector
	// permit is asked before a grant is sent; nil: what Options.Leading says.
	permit func() bool
	// transport, if any, stands between the operator and the API server.
	transport func(http.RoundTripper) http.RoundTripper
	// wrap stands between the operator and its client of Secret Server.
	wrap func(controllers.SecretServer) controllers.SecretServer
}

// startOperator runs an operator until the spec ends or stop is called, whichever is first.
func startOperator(change ...func(*operatorOptions)) *operator {
	GinkgoHelper()
	o := operatorOptions{
		Options: controllers.Options{
			MaxConcurrentReconciles:  16,
			EndpointConcurrency:      8,
			RejectedCredentialsRetry: 65 * time.Minute,
			Metrics:                  prometheus.NewRegistry(),
			Records:                  controllers.NewRecords(),
		},
		selector: labels.Everything(),
		wrap:     func(s controllers.SecretServer) controllers.SecretServer { return s },
	}
	for _, f := range change {
		f(&o)
	}
	op := &operator{requests: &requestLog{}, metrics: o.Metrics.(*prometheus.Registry)} //nolint:forcetypeassert // set above
	cfg := rest.CopyConfig(operatorConfig)
	cfg.Wrap(op.requests.wrap)
	if o.transport != nil {
		cfg.Wrap(o.transport)
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:                  scheme,
		Cache:                   controllers.CacheOptions(o.namespaces, o.selector, o.Records),
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Controller:              config.Controller{SkipNameValidation: new(true)},
		GracefulShutdownTimeout: new(30 * time.Second),
	})
	Expect(err).NotTo(HaveOccurred())
	if o.permit == nil {
		o.permit = o.Leading
	}
	pool := secretserver.NewPool(time.Now, secretserver.WithPermit(o.permit), secretserver.WithConnections(o.EndpointConcurrency))
	dial := func(e secretserver.Endpoint) (controllers.SecretServer, error) {
		c, err := pool.Client(e)
		if err != nil {
			return nil, err
		}
		return o.wrap(c), nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	Expect(controllers.Setup(ctx, mgr, o.Options, dial, clock.RealClock{})).To(Succeed())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	op.stop = sync.OnceFunc(func() {
		cancel()
		Eventually(done).WithTimeout(40*time.Second).Should(Receive(BeNil()), "the operator stops without an error")
		pool.CloseIdle()
	})
	DeferCleanup(func() { op.stop() })
	Expect(mgr.GetCache().WaitForCacheSync(ctx)).To(BeTrue())
	return op
}

// inNamespaces restricts an operator, as --namespaces does.
func inNamespaces(namespaces ...string) func(*operatorOptions) {
	return func(o *operatorOptions) { o.namespaces = namespaces }
}

// requestLog counts an operator's requests to the API server.
type requestLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *requestLog) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		l.mu.Lock()
		line := fmt.Sprintf("%s %s", request.Method, request.URL.RequestURI())
		l.lines = append(l.lines, timeouts.ReplaceAllString(line, ""))
		l.mu.Unlock()
		return next.RoundTrip(request)
	})
}

// timeouts is what the client adds to each request; it says nothing of the request.
var timeouts = regexp.MustCompile(`&timeout=[^&]*|timeout=[^&]*&|\?timeout=[^&]*$`)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// reset forgets what was counted so far.
func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

// made are the requests since the last reset, but for watches, which are not made on a session's behalf.
func (l *requestLog) made() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.lines), func(line string) bool { return strings.Contains(line, "watch=true") })
}

// recording keeps what is written to it, for the search for leaked secrets.
type recording struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *recording) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// reset forgets what was written so far.
func (r *recording) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = bytes.Buffer{}
}

func (r *recording) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// rest waits until an operator has done with a session that has become Ready, and forgets its requests up to there: the event of
// the first login is written in the background, after all else.
func (o *operator) rest() {
	GinkgoHelper()
	Eventually(o.requests.made).Should(ContainElement(ContainSubstring("/events")), "the event of the first login")
	o.requests.reset()
}

// writes are the requests that change something.
func (o *operator) writes() []string {
	return slices.DeleteFunc(o.requests.made(), func(line string) bool { return strings.HasPrefix(line, "GET ") })
}
