package gitops

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/operator"
)

const (
	// patience bounds every wait. The machine may be busy.
	patience = 60 * time.Second
	// calm is how long nothing may happen.
	calm = 3 * time.Second
)

// The account that sessions log in with.
const (
	username = "billing"
	password = "correct horse"
)

// A world is what one test acts in: a namespace, a Secret Server, its CA in a ConfigMap, and the account's Secret.
type world struct {
	*WithT

	namespace string
	vault     *secretservertest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "gitops-"}}
	NewWithT(t).Expect(shared.admin.Create(t.Context(), namespace)).To(Succeed())
	w := newVault(t, namespace.Name, "vault-ca")
	w.create(t, &corev1.Secret{
		ObjectMeta: w.named("account"), Type: corev1.SecretTypeBasicAuth,
		StringData: map[string]string{"username": username, "password": password},
	})
	return w
}

// newVault makes a world in a namespace that is there: a Secret Server and its CA.
func newVault(t *testing.T, namespace, ca string, change ...func(*secretservertest.Options)) *world {
	t.Helper()
	w := (&world{namespace: namespace}).in(t)
	options := secretservertest.Options{
		BasePath: "/SecretServer", Accounts: []secretservertest.Account{{Username: username, Password: password}},
	}
	for _, f := range change {
		f(&options)
	}
	w.vault = secretservertest.New(options)
	w.Expect(w.vault.StartTLS()).To(Succeed())
	t.Cleanup(w.vault.Close)
	w.create(t, &corev1.ConfigMap{ObjectMeta: w.named(ca), Data: map[string]string{"ca.crt": string(w.vault.CA())}})
	return w
}

// in is the world with the expectations of a subtest.
func (w *world) in(t *testing.T) *world {
	t.Helper()
	part := *w
	part.WithT = NewWithT(t)
	part.SetDefaultEventuallyTimeout(patience)
	part.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	part.SetDefaultConsistentlyDuration(calm)
	return &part
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) create(t *testing.T, o client.Object) {
	t.Helper()
	w.Expect(shared.admin.Create(t.Context(), o)).To(Succeed())
}

// startOperator runs the operator in a namespace until the test ends.
func startOperator(t *testing.T, namespace string, args ...string) *operator.Process {
	t.Helper()
	p, err := operator.Start(t.Context(), operator.Options{
		Binary:     shared.binary,
		Kubeconfig: shared.kubeconfig,
		Args:       append([]string{"--namespaces=" + namespace}, args...),
		Log:        filepath.Join(t.TempDir(), "operator.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
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

// manifest is the session billing as somebody keeps it in git: what has a default is left out.
func (w *world) manifest() string {
	return fmt.Sprintf(`apiVersion: secretserver.tokensync.dev/v1alpha1
kind: SecretServerSession
metadata:
  name: billing
  namespace: %s
spec:
  endpoint:
    url: %s
    caBundleRef:
      name: vault-ca
  credentials:
    secretRef:
      name: account
`, w.namespace, w.vault.URL())
}

// wholeManifest is the session whole, with every field, the defaults too, whose token is revoked when it is deleted.
func (w *world) wholeManifest() string {
	return fmt.Sprintf(`apiVersion: secretserver.tokensync.dev/v1alpha1
kind: SecretServerSession
metadata:
  name: whole
  namespace: %[1]s
  labels:
    team: payments
spec:
  endpoint:
    url: %[2]s
    caBundleRef:
      kind: ConfigMap
      name: vault-ca
      key: ca.crt
    tlsServerName: localhost
    timeoutSeconds: 30
  credentials:
    secretRef:
      name: account
    usernameKey: username
    passwordKey: password
  target:
    name: whole-token
    type: Opaque
    labels:
      team: payments
    annotations:
      example.com/owner: payments
    data:
      header: "Authorization: Bearer {{ .token }}"
  refresh:
    percent: 67
  verification:
    intervalSeconds: 3600
  deletionPolicy: Revoke
  suspend: false
`, w.namespace, w.vault.URL())
}

// kubectl runs kubectl as the administrator, with a text as its standard input, and returns what it printed.
func kubectl(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), shared.Kubectl(), append([]string{"--kubeconfig=" + shared.KubeconfigPath()}, args...)...) //nolint:gosec // kubectl, and what a test gives it
	cmd.Stdin = strings.NewReader(input)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, output.String())
	}
	return output.String(), err
}

// mustKubectl is kubectl for what has to succeed.
func mustKubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	output, err := kubectl(t, input, args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// session reads a session.
func (w *world) session(t *testing.T, name string) *api.SecretServerSession {
	t.Helper()
	s := &api.SecretServerSession{}
	w.Expect(shared.admin.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, s)).To(Succeed())
	return s
}

