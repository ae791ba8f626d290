package config

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// deployed reads what became of a kustomization's Deployments at the API server.
func deployed(t *testing.T, namespace string, m manifests) []*appsv1.Deployment {
	t.Helper()
	deployments := each[appsv1.Deployment](t, m, "Deployment")
	for _, d := range deployments {
		if d.Namespace == "" {
			d.Namespace = namespace
		}
		if err := shared.admin.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
			t.Fatal(err)
		}
	}
	return deployments
}

// An owner of a namespace has the cluster role admin there and nothing else, after the cluster's administrator has applied the
// prerequisites.
func TestANamespacesOwnerInstallsTheOperatorThere(t *testing.T) {
	needsCluster(t)
	apply(t, shared.admin, "", render(t, prerequisites))
	namespace := newNamespace(t)
	w := newWorld(t, namespace)
	bind(t, "owner", "admin", namespace)
	config, err := shared.AddUser("owner")
	w.Expect(err).NotTo(HaveOccurred())
	owner, err := newClient(config)
	w.Expect(err).NotTo(HaveOccurred())

	m := render(t, namespaced)
	w.Eventually(func() error { // the role admin has to be aggregated first
		role := m.named("Role", "secret-server-operator-manager-role").DeepCopy()
		role.SetNamespace(namespace)
		return owner.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(role), client.FieldOwner("kubectl"), client.DryRunAll)
	}).Should(Succeed(), "the owner may grant what the operator needs")
	apply(t, owner, namespace, m)
	apply(t, owner, namespace, render(t, composed(t, map[string]any{}, "components/plain-metrics")))

	d := deployed(t, namespace, m)[0]
	admitsPods(t, d)
	w.newSession(t, session, nil)
	p := start(t, d)
	w.Eventually(w.ready(t, session)).Should(BeTrue(), "it logs in")
	w.askFor(t, "once")
	w.Eventually(func() int64 { return w.read(t, session).Status.RefreshCount }).Should(BeEquivalentTo(1), "it refreshes")
	w.patch(t, `{"spec":{"deletionPolicy":"Revoke"}}`)
	w.Eventually(func() []string { return w.read(t, session).Finalizers }).Should(ConsistOf(api.FinalizerRevoke))
	w.Expect(shared.admin.Delete(t.Context(), w.read(t, session))).To(Succeed())
	w.Eventually(func() types.UID { return w.read(t, session).UID }).Should(BeEmpty(), "the session is let go")
	w.Expect(p.Stop()).To(Succeed())
	expectNothingForbidden(t, serviceAccount(d))
	for _, r := range requestsOf(t, serviceAccount(d)) {
		if r.Object.Namespace != namespace {
			t.Errorf("it asked beyond its namespace: %s in %q", r.needs(), r.Object.Namespace)
		}
	}
}

func TestTheWholeOperatorServesEveryNamespace(t *testing.T) {
	needsCluster(t)
	m := render(t, clusterWide)
	apply(t, shared.admin, "", m)
	d := deployed(t, "", m)[0]
	admitsPods(t, d)
	w := newWorld(t, newNamespace(t))
	w.newSession(t, session, nil)
	p := start(t, d)
	w.Eventually(w.ready(t, session)).Should(BeTrue())
	w.Expect(p.Stop()).To(Succeed())
	expectNothingForbidden(t, serviceAccount(d))
}

func TestEachShardServesItsOwn(t *testing.T) {
	needsCluster(t)
	m := render(t, sharded)
	apply(t, shared.admin, "", m)
	w := newWorld(t, newNamespace(t))
	for name, label := range map[string]string{"in-a": "a", "in-b": "b", "in-none": "", "in-another": "z"} {
		labels := map[string]string{shardLabel: label}
		if label == "" {
			labels = nil
		}
		w.newSession(t, name, labels)
	}
	deployments := map[string]*appsv1.Deployment{}
	for _, d := range deployed(t, "", m) {
		admitsPods(t, d)
		deployments[strings.TrimPrefix(d.Name, "secret-server-operator-controller-manager-")] = d
	}
	// One after the other, and all run on: so what is ready is theirs, and their leases do not get in each other's way.
	for _, c := range []struct {
		shard     string
		its, left []string
	}{
		{shard: "a", its: []string{"in-a"}, left: []string{"in-b", "in-none", "in-another"}},
		{shard: "b", its: []string{"in-b"}, left: []string{"in-none", "in-another"}},
		{shard: "rest", its: []string{"in-none", "in-another"}},
	} {
		start(t, deployments[c.shard])
		for _, name := range c.its {
			w.Eventually(w.ready(t, name)).Should(BeTrue(), "%s serves %s", c.shard, name)
		}
		for _, name := range c.left {
			w.Expect(w.read(t, name).Status).To(Equal(api.SecretServerSessionStatus{ObservedGeneration: -1}), "%s leaves %s alone", c.shard, name)
		}
	}
	w.Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(4), "one login for each session")
	expectNothingForbidden(t, serviceAccount(deployments["a"]))
}

// named returns the object of that kind and name; nil if there is none.
func (m manifests) named(kind, name string) *unstructured.Unstructured {
	for _, o := range m {
		if o.GetKind() == kind && o.GetName() == name {
			return o
		}
	}
	return nil
}
