// Command secret-server-operator keeps API sessions with Delinea (Thycotic) Secret Server alive for the pods of a
// Kubernetes cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/scraping"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

func main() {
	settings, err := parse(flag.CommandLine, os.Args[1:])
	if err == nil {
		ctx := ctrl.SetupSignalHandler()
		boundGarbage(ctx)
		err = run(ctx, settings)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "secret-server-operator:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	controllers.Options
	version                 bool
	metricsAddress          string
	metricsSecure           bool
	probeAddress            string
	leaderElect             bool
	leaderElectionNamespace string
	namespaces              []string
	sessions                labels.Selector
	qps                     float64
	burst                   int
	zap                     zap.Options
}

// parse reads the command line. --kubeconfig is controller-runtime's own and already registered.
func parse(flags *flag.FlagSet, arguments []string) (settings, error) {
	s := settings{Options: controllers.Options{Metrics: crmetrics.Registry, Records: controllers.NewRecords()}}
	var namespaces, selector, allowed string
	flags.BoolVar(&s.version, "version", false, "Print version, commit, its date, Go version and platform, and exit.")
	flags.StringVar(&s.metricsAddress, "metrics-bind-address", "0", "Where to serve metrics, for example :8443; 0 serves none.")
	flags.BoolVar(&s.metricsSecure, "metrics-secure", true, "Serve metrics over HTTPS, to those whom the API server authorizes.")
	flags.StringVar(&s.probeAddress, "health-probe-bind-address", ":8081", "Where to serve /healthz and /readyz; 0 serves none.")
	flags.BoolVar(&s.leaderElect, "leader-elect", false, "Run one active replica at a time.")
	flags.StringVar(&s.leaderElectionNamespace, "leader-election-namespace", "", "Namespace of the lease; by default the pod's own.")
	flags.StringVar(&namespaces, "namespaces", "", "Comma-separated namespaces to work in; by default all.")
	flags.StringVar(&selector, "session-selector", "", "Label selector of the sessions to serve; by default all. Each selector has its own lease.")
	flags.IntVar(&s.MaxConcurrentReconciles, "max-concurrent-reconciles", 64,
		"Sessions worked on at a time; half of them at most on Secret Servers that are not known to answer.")
	flags.StringVar(&allowed, "allowed-endpoints", "", "Comma-separated https URL prefixes that sessions may name; by default any.")
	flags.DurationVar(&s.RejectedCredentialsRetry, "rejected-credentials-retry", 65*time.Minute,
		"How long after a refusal the same credentials are tried again; 0: only when the credentials or the spec change.")
	flags.IntVar(&s.EndpointConcurrency, "endpoint-concurrency", 8, "Requests at a time to one Secret Server.")
	flags.Float64Var(&s.qps, "kube-api-qps", -1, "Requests per second to the API server; negative: as many as it admits.")
	flags.IntVar(&s.burst, "kube-api-burst", 0, "Requests at once to the API server, if --kube-api-qps is positive.")
	s.zap.BindFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.MaxConcurrentReconciles < 1 || s.EndpointConcurrency < 1 || s.RejectedCredentialsRetry < 0 {
		return s, errors.New("--max-concurrent-reconciles and --endpoint-concurrency must be at least 1, --rejected-credentials-retry at least 0")
	}
	s.namespaces = list(namespaces)
	var err error
	if s.sessions, err = labels.Parse(selector); err != nil {
		return s, fmt.Errorf("--session-selector: %w", err)
	}
	if s.AllowedEndpoints, err = controllers.ParseAllowedEndpoints(list(allowed)); err != nil {
		return s, fmt.Errorf("--allowed-endpoints: %w", err)
	}
	return s, nil
}

// list splits a comma list, blanks left out.
func list(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func run(ctx context.Context, s settings) error {
	if s.version {
		fmt.Println(built())
		return nil
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&s.zap)))
	// client-go's own lines, of watches that break for one, in the same form. How verbose they are is not up to --zap-log-level:
	// from level 8 on they would have the bodies of requests.
	klog.SetLogger(ctrl.Log.WithName("client-go"))
	// net/http prints what a server sends beyond its answer to the standard log. That may be part of a token.
	log.SetOutput(io.Discard)
	cfg, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	cfg.QPS, cfg.Burst = float32(s.qps), s.burst
	cfg.UserAgent = "secret-server-operator/" + version
	// Watches too would be compressed, event by event: time of both sides, for little that goes over a network within the cluster.
	cfg.DisableCompression = true
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), eventsv1.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return err
	}
	mgr, err := newManager(cfg, &s, scheme)
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	pool := secretserver.NewPool(clock.RealClock{}.Now,
		secretserver.WithVersion(version), secretserver.WithPermit(s.Leading), secretserver.WithConnections(s.EndpointConcurrency))
	defer pool.CloseIdle()
	dial := func(e secretserver.Endpoint) (controllers.SecretServer, error) { return pool.Client(e) }
	if err := controllers.Setup(ctx, mgr, s.Options, dial, clock.RealClock{}); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("caches", cachesSynced(mgr)); err != nil {
		return fmt.Errorf("add the readiness check: %w", err)
	}
	return mgr.Start(ctx)
}

// shutdownTimeout lets a grant in flight be answered and stored before the process ends, as long as the session's
// timeoutSeconds is not above its default. One that is cut off costs a login.
const shutdownTimeout = 42 * time.Second

// newManager makes the manager, and with --leader-elect the lease that says whether this process may ask for grants.
func newManager(cfg *rest.Config, s *settings, scheme *runtime.Scheme) (ctrl.Manager, error) {
	options := managerOptions(*s, scheme)
	if !s.leaderElect {
		return ctrl.NewManager(cfg, options)
	}
	lease, err := controllers.NewLease(cfg, s.leaderElectionNamespace, options.LeaderElectionID, controllers.SystemClocks(clock.RealClock{}))
	if err != nil {
		return nil, err
	}
	s.Leading = lease.SurelyOurs
	options.LeaderElectionResourceLockInterface = lease
	mgr, err := ctrl.NewManager(cfg, options)
	if err == nil {
		lease.RecordWith(mgr)
	}
	return mgr, err
}

func managerOptions(s settings, scheme *runtime.Scheme) ctrl.Options {
	metrics := metricsserver.Options{BindAddress: s.metricsAddress, SecureServing: s.metricsSecure}
	if s.metricsSecure {
		metrics.FilterProvider = scraping.Guard(clock.RealClock{})
	}
	return ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(s.namespaces, s.sessions, s.Records),
		Metrics:                       metrics,
		HealthProbeBindAddress:        s.probeAddress,
		LeaderElection:                s.leaderElect,
		LeaderElectionID:              controllers.LeaseName(s.namespaces, s.sessions),
		LeaseDuration:                 new(controllers.LeaseDuration),
		RenewDeadline:                 new(controllers.RenewDeadline),
		RetryPeriod:                   new(controllers.RetryPeriod),
		LeaderElectionReleaseOnCancel: true, // run returns right after the manager
		GracefulShutdownTimeout:       new(shutdownTimeout),
	}
}

// cachesSynced is ready once the watches have delivered what there is, on a standby too.
func cachesSynced(mgr ctrl.Manager) healthz.Checker {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), 100*time.Millisecond)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not synced yet")
		}
		return nil
	}
}
