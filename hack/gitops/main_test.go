package gitops

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/hack/controlplane"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// root is the repository, as the tests see it.
const root = "../.."

// operatorUser is whom the operator authenticates as. It has the generated role, and no more.
const operatorUser = "secret-server-operator"

// A stage is what all tests share: a control plane with an audit log, and the operator's program.
type stage struct {
	*controlplane.Cluster

	admin      client.Client
	kubeconfig string // of the operator's user
	audit      string // path of the API server's log
	binary     string
}

var shared *stage

func TestMain(m *testing.M) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: `make test` builds etcd and kube-apiserver and sets it; skipping")
		os.Exit(0)
	}
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	// They wait; they do not work.
	if err := flag.Set("test.parallel", "32"); err != nil {
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
	dir, err := os.MkdirTemp("", "gitops-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "manager")
	if err := operator.Build(context.Background(), root, binary, "gitops"); err != nil {
		return 1, err
	}
	shared, err = newStage(context.Background(), dir, binary)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.Stop()) }()
	return m.Run(), nil
}

func newStage(ctx context.Context, dir, binary string) (*stage, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	s := &stage{audit: filepath.Join(dir, "audit.log"), binary: binary}
	var err error
	s.Cluster, err = controlplane.Start(ctx, controlplane.Options{
		CRDPaths:            []string{root + "/config/crd/bases"},
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

// admitOperator makes the operator's user, with the role that is generated for it.
func (s *stage) admitOperator(ctx context.Context) error {
	text, err := os.ReadFile(root + "/config/rbac/role.yaml")
	if err != nil {
		return err
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(text, role); err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: operatorUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: operatorUser}},
	}
	if err := errors.Join(s.admin.Create(ctx, role), s.admin.Create(ctx, binding)); err != nil {
		return err
	}
	user, err := s.AddUser(operatorUser)
	if err != nil {
		return err
	}
	s.kubeconfig, err = s.KubeconfigFor(user)
	return err
}
