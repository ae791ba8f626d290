package observability

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/controlplane"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// patience bounds every wait. The machine may be busy.
const patience = 3 * time.Minute

const (
	operatorUser = "secret-server-operator"
	monitoring   = "monitoring" // the namespace of who scrapes, and of the lease
	scraper      = "prometheus" // may read the metrics
	stranger     = "stranger"   // may not
	payments     = "payments"   // the namespace of the sessions
	forbidden    = "forbidden"  // a namespace in which nobody may write Secrets
)

// stage is a control plane with two replicas of the built operator, scraped by a Prometheus with the rules of config/prometheus.
type stage struct {
	*WithT

	admin      client.Client
	kubeconfig string // of the operator's user
	dir        string
	binary     string
	replicas   map[string]*operator.Process // by the address of their metrics
}

// newStage has everything but the replicas.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{WithT: NewWithT(t), dir: t.TempDir(), binary: os.Getenv("MANAGER"), replicas: map[string]*operator.Process{}}
	if s.binary == "" {
		t.Skip("MANAGER names no built operator: `make test-alerts` runs this")
	}
	ctrl.SetLogger(logr.Discard()) // envtest's words about the CRD
	s.SetDefaultEventuallyTimeout(patience)
	s.SetDefaultEventuallyPollingInterval(200 * time.Millisecond)
	scheme := runtime.NewScheme()
	s.Expect(errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme),
		admissionv1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme), api.AddToScheme(scheme))).To(Succeed())
	cluster, err := controlplane.Start(t.Context(), controlplane.Options{
		CRDPaths: []string{"../../config/crd/bases"}, NoControllerManager: true,
	})
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.admin, err = client.New(cluster.Config(), client.Options{Scheme: scheme})
	s.Expect(err).NotTo(HaveOccurred())
	user, err := cluster.AddUser(operatorUser)
	s.Expect(err).NotTo(HaveOccurred())
	s.kubeconfig, err = cluster.KubeconfigFor(user)
	s.Expect(err).NotTo(HaveOccurred())
	for _, name := range []string{monitoring, payments, forbidden} {
		s.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	s.admitOperator(t)
	s.admitScraper(t)
	return s
}

func (s *stage) create(t *testing.T, o client.Object) {
	t.Helper()
	s.Expect(s.admin.Create(t.Context(), o)).To(Succeed())
}

// read reads a manifest of the installer.
func (s *stage) read(name string, into any) {
	text, err := os.ReadFile("../../config/" + name)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(yaml.UnmarshalStrict(text, into)).To(Succeed(), name)
}

// admitOperator gives the operator's user the rights of the installer, and no more.
func (s *stage) admitOperator(t *testing.T) {
	t.Helper()
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: operatorUser}}
	for _, manifest := range []string{"rbac/role.yaml", "components/metrics/metrics_auth_role.yaml"} {
		role := &rbacv1.ClusterRole{}
		s.read(manifest, role)
		s.create(t, role)
		s.create(t, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects:   subjects,
		})
	}
	role := &rbacv1.Role{}
	s.read("rbac/leader_election_role.yaml", role)
	role.Namespace = monitoring
	s.create(t, role)
	s.create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: monitoring, Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   subjects,
	})
}

// admitScraper makes two ServiceAccounts. One is bound to the role for scrapers.
func (s *stage) admitScraper(t *testing.T) {
	t.Helper()
	for _, name := range []string{scraper, stranger} {
		s.create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: monitoring, Name: name}})
	}
	role := &rbacv1.ClusterRole{}
	s.read("components/metrics/metrics_reader_role.yaml", role)
	s.create(t, role)
	s.create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: monitoring, Name: scraper}},
	})
}

// token is one of a ServiceAccount, as its pods have it.
func (s *stage) token(t *testing.T, account string) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	holder := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: monitoring, Name: account}}
	s.Expect(s.admin.SubResource("token").Create(t.Context(), holder, request)).To(Succeed())
	return request.Status.Token
}

// start starts a replica as the installer does, which serves its metrics at the address.
func (s *stage) start(t *testing.T, address string) {
	t.Helper()
	p, err := operator.Start(t.Context(), operator.Options{
		Binary:     s.binary,
		Kubeconfig: s.kubeconfig,
		Args:       []string{"--leader-elect", "--leader-election-namespace=" + monitoring, "--metrics-bind-address=" + address},
		Log:        filepath.Join(s.dir, address+".log"),
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.replicas[address] = p
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("replica at %s: %s", address, p.LastWords())
		}
	})
}

// freeAddress is a loopback address that nobody listened at a moment ago.
func (s *stage) freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(listener.Close()).To(Succeed())
	return listener.Addr().String()
}

// page asks a replica for its metrics, with a bearer token unless that is empty.
func page(ctx context.Context, address, token string) (status int, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/metrics", http.NoBody)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// A vault is a Secret Server with its CA in a ConfigMap and an account of which the Secret is called as the vault.
type vault struct {
	*secretservertest.Server

	name string
}

const password = "correct horse"

// newVault starts a Secret Server whose tokens last so long.
func (s *stage) newVault(t *testing.T, name string, lifetime time.Duration, change ...func(*secretservertest.Options)) vault {
	t.Helper()
	o := secretservertest.Options{
		BasePath: "/SecretServer", TokenLifetime: lifetime,
		Accounts: []secretservertest.Account{{Username: name, Password: password}},
	}
	for _, f := range change {
		f(&o)
	}
	server := secretservertest.New(o)
	s.Expect(server.StartTLS()).To(Succeed())
	t.Cleanup(server.Close)
	for _, namespace := range []string{payments, forbidden} {
		s.create(t, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-ca"}, Data: map[string]string{"ca.crt": string(server.CA())},
		})
		s.create(t, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: map[string]string{"username": name, "password": password},
		})
	}
	return vault{server, name}
}

// session makes a session with a vault, and with its account if nothing else is said.
func (s *stage) session(t *testing.T, v vault, name string, change ...func(*api.SecretServerSession)) *api.SecretServerSession {
	t.Helper()
	o := &api.SecretServerSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: payments, Name: name},
		Spec: api.SecretServerSessionSpec{
			Endpoint:    api.Endpoint{URL: v.URL(), CABundleRef: &api.CABundleReference{Name: v.name + "-ca"}},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: v.name}},
			Target:      api.Target{Name: name + "-token"},
		},
	}
	for _, f := range change {
		f(o)
	}
	s.create(t, o)
	return o
}

// forbidSecrets has the API server admit no Secret in a namespace, of whomever.
func (s *stage) forbidSecrets(t *testing.T) {
	t.Helper()
	const name = "no-secrets"
	s.create(t, &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: forbidden}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
				}}},
			},
			Validations: []admissionv1.Validation{{Expression: "false", Message: "no Secrets here", Reason: new(metav1.StatusReasonForbidden)}},
		},
	})
	s.create(t, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	})
	probe := func() error {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: forbidden, Name: "probe"}}
		if err := s.admin.Create(t.Context(), secret, client.DryRunAll); err != nil {
			return nil //nolint:nilerr // it is what is waited for
		}
		return fmt.Errorf("the API server still admits Secrets in %s", forbidden)
	}
	s.Eventually(probe).Should(Succeed())
}