// secret reads a Secret; an empty one if there is none.
func (w *world) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	err := shared.admin.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, secret)
	w.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return secret
}

// live reads a session as kstatus and Argo CD see it.
func (w *world) live(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(api.SchemeGroupVersion.WithKind(api.Kind))
	w.Expect(shared.admin.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, o)).To(Succeed())
	return o
}

// condition is a condition as "Type=Status Reason".
func (w *world) condition(t *testing.T, name, kind string) string {
	t.Helper()
	c := meta.FindStatusCondition(w.session(t, name).Status.Conditions, kind)
	if c == nil {
		return kind + " absent"
	}
	return fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason)
}

const ready = api.ConditionReady + "=True " + api.ReasonTokenCurrent

// becomesReady waits until a session holds a token, and the operator has looked at its spec as it is.
func (w *world) becomesReady(t *testing.T, name string) {
	t.Helper()
	w.Eventually(func() string {
		if s := w.session(t, name); s.Status.ObservedGeneration != s.Generation {
			return "the operator has not looked at the spec yet"
		}
		return w.condition(t, name, api.ConditionReady)
	}).Should(Equal(ready))
}

// A picture is everything about a session that may not move while nothing is to be done.
type picture struct {
	Generation              int64
	Session, Target, State  string // resource versions
	Requests                int    // to Secret Server
	WrittenByTheOperator    string
	SessionFields, Managers string
}

// picture takes the picture of a session at rest. An object shows what was written a moment before the audit log tells of it, so two
// pictures in a row have to be the same.
func (w *world) picture(t *testing.T, name string) picture {
	t.Helper()
	var last, now picture
	w.Eventually(func() bool {
		last, now = now, w.snapshot(t, name)
		return now == last
	}).WithPolling(500*time.Millisecond).Should(BeTrue(), "the session comes to rest")
	return now
}

// snapshot is the picture of this moment; its Secret Server and its namespace may be those of others too.
func (w *world) snapshot(t *testing.T, name string) picture {
	t.Helper()
	s := w.session(t, name)
	p := picture{
		Generation:           s.Generation,
		Session:              s.ResourceVersion,
		Target:               w.secret(t, s.TargetName()).ResourceVersion,
		State:                w.secret(t, api.StateSecretName(name)).ResourceVersion,
		WrittenByTheOperator: strings.Join(w.writes(t), ", "),
		Managers:             managersOf(s),
	}
	fields, err := json.Marshal(s.Spec)
	w.Expect(err).NotTo(HaveOccurred())
	p.SessionFields = string(fields)
	for _, count := range w.vault.Stats().Requests {
		p.Requests += count
	}
	return p
}

// managersOf names who owns fields of an object, and how.
func managersOf(o metav1.Object) string {
	var names []string
	for _, entry := range o.GetManagedFields() {
		names = append(names, strings.TrimSpace(fmt.Sprintf("%s %s %s", entry.Manager, entry.Operation, entry.Subresource)))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// staysAsItIs checks that nothing moves for a while, after a picture was taken.
func (w *world) staysAsItIs(t *testing.T, name string, before picture) {
	t.Helper()
	w.Consistently(func() picture { return w.snapshot(t, name) }).WithPolling(200*time.Millisecond).Should(Equal(before),
		"no new generation or resource version, no write of the operator, no call to Secret Server")
}

// writes are the operator's writes in the namespace that succeeded, but for events, as the API server's audit log tells.
func (w *world) writes(t *testing.T) []string {
	t.Helper()
	log, err := os.ReadFile(shared.audit)
	w.Expect(err).NotTo(HaveOccurred())
	var found []string
	for line := range strings.Lines(string(log)) {
		var request struct {
			Verb string `json:"verb"`
			User struct {
				Username string `json:"username"`
			} `json:"user"`
			// Object is what was written.
			Object struct {
				Resource    string `json:"resource"`
				Subresource string `json:"subresource"`
				Namespace   string `json:"namespace"`
				Name        string `json:"name"`
			} `json:"objectRef"`
			Status struct {
				Code int `json:"code"`
			} `json:"responseStatus"`
		}
		if !strings.Contains(line, w.namespace) || !strings.HasSuffix(line, "\n") {
			continue
		}
		w.Expect(json.Unmarshal([]byte(line), &request)).To(Succeed())
		if request.User.Username == operatorUser && request.Object.Namespace == w.namespace && request.Object.Resource != "events" &&
			slices.Contains([]string{"create", "update", "patch", "delete"}, request.Verb) && request.Status.Code < 300 {
			found = append(found, strings.Join([]string{request.Verb, request.Object.Resource, request.Object.Subresource, request.Object.Name}, " "))
		}
	}
	return found
}
