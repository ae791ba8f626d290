package failover

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/hack/controlplane"
)

// A stage is what all tests share.
type stage struct {
	*controlplane.Cluster

	admin      client.Client
	kubeconfig string // of the operator's user
	audit      string // path of the API server's log
	// binaries are the operator twice, by version: Secret Server and the API server see who asks.
	binaries map[string]string
}

// The versions of the two replicas.
const (
	one = "one"
	two = "two"
)

var shared *stage

func TestMain(m *testing.M) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: `make test` builds etcd and kube-apiserver and sets it; skipping")
		os.Exit(0)
	}
	flag.Parse()
	// They wait; they do not work.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	code, err := perform(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// perform builds the operator, sets the stage and runs the tests.
func perform(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "failover-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := noticeSources(); err != nil {
		return 1, err
	}
	var binaries map[string]string
	built := make(chan error, 1)
	go func() {
		var err error
		binaries, err = build(context.Background(), dir)
		built <- err
	}()
	stage, err := newStage(context.Background(), dir)
	if err := errors.Join(err, <-built); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, stage.Stop()) }()
	stage.binaries = binaries
	shared = stage
	return m.Run(), nil
}

// build builds the operator as `make build` does, which shares what is compiled with it.
func build(ctx context.Context, dir string) (map[string]string, error) {
	binaries := map[string]string{}
	for _, version := range []string{one, two} {
		binaries[version] = filepath.Join(dir, "manager-"+version)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w -X main.version="+version, "-o", binaries[version], "../..") //nolint:gosec // its own versions
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the operator: %w\n%s", err, output)
		}
	}
	return binaries, nil
}

// noticeSources looks at everything that the operator is built of, so that go test does not answer from its cache after a
// change: it knows what a test has looked at, and not what it has had compiled.
func noticeSources() error {
	for _, path := range []string{"../../main.go", "../../go.mod", "../../api", "../../controllers"} {
		err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && !strings.HasSuffix(path, "_test.go") {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func newStage(ctx context.Context, dir string) (*stage, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), api.AddToScheme(scheme))
	if err != nil {
		return nil, err
	}
	s := &stage{audit: filepath.Join(dir, "audit.log")}
	s.Cluster, err = controlplane.Start(ctx, controlplane.Options{
		CRDPaths:            []string{"../../config/crd/bases"},
		AuditLog:            s.audit,
		NoControllerManager: true,
	})
	if err != nil {
		return nil, err
	}
	s.admin, err = client.New(s.Config(), client.Options{Scheme: scheme})
	if err == nil {
		err = s.admitOperator(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}
