// Package controlplane runs etcd, kube-apiserver and kube-controller-manager on
// this machine, for tests and demonstrations. Unlike envtest alone it has
// controllers, so that owned objects are collected, namespaces end and service
// accounts appear; and its API server can go away and come back. There is no
// scheduler and no node: pods do not run.
//
// The programs come from hack/controlplane/build.sh.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startTimeout bounds each wait of Start. kube-apiserver takes some 3 s on two
// idle cores, and many times that beside a build.
const startTimeout = time.Minute

// ErrNoAssets says that a program is not in Options.AssetsDir, or that no
// directory was named.
var ErrNoAssets = errors.New("the control plane's programs are missing; " +
	"run hack/controlplane/build.sh and set KUBEBUILDER_ASSETS to the directory that it prints")

// Options says what to start. The zero value is good.
type Options struct {
	// AssetsDir holds etcd, kube-apiserver, kube-controller-manager and kubectl.
	// Default: the environment variable KUBEBUILDER_ASSETS.
	AssetsDir string

	// CRDPaths are files and directories with CustomResourceDefinitions, which
	// are served when Start returns. Of a kind that is defined later, the garbage
	// collector takes up to 30 s to learn.
	CRDPaths []string

	// LogDir receives <program>.log of each program. Default: a temporary
	// directory, removed by Stop.
	LogDir string

	// DataDir is etcd's. It outlives Stop, and a later Start finds its objects.
	// Default: a temporary directory, removed by Stop.
	DataDir string

	// APIServerFlags are further flags of kube-apiserver, without leading dashes.
	// They win over the defaults.
	APIServerFlags map[string]string

	// AuditLog is the file to which kube-apiserver appends one JSON
	// audit.k8s.io/v1 Event for each finished request: who did what to which
	// object, with which result, and no bodies. A watch is written when it ends,
	// anything else before it is answered. Default: none.
	AuditLog string

	// NoControllerManager leaves out kube-controller-manager, which envtest's own
	// assets do not have.
	NoControllerManager bool
}

// Cluster is a running control plane. Its methods may be called concurrently.
type Cluster struct {
	dir        string // private to this cluster; removed by Stop
	kubectl    string
	url        string // of the API server
	etcdURL    string
	authority  *authority
	admin      *rest.Config
	core       *corev1client.CoreV1Client // as admin
	kubeconfig string

	mu       sync.Mutex // guards what follows
	programs []*program // in the order of their start
	server   *program   // kube-apiserver, one of them
	etcd     *program   // another
	stopped  bool
}

// Start starts a control plane on free ports of the loopback interface and waits
// until it is ready and, if controllers run, until they have made the default
// service account. The context bounds the start alone; the cluster runs until
// Stop. After an error nothing is left running. A missing program is an
// ErrNoAssets.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	assets, err := findAssets(options)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "controlplane-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, kubectl: filepath.Join(assets, "kubectl")}
	if err := c.start(ctx, assets, options); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// findAssets returns the absolute path of a directory that holds every program
// which the options need.
func findAssets(options Options) (string, error) {
	dir := options.AssetsDir
	if dir == "" {
		dir = os.Getenv("KUBEBUILDER_ASSETS")
	}
	if dir == "" {
		return "", ErrNoAssets
	}
	programs := []string{"etcd", "kube-apiserver", "kubectl"}
	if !options.NoControllerManager {
		programs = append(programs, "kube-controller-manager")
	}
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoAssets, err)
		}
	}
	return filepath.Abs(dir)
}

func (c *Cluster) start(ctx context.Context, assets string, options Options) error {
	plan, err := newPlan(ctx, c.dir, assets, options)
	if err != nil {
		return err
	}
	c.url, c.etcdURL, c.authority = plan.serverURL, plan.etcdURL, plan.authority
	if err := c.addAdmin(); err != nil {
		return err
	}

	c.etcd = plan.etcd()
	if err := c.run(ctx, c.etcd); err != nil {
		return err
	}
	c.server = plan.apiServer()
	if err := c.run(ctx, c.server); err != nil {
		return err
	}
	if err := c.waitForAPIServer(ctx); err != nil {
		return err
	}
	// Before the controllers, so that the garbage collector knows the kinds from
	// the first.
	crds := envtest.CRDInstallOptions{Paths: options.CRDPaths, ErrorIfPathMissing: true}
	if _, err := envtest.InstallCRDs(c.admin, crds); err != nil {
		return fmt.Errorf("install custom resource definitions: %w", err)
	}
	if options.NoControllerManager {
		return nil
	}
	return c.startManager(ctx, plan)
}

