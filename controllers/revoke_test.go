package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func revoking(s *api.SecretServerSession) { s.Spec.DeletionPolicy = api.DeletionRevoke }

func retaining(s *api.SecretServerSession) { s.Spec.DeletionPolicy = api.DeletionRetain }

// finalizers of a session as the API server has them; nil if it is gone.
func finalizers(ctx context.Context, s *api.SecretServerSession) func() []string {
	return func() []string {
		read := &api.SecretServerSession{}
		if err := admin.Get(ctx, client.ObjectKeyFromObject(s), read); err != nil {
			Expect(client.IgnoreNotFound(err)).NotTo(HaveOccurred())
			return nil
		}
		return read.Finalizers
	}
}

// gone reports whether a session is there no more.
func gone(ctx context.Context, s *api.SecretServerSession) func() bool {
	return func() bool {
		return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(s), &api.SecretServerSession{}))
	}
}

// counted are an operator's revocations by result, without the results that did not come.
func (o *operator) counted() map[string]int {
	GinkgoHelper()
	families, err := o.metrics.Gather()
	Expect(err).NotTo(HaveOccurred())
	found := map[string]int{}
	for _, family := range families {
		if family.GetName() != controllers.MetricRevocations {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := int(m.GetCounter().GetValue()); n > 0 {
				found[m.GetLabel()[0].GetValue()] = n
			}
		}
	}
	return found
}

