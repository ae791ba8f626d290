package config

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/hack/controlplane"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// A cluster is the control plane that all tests here share, and the operator that was built for them. There are controllers, so that
// roles are aggregated, and no nodes: pods do not run, so the operator runs as a process.
type cluster struct {
	*controlplane.Cluster

	admin  client.Client
	audit  string // path of the API server's log
	binary string
}

// shared is nil without KUBEBUILDER_ASSETS.
var shared *cluster

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: `make test` builds kube-apiserver and sets it; nothing is applied here")
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "config-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := &cluster{audit: filepath.Join(dir, "audit.log"), binary: filepath.Join(dir, "manager")}
	if err := operator.Build(context.Background(), "..", c.binary, "test"); err != nil {
		return 1, err
	}
	c.Cluster, err = controlplane.Start(context.Background(), controlplane.Options{
		CRDPaths: []string{"crd/bases"},
		AuditLog: c.audit,
		// As on OpenShift: who sets an owner that blocks deletion must be allowed to set its finalizers.
		APIServerFlags: map[string]string{"enable-admission-plugins": "OwnerReferencesPermissionEnforcement"},
	})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if c.admin, err = newClient(c.Config()); err != nil {
		return 1, err
	}
	shared = c
	return m.Run(), nil
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// needsCluster skips a test where there is none.
func needsCluster(t *testing.T) {
	t.Helper()
	if shared == nil {
		t.Skip("KUBEBUILDER_ASSETS is not set")
	}
}

// apply applies manifests as kubectl does with --server-side, those without a namespace in the given one.
func apply(t *testing.T, as client.Client, namespace string, m manifests) {
	t.Helper()
	for _, o := range m {
		o = o.DeepCopy()
		namespaced, err := as.IsObjectNamespaced(o)
		if err != nil {
			t.Fatal(err)
		}
		if namespaced && o.GetNamespace() == "" {
			o.SetNamespace(namespace)
		}
		if err := as.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("kubectl")); err != nil {
			t.Fatalf("apply %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// newNamespace makes a namespace that admits only pods which PodSecurity calls restricted.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "config-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := shared.admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// bind gives a user a cluster role in a namespace.
func bind(t *testing.T, user, role, namespace string) {
	t.Helper()
	err := shared.admin.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "test-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// admitsPods has the API server look at a pod such as the Deployment would make, by all that has a say in its admission.
func admitsPods(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, GenerateName: d.Name + "-", Labels: d.Spec.Template.Labels},
		Spec:       d.Spec.Template.Spec,
	}
	if err := shared.admin.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Errorf("a pod of %s is not admitted: %v", d.Name, err)
	}
}

// A request is one that the API server has answered, as its audit log tells.
type request struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	Object struct {
		Group       string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	Status struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// needs is the right that a request takes, as rules spell it.
func (r request) needs() right {
	resource := r.Object.Resource
	if r.Object.Subresource != "" {
		resource += "/" + r.Object.Subresource
	}
	return right{r.Verb, r.Object.Group, resource}
}

// requestsOf are all that a user has made about objects, in the order of their answers.
func requestsOf(t *testing.T, user string) []request {
	t.Helper()
	log, err := os.ReadFile(shared.audit)
	if err != nil {
		t.Fatal(err)
	}
	var found []request
	for line := range strings.Lines(string(log)) {
		if !strings.Contains(line, `"`+user+`"`) || !strings.HasSuffix(line, "\n") {
			continue
		}
		var r request
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("audit log: %v", err)
		}
		if r.User.Username == user && r.Object.Resource != "" {
			found = append(found, r)
		}
	}
	return found
}

// expectNothingForbidden holds against whom RBAC gives all that they ask for.
func expectNothingForbidden(t *testing.T, user string) {
	t.Helper()
	requests := requestsOf(t, user)
	if len(requests) == 0 {
		t.Errorf("the API server has no request of %s on record", user)
	}
	for _, r := range requests {
		if r.Status.Code == 403 {
			t.Errorf("forbidden to %s: %s in namespace %q", user, r.needs(), r.Object.Namespace)
		}
	}
}

// A right is one verb of one resource.
type right struct{ verb, group, resource string }

func (r right) String() string {
	if r.group == "" {
		return r.verb + " " + r.resource
	}
	return r.verb + " " + r.resource + "." + r.group
}
