package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// patience bounds every wait. The machine may be busy.
const patience = 60 * time.Second

// A world is what users have: a namespace with an account and a CA bundle, and a Secret Server.
type world struct {
	*WithT

	namespace string
	vault     *secretservertest.Server
}

func newWorld(t *testing.T, namespace string) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t), namespace: namespace}
	w.SetDefaultEventuallyTimeout(patience)
	w.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	w.vault = secretservertest.New(secretservertest.Options{
		BasePath: "/SecretServer", TokenLifetime: 20 * time.Minute, MaxRefreshes: new(2),
		Accounts: []secretservertest.Account{{Username: "svc", Password: "correct horse"}},
	})
	w.Expect(w.vault.StartTLS()).To(Succeed())
	t.Cleanup(w.vault.Close)
	w.createBundle(t)
	w.create(t, &corev1.Secret{ObjectMeta: w.named("account"), StringData: map[string]string{"username": "svc", "password": "correct horse"}})
	return w
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) create(t *testing.T, o client.Object) {
	t.Helper()
	w.Expect(shared.admin.Create(t.Context(), o)).To(Succeed())
}

// createBundle makes the CA bundle that sessions name.
func (w *world) createBundle(t *testing.T) {
	t.Helper()
	w.create(t, &corev1.ConfigMap{ObjectMeta: w.named("vault-ca"), Data: map[string]string{"ca.crt": string(w.vault.CA())}})
}

// newSession makes a session, with labels if any.
func (w *world) newSession(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	s := &api.SecretServerSession{ObjectMeta: w.named(name), Spec: api.SecretServerSessionSpec{
		Endpoint:    api.Endpoint{URL: w.vault.URL(), CABundleRef: &api.CABundleReference{Name: "vault-ca"}},
		Credentials: api.Credentials{SecretRef: api.SecretReference{Name: "account"}},
	}}
	s.Labels = labels
	w.create(t, s)
}

func (w *world) read(t *testing.T, name string) *api.SecretServerSession {
	t.Helper()
	s := &api.SecretServerSession{}
	w.Expect(client.IgnoreNotFound(shared.admin.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, s))).To(Succeed())
	return s
}

// ready reports whether a session says that its target holds a valid token.
func (w *world) ready(t *testing.T, name string) func() bool {
	t.Helper()
	return func() bool { return meta.IsStatusConditionTrue(w.read(t, name).Status.Conditions, api.ConditionReady) }
}

// session is the one that most tests make.
const session = "billing"

// askFor asks for a renewal of it, as a user would.
func (w *world) askFor(t *testing.T, value string) {
	t.Helper()
	w.patch(t, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, api.AnnotationRefreshRequested, value))
}

// patch edits the session.
func (w *world) patch(t *testing.T, patch string) {
	t.Helper()
	s := &api.SecretServerSession{ObjectMeta: w.named(session)}
	w.Expect(shared.admin.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

// serviceAccount is the user that a Deployment's pods are.
func serviceAccount(d *appsv1.Deployment) string {
	return "system:serviceaccount:" + d.Namespace + ":" + d.Spec.Template.Spec.ServiceAccountName
}

// start starts the operator with the arguments of a Deployment, as the user that its pods would be. Only its addresses are others.
func start(t *testing.T, d *appsv1.Deployment, further ...string) *operator.Process {
	t.Helper()
	return startAs(t, serviceAccount(d), append(arguments(d), further...)...)
}

func arguments(d *appsv1.Deployment) []string {
	given := slices.DeleteFunc(slices.Clone(d.Spec.Template.Spec.Containers[0].Args), func(argument string) bool {
		return strings.Contains(argument, "-bind-address=") || strings.HasPrefix(argument, "--metrics-secure=")
	})
	for i := range given {
		given[i] = strings.ReplaceAll(given[i], "$(NAMESPACE)", d.Namespace)
	}
	return append(given, "--leader-election-namespace="+d.Namespace) // in a pod it finds that itself
}

func startAs(t *testing.T, user string, arguments ...string) *operator.Process {
	t.Helper()
	g := NewWithT(t)
	// Its groups are those which the API server gives a ServiceAccount.
	namespace := strings.Split(user, ":")[2]
	config, err := shared.AddUser(user, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	g.Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := shared.KubeconfigFor(config)
	g.Expect(err).NotTo(HaveOccurred())
	p, err := operator.Start(t.Context(), operator.Options{
		Binary: shared.binary, Kubeconfig: kubeconfig, Args: arguments,
		Log: filepath.Join(t.TempDir(), "operator.log"), Serve: true, StopTimeout: patience,
	})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(p.LastWords())
		}
	})
	return p
}