func (c *Cluster) startManager(ctx context.Context, plan *plan) error {
	kubeconfig, err := c.managerKubeconfig()
	if err != nil {
		return err
	}
	manager := plan.controllerManager(kubeconfig)
	if err := c.run(ctx, manager); err != nil {
		return err
	}
	return c.waitFor(ctx, manager, func(ctx context.Context) error {
		_, err := c.core.ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// run starts a program that Stop ends.
func (c *Cluster) run(ctx context.Context, p *program) error {
	c.programs = append(c.programs, p)
	return p.start(ctx)
}

func (c *Cluster) waitForAPIServer(ctx context.Context) error {
	err := c.waitFor(ctx, c.server, func(ctx context.Context) error {
		return c.core.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		return err
	}
	// It is made beside the server's readiness, not before it.
	return c.waitFor(ctx, c.server, func(ctx context.Context) error {
		_, err := c.core.Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return err
	})
}

// waitFor waits until the probe of program p succeeds, as long as all programs
// run.
func (c *Cluster) waitFor(ctx context.Context, p *program, probe func(context.Context) error) error {
	var unready error
	culprit := p
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		for _, q := range c.programs {
			if q.ended() {
				culprit = q
				return false, fmt.Errorf("%s ended", q.name)
			}
		}
		unready = probe(ctx)
		return unready == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w\n%s", p.name, errors.Join(err, unready), culprit.lastWords())
	}
	return nil
}

// Config returns the administrator's configuration. Its requests are not
// throttled by the client.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.admin) }

// KubeconfigPath returns the path of the administrator's kubeconfig, which only
// the user of this process can read and which Stop removes.
func (c *Cluster) KubeconfigPath() string { return c.kubeconfig }

// Kubectl returns the path of kubectl.
func (c *Cluster) Kubectl() string { return c.kubectl }

// EtcdURL is where etcd serves its clients, without asking who they are.
func (c *Cluster) EtcdURL() string { return c.etcdURL }

// ProcessID is that of etcd, kube-apiserver or kube-controller-manager, so that
// somebody can look at what the process uses; 0 if it does not run.
func (c *Cluster) ProcessID(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.programs {
		if p.name == name && p.process != nil {
			return p.process.cmd.Process.Pid
		}
	}
	return 0
}

// StopAPIServer kills kube-apiserver, as a crash would: a request under way may
// have taken effect or not, and connections are refused until StartAPIServer.
// Stopping it twice is no error.
func (c *Cluster) StopAPIServer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server.stop()
}

// StartAPIServer starts kube-apiserver again, after StopAPIServer, with the
// objects, the address and the users that it had, and waits until it is ready.
// While it runs, and after Stop, this is an error.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errors.New("start kube-apiserver: the cluster is stopped")
	}
	if err := c.server.start(ctx); err != nil {
		return err
	}
	return c.waitForAPIServer(ctx)
}

// StopEtcd ends etcd, in order, until StartEtcd. The API server runs on and can
// answer little. Stopping it twice is no error.
func (c *Cluster) StopEtcd() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.etcd.stop()
}

// StartEtcd starts etcd again, after StopEtcd, with the data that it had, and
// waits until the API server is ready, if that runs. While etcd runs, and after
// Stop, this is an error.
func (c *Cluster) StartEtcd(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errors.New("start etcd: the cluster is stopped")
	}
	if err := c.etcd.start(ctx); err != nil {
		return err
	}
	if c.server.process == nil {
		return nil
	}
	return c.waitForAPIServer(ctx)
}

// Stop ends all programs and removes temporary files. Nothing runs when it
// returns. It is an error if a program had ended by itself. Calling Stop again
// does nothing.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	var errs []error
	for _, p := range slices.Backward(c.programs) {
		errs = append(errs, p.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