var _ = Describe("A session with the deletion policy Revoke", func() {
	var (
		w  *world
		op *operator
		s  *api.SecretServerSession
	)
	begin := func(ctx context.Context, change ...func(*secretservertest.Options)) {
		GinkgoHelper()
		w = newWorld(ctx, change...)
		op = startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing", revoking)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
	}
	remove := func(ctx context.Context, options ...client.DeleteOption) {
		GinkgoHelper()
		Expect(admin.Delete(ctx, s, options...)).To(Succeed())
	}
	// letGo expects that the session goes, soon, and that nothing was revoked, for a reason that an event tells.
	letGo := func(ctx context.Context, why string) {
		GinkgoHelper()
		Eventually(gone(ctx, s)).WithTimeout(15 * time.Second).Should(BeTrue())
		Eventually(w.notes(ctx, api.EventRevokeFailed)).Should(HaveExactElements(ContainSubstring(why)))
		Expect(w.notes(ctx, api.EventRevoked)()).To(BeEmpty())
		Expect(w.vault.Stats().Revocations).To(BeZero())
	}
	calls := func() int { return w.vault.Stats().Requests["/api/v1/oauth-expiration"] }

	It("has its token revoked when it is deleted, at the cost of one finalizer", func(ctx SpecContext) {
		begin(ctx)
		token := w.token(ctx, "billing")()
		Expect(finalizers(ctx, s)()).To(Equal([]string{api.FinalizerRevoke}))
		own := "PATCH /apis/secretserver.tokensync.dev/v1alpha1/namespaces/" + w.namespace + "/secretserversessions/billing?fieldManager=" + api.ManagedBy
		made := op.requests.made()
		Expect(op.writes()[0]).To(HavePrefix(own), "before any token is had")
		Expect(strings.Count(strings.Join(made, "\n"), own)).To(Equal(1))
		Expect(made).NotTo(ContainElement(HavePrefix("GET /apis/secretserver")), "no other request for the session itself")
		update(ctx, s, asked("now"))
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal("now"))
		Expect(strings.Count(strings.Join(op.requests.made(), "\n"), own)).To(Equal(1), "once in its life")
		renewed := w.token(ctx, "billing")()
		Expect(renewed).NotTo(Equal(token))

		remove(ctx)
		Eventually(gone(ctx, s)).Should(BeTrue())
		Expect(w.vault.TokenValid(renewed)).To(BeFalse(), "revoked before the session went")
		Expect(w.vault.Stats().Revocations).To(Equal(1))
		Eventually(w.notes(ctx, api.EventRevoked)).Should(Equal([]string{"The access token was revoked at " + w.vault.URL() + "."}))
		Expect(op.counted()).To(Equal(map[string]int{"Succeeded": 1}))
	})

	It("is let go, soon, though its server is down", func(ctx SpecContext) {
		begin(ctx)
		expires := status(ctx, s)().TokenExpiresAt.UTC().Format(time.RFC3339)
		w.vault.Down()
		remove(ctx)
		letGo(ctx, "was not revoked at "+w.vault.URL()+": connection refused. It stays valid there until "+expires)
		Expect(op.counted()).To(Equal(map[string]int{"Failed": 1}))
	})

	It("is let go though its server refuses, with the answer's status", func(ctx SpecContext) {
		begin(ctx)
		w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Revoke, Effect: secretservertest.Reflect, Status: http.StatusInternalServerError})
		remove(ctx)
		letGo(ctx, "HTTP status 500")
		Expect(calls()).To(Equal(1), "one attempt")
	})

	It("loses the finalizer when the policy is switched off, and its token is retained", func(ctx SpecContext) {
		begin(ctx)
		token := w.token(ctx, "billing")()
		update(ctx, s, retaining)
		Eventually(finalizers(ctx, s)).Should(BeEmpty())
		remove(ctx)
		Eventually(gone(ctx, s)).Should(BeTrue())
		Expect(calls()).To(BeZero())
		Expect(w.vault.TokenValid(token)).To(BeTrue())
		Expect(op.counted()).To(BeEmpty())
		Expect(events(ctx, w)()).To(HaveEach(ContainSubstring(api.EventLoggedIn)))
	})

	It("gets the finalizer when the policy is switched on, beside those of others, and nothing else is asked of the API server", func(ctx SpecContext) {
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing", func(s *api.SecretServerSession) { s.Finalizers = []string{"example.com/theirs"} })
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(finalizers(ctx, s)()).To(Equal([]string{"example.com/theirs"}), "none where it is not asked for")
		Expect(strings.Join(op.requests.made(), "\n")).NotTo(ContainSubstring("secretserversessions/billing?"))

		update(ctx, s, revoking)
		Eventually(finalizers(ctx, s)).Should(Equal([]string{"example.com/theirs", api.FinalizerRevoke}))
		remove(ctx)
		Eventually(finalizers(ctx, s)).Should(Equal([]string{"example.com/theirs"}), "those of others stay")
		Expect(w.vault.Stats().Revocations).To(Equal(1))
		update(ctx, s, func(s *api.SecretServerSession) { s.Finalizers = nil })
		Eventually(gone(ctx, s)).Should(BeTrue())
	})

	It("gets its finalizer back when somebody takes it away", func(ctx SpecContext) {
		begin(ctx)
		Expect(admin.Patch(ctx, s, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(Succeed())
		Eventually(finalizers(ctx, s)).Should(Equal([]string{api.FinalizerRevoke}))
	})

	It("makes no call when it is deleted while suspended", func(ctx SpecContext) {
		begin(ctx)
		update(ctx, s, suspended)
		observed(ctx, s)
		remove(ctx)
		letGo(ctx, "spec.suspend is true, so no call was made. It stays valid there until")
		Expect(calls()).To(BeZero())
		Expect(op.counted()).To(Equal(map[string]int{"Skipped": 1}))
	})

	It("is revoked by the next operator if this one is stopped meanwhile", func(ctx SpecContext) {
		begin(ctx)
		w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Revoke, Delay: time.Hour})
		remove(ctx)
		Eventually(func() int { return w.vault.Stats().InFlight }).Should(Equal(1))
		stopping := time.Now()
		op.stop()
		Expect(time.Since(stopping)).To(BeNumerically("<", 8*time.Second), "it does not wait for the answer")
		Expect(finalizers(ctx, s)()).To(Equal([]string{api.FinalizerRevoke}))
		Expect(op.counted()).To(BeEmpty())

		w.vault.ClearFaults()
		op = startOperator(inNamespaces(w.namespace))
		Eventually(gone(ctx, s)).Should(BeTrue())
		Expect(w.vault.Stats().Revocations).To(Equal(1))
	})

	It("needs no call when its token has expired", func(ctx SpecContext) {
		begin(ctx, func(o *secretservertest.Options) { o.TokenLifetime = 2 * time.Second })
		update(ctx, s, suspended)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal("Ready=False " + api.ReasonSuspended))
		Eventually(time.Now).Should(BeTemporally(">", status(ctx, s)().TokenExpiresAt.Add(time.Second)), "the status tells whole seconds")
		remove(ctx)
		Eventually(gone(ctx, s)).Should(BeTrue())
		Expect(calls()).To(BeZero())
		Expect(op.counted()).To(BeEmpty())
		Expect(output.String()).NotTo(MatchRegexp(`"event":"Revoke[^"]*"[^\n]*` + w.namespace + `|` + w.namespace + `[^\n]*"event":"Revoke`))
	})

	It("is let go at once if it never had a token", func(ctx SpecContext) {
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing", revoking, suspended)
		Eventually(finalizers(ctx, s)).Should(Equal([]string{api.FinalizerRevoke}))
		remove(ctx)
		Eventually(gone(ctx, s)).Should(BeTrue())
		Expect(op.counted()).To(BeEmpty())
	})

	It("is let go though its state Secret was deleted first, as happens when a namespace is deleted", func(ctx SpecContext) {
		begin(ctx)
		op.stop()
		remove(ctx)
		Expect(admin.Delete(ctx, w.secret(ctx, "billing-session"))).To(Succeed())
		Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed())
		Consistently(gone(ctx, s)).WithTimeout(200*time.Millisecond).Should(BeFalse(), "without the operator nothing lets it go")
		op = startOperator(inNamespaces(w.namespace))
		letGo(ctx, "the state Secret that held it is gone or cannot be read. It stays valid there until")
		Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(1), "no login for what is going away")
	})

	It("is let go though its state Secret cannot be read", func(ctx SpecContext) {
		begin(ctx)
		op.stop()
		state := w.secret(ctx, "billing-session")
		state.Data["accessToken"] = []byte("something else")
		Expect(admin.Update(ctx, state)).To(Succeed())
		remove(ctx)
		op = startOperator(inNamespaces(w.namespace))
		letGo(ctx, "gone or cannot be read")
		Expect(calls()).To(BeZero())
	})

	It("is let go though the operator may no longer connect to its server", func(ctx SpecContext) {
		begin(ctx)
		op.stop()
		remove(ctx)
		allowed, err := controllers.ParseAllowedEndpoints([]string{"https://elsewhere.example.com"})
		Expect(err).NotTo(HaveOccurred())
		op = startOperator(inNamespaces(w.namespace), func(o *operatorOptions) { o.AllowedEndpoints = allowed })
		letGo(ctx, "the operator's --allowed-endpoints does not cover the URL")
		Expect(calls()).To(BeZero())
	})

	It("is let go though its CA bundle has gone", func(ctx SpecContext) {
		begin(ctx)
		op.stop()
		Expect(admin.Delete(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "vault-ca"}})).To(Succeed())
		remove(ctx)
		op = startOperator(inNamespaces(w.namespace))
		letGo(ctx, "the CA bundle that spec.endpoint.caBundleRef names cannot be used")
		Expect(calls()).To(BeZero())
	})

	It("is revoked in a foreground deletion, whose own finalizer stays", func(ctx SpecContext) {
		begin(ctx)
		remove(ctx, client.PropagationPolicy(metav1.DeletePropagationForeground))
		Eventually(finalizers(ctx, s)).Should(Equal([]string{metav1.FinalizerDeleteDependents}))
		Expect(w.vault.Stats().Revocations).To(Equal(1))
		Expect(w.vault.TokenValid(w.token(ctx, "billing")())).To(BeFalse())
		update(ctx, s, func(s *api.SecretServerSession) { s.Finalizers = nil })
	})

	It("goes in no time with dozens of others, though their server answers none of them", func(ctx SpecContext) {
		const sessions = 48
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
		var all []*api.SecretServerSession
		for i := range sessions {
			all = append(all, w.create(ctx, fmt.Sprintf("billing-%02d", i), revoking))
		}
		for _, each := range all {
			Eventually(condition(ctx, each, api.ConditionReady)).Should(Equal(ready), each.Name)
		}
		w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Revoke, Delay: time.Hour})
		Expect(admin.DeleteAllOf(ctx, &api.SecretServerSession{}, client.InNamespace(w.namespace))).To(Succeed())
		left := func() int {
			list := &api.SecretServerSessionList{}
			Expect(admin.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
			return len(list.Items)
		}
		Eventually(left).WithTimeout(30 * time.Second).Should(BeZero())
		counted := op.counted()
		Expect(counted["Failed"]+counted["Skipped"]).To(Equal(sessions), "each has its outcome")
		Expect(counted["Failed"]).To(BeNumerically("<=", 8), "half of the workers waited for an answer, and nobody after them")
		Eventually(w.notes(ctx, api.EventRevokeFailed)).Should(And(HaveLen(sessions),
			ContainElement(ContainSubstring(": timed out.")), ContainElement(ContainSubstring("did not answer another revocation a moment ago"))))
	})
})
