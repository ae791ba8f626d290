package gitops

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// expectHealth checks what kstatus and Argo CD make of an object.
func expectHealth(t *testing.T, o *unstructured.Unstructured, kstatus status.Status, inArgo string) {
	t.Helper()
	g := NewWithT(t)
	result, err := status.Compute(o)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result.Status).To(Equal(kstatus), "kstatus says: %s", result.Message)
	h := argo(t, o)
	g.Expect(h.Status).To(Equal(inArgo), "Argo CD says: %s", h.Message)
	g.Expect(h.Message).NotTo(BeEmpty())
}

// inState reports whether a session is in a state, and its status describes its spec.
func inState(s *api.SecretServerSession, v verdict) bool {
	if s.Status.ObservedGeneration != s.Generation || s.Spec.Suspend != v.suspended {
		return false
	}
	holds := func(kind, reason string) bool {
		return slices.ContainsFunc(s.Status.Conditions, func(c metav1.Condition) bool {
			return c.Type == kind && (c.Reason == reason || reason == "") && (c.Status == metav1.ConditionTrue || kind == api.ConditionReady)
		})
	}
	if v.reason == api.ReasonTokenCurrent && (holds(api.ConditionReconciling, "") || holds(api.ConditionStalled, "")) {
		return false // these decide then
	}
	return holds(v.condition, v.reason)
}

// The operator is brought to put a session into each state that it knows.
//
//nolint:tparallel // its parts follow each other
func TestHealthOfEachState(t *testing.T) {
	t.Parallel()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "states-"}}
	NewWithT(t).Expect(shared.admin.Create(t.Context(), namespace)).To(Succeed())
	worlds := map[string]*world{}
	var allowed []string
	for name, s := range states {
		worlds[name] = s.set(t, namespace.Name, name)
		allowed = append(allowed, worlds[name].vault.URL())
	}

	t.Run("before the operator has looked at them", func(t *testing.T) {
		for name, w := range worlds {
			expectHealth(t, w.in(t).live(t, name), status.InProgressStatus, progressing)
		}
	})
	op := startOperator(t, namespace.Name, "--allowed-endpoints="+strings.Join(allowed, ","))
	t.Run("one by one", func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(states)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				states[name].expect(t, worlds[name].in(t), name)
			})
		}
	})
	w := worlds["current"]
	t.Run("whatever is known of the refresh token", func(t *testing.T) { expectHealthWhateverIsRefreshable(t, w.in(t)) })
	t.Run("of a spec that the operator has not looked at", func(t *testing.T) { expectHealthOfNewSpec(t, w.in(t), op) })
	t.Run("on its way out", func(t *testing.T) {
		w := w.in(t)
		w.applySession(t, "somebody", "current", "  finalizers: [example.com/hold]\n")
		w.Expect(shared.admin.Delete(t.Context(), w.session(t, "current"))).To(Succeed())
		expectHealth(t, w.live(t, "current"), status.TerminatingStatus, progressing)
		w.applySession(t, "somebody", "current", "")
	})
}

// set makes what a state needs, and its session.
func (s state) set(t *testing.T, namespace, name string) *world {
	t.Helper()
	var options []func(*secretservertest.Options)
	if s.vault != nil {
		options = append(options, s.vault)
	}
	w := newVault(t, namespace, name+"-ca", options...)
	w.create(t, &corev1.Secret{
		ObjectMeta: w.named(accountOf(name)),
		StringData: map[string]string{"username": username, "password": password, "otp": otpSeed},
	})
	if s.prepare != nil {
		s.prepare(t, w, name)
	}
	session := &api.SecretServerSession{ObjectMeta: w.named(name), Spec: api.SecretServerSessionSpec{
		Endpoint:    api.Endpoint{URL: w.vault.URL(), CABundleRef: &api.CABundleReference{Name: name + "-ca"}},
		Credentials: api.Credentials{SecretRef: api.SecretReference{Name: accountOf(name)}},
	}}
	if s.session != nil {
		s.session(session)
	}
	w.create(t, session)
	return w
}

// expect waits until the session is in its state, and checks its health.
func (s state) expect(t *testing.T, w *world, name string) {
	t.Helper()
	if s.spoil != nil {
		w.becomesReady(t, name)
		s.spoil(t, w, name)
	}
	var live *unstructured.Unstructured
	w.Eventually(func() string {
		live = w.live(t, name) // the one that is looked at is the one that is judged
		session := &api.SecretServerSession{}
		w.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, session)).To(Succeed())
		if inState(session, s.verdict) {
			return ""
		}
		return fmt.Sprintf("%+v", session.Status.Conditions)
	}).Should(BeEmpty(), "the operator says %s %s", s.condition, s.reason)
	expectHealth(t, live, s.kstatus, s.argo)
}

// expectHealthWhateverIsRefreshable takes a session that is current, and has it say each thing that can be said of its refresh token.
func expectHealthWhateverIsRefreshable(t *testing.T, w *world) {
	t.Helper()
	for reason, holds := range refreshable {
		live := w.live(t, "current")
		conditions, _, err := unstructured.NestedSlice(live.Object, "status", "conditions")
		w.Expect(err).NotTo(HaveOccurred())
		for _, c := range conditions {
			if c, ok := c.(map[string]any); ok && c["type"] == api.ConditionRefreshable {
				c["status"], c["reason"] = string(holds), reason
			}
		}
		w.Expect(conditions).To(ContainElement(HaveKeyWithValue("reason", reason)))
		w.Expect(unstructured.SetNestedSlice(live.Object, conditions, "status", "conditions")).To(Succeed())
		expectHealth(t, live, status.CurrentStatus, healthy)
	}
}

// expectHealthOfNewSpec changes a spec while the operator is paused.
func expectHealthOfNewSpec(t *testing.T, w *world, op *operator.Process) {
	t.Helper()
	w.Expect(op.Pause()).To(Succeed())
	patched(`{"spec": {"refresh": {"percent": 50}}}`)(t, w, "current")
	expectHealth(t, w.live(t, "current"), status.InProgressStatus, progressing)
	w.Expect(op.Continue()).To(Succeed())
	w.becomesReady(t, "current")
	expectHealth(t, w.live(t, "current"), status.CurrentStatus, healthy)
}
