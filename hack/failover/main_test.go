package failover

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/hack/controlplane"
	"tokensync.dev/secret-server-operator/hack/operator"
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

// build builds the operator twice.
func build(ctx context.Context, dir string) (map[string]string, error) {
	binaries := map[string]string{}
	for _, version := range []string{one, two} {
		binaries[version] = filepath.Join(dir, "manager-"+version)
		if err := operator.Build(ctx, "../..", binaries[version], version); err != nil {
			return nil, err
		}
	}
	return binaries, nil
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
