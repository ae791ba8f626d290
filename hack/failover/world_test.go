package failover

import (
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// patience bounds every wait but those that a test is about. The machine may be busy.
const patience = 60 * time.Second

// A world is what one test acts in: a namespace, its Secret Server, the road there, and two replicas with a lease of their own.
type world struct {
	*WithT

	namespace string
	vault     *secretservertest.Server
	road      *road
	sessions  []string
	logs      string
}

// newWorld makes a world with as many sessions, each of an account of its own. The tokens last for lifetime, and can be
// refreshed for ever.
func newWorld(t *testing.T, sessions int, lifetime time.Duration) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t), logs: t.TempDir()}
	w.SetDefaultEventuallyTimeout(patience)
	w.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	options := secretservertest.Options{BasePath: "/SecretServer", TokenLifetime: lifetime, MaxRefreshes: new(-1), JournalSize: 1 << 16}
	for i := range sessions {
		w.sessions = append(w.sessions, fmt.Sprintf("session-%d", i))
		options.Accounts = append(options.Accounts, secretservertest.Account{Username: w.sessions[i], Password: "correct horse"})
	}
	w.vault = secretservertest.New(options)
	w.Expect(w.vault.StartTLS()).To(Succeed())
	t.Cleanup(w.vault.Close)
	at, err := url.Parse(w.vault.URL())
	w.Expect(err).NotTo(HaveOccurred())
	w.road = newRoad(t, at.Host)
	at.Host = w.road.listener.Addr().String()

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "failover-"}}
	w.create(t, namespace)
	w.namespace = namespace.Name
	w.Expect(shared.admitToElection(t.Context(), w.namespace)).To(Succeed())
	w.create(t, &corev1.ConfigMap{ObjectMeta: w.named("vault-ca"), Data: map[string]string{"ca.crt": string(w.vault.CA())}})
	for _, name := range w.sessions {
		w.create(t, &corev1.Secret{
			ObjectMeta: w.named(name + "-account"), StringData: map[string]string{"username": name, "password": "correct horse"},
		})
		w.create(t, &api.SecretServerSession{ObjectMeta: w.named(name), Spec: api.SecretServerSessionSpec{
			Endpoint:    api.Endpoint{URL: at.String(), CABundleRef: &api.CABundleReference{Name: "vault-ca"}},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: name + "-account"}},
		}})
	}
	return w
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

func (w *world) create(t *testing.T, o client.Object) {
	t.Helper()
	w.Expect(shared.admin.Create(t.Context(), o)).To(Succeed())
}

// start starts a replica.
func (w *world) start(t *testing.T, version string) *operator.Process {
	t.Helper()
	p, err := operator.Start(t.Context(), operator.Options{
		Binary:      shared.binaries[version],
		Kubeconfig:  shared.kubeconfig,
		Args:        []string{"--leader-elect", "--leader-election-namespace=" + w.namespace, "--namespaces=" + w.namespace},
		Log:         filepath.Join(w.logs, version+".log"),
		Serve:       true,
		StopTimeout: patience,
	})
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("replica %s: %s", version, p.LastWords())
		}
	})
	return p
}

// startBoth starts replica one, and when it leads and holds a token for each session replica two, which is ready then.
func (w *world) startBoth(t *testing.T) (leader, standby *operator.Process) {
	t.Helper()
	leader = w.start(t, one)
	for _, name := range w.sessions {
		w.Eventually(func() bool { return w.current(t, name) }).Should(BeTrue(), "the leader logs in for %s", name)
	}
	standby = w.start(t, two)
	w.Eventually(func() error { return standby.Ready(t.Context()) }).Should(Succeed(), "the standby is ready")
	return leader, standby
}

// current reports whether a session's target holds a token that Secret Server takes, and its status says so.
func (w *world) current(t *testing.T, name string) bool {
	t.Helper()
	s := &api.SecretServerSession{}
	w.Expect(shared.admin.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, s)).To(Succeed())
	return meta.IsStatusConditionTrue(s.Status.Conditions, api.ConditionReady) && w.vault.TokenValid(w.token(t, name))
}

// token is what pods would read; empty if there is none.
func (w *world) token(t *testing.T, name string) string {
	t.Helper()
	return string(w.secret(t, name).Data[api.TargetKeyToken])
}

// secret reads a Secret; an empty one if there is none.
func (w *world) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	err := shared.admin.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, secret)
	w.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return secret
}

// left is how long the token in a session's target lasts, by its status.
func (w *world) left(t *testing.T, name string) time.Duration {
	t.Helper()
	s := &api.SecretServerSession{}
	w.Expect(shared.admin.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, s)).To(Succeed())
	return time.Until(s.Status.TokenExpiresAt.Time)
}

// claimed are the sessions whose refresh token is claimed: it is being sent, or was.
func (w *world) claimed(t *testing.T) []string {
	t.Helper()
	var claimed []string
	for _, name := range w.sessions {
		if len(w.secret(t, api.StateSecretName(name)).Data["claimedRefreshToken"]) > 0 {
			claimed = append(claimed, name)
		}
	}
	return claimed
}

// askFor asks for a renewal, as a user would.
func (w *world) askFor(t *testing.T, name, value string) {
	t.Helper()
	s := &api.SecretServerSession{ObjectMeta: w.named(name)}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, api.AnnotationRefreshRequested, value)
	w.Expect(shared.admin.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

// holder is who has the lease; empty: nobody.
func (w *world) holder(t *testing.T) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	name := controllers.LeaseName([]string{w.namespace}, labels.Everything())
	err := shared.admin.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: name}, lease)
	w.Expect(client.IgnoreNotFound(err)).To(Succeed())
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}

// successor waits until somebody else than the former holder has the lease, and returns when.
func (w *world) successor(t *testing.T, former string) time.Time {
	t.Helper()
	w.Eventually(func() string { return w.holder(t) }).Should(And(Not(Equal(former)), Not(BeEmpty())), "the lease changes hands")
	return time.Now()
}

// grants are those that Secret Server was asked for by a replica since a moment, answered or not.
func (w *world) grants(version string, since time.Time) []string {
	var grants []string
	for _, e := range w.vault.Journal() {
		if e.UserAgent == "secret-server-operator/"+version && !e.Time.Before(since) &&
			(e.Operation == secretservertest.Password || e.Operation == secretservertest.Refresh) {
			grants = append(grants, fmt.Sprintf("%s of %s: %s", e.Operation, e.Account, e.Result))
		}
	}
	return grants
}

// expectNoLoss is what must hold whatever happened.
func (w *world) expectNoLoss(t *testing.T) {
	t.Helper()
	stats := w.vault.Stats()
	w.Expect(stats.SpentRefreshTokensResent).To(BeZero(), "spent refresh tokens sent again")
	w.Expect(stats.RefreshTokensSeenTwice).To(BeZero(), "refresh tokens sent twice")
	w.Expect(stats.FailedLogins).To(BeEmpty())
	w.Expect(stats.Locked).To(BeEmpty())
}
