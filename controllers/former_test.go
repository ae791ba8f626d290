package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

var _ = Describe("A token that was replaced", func() {
	var (
		w      *world
		op     *operator
		s      *api.SecretServerSession
		former string
	)
	begin := func(ctx context.Context, policy func(*api.SecretServerSession)) {
		GinkgoHelper()
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing", policy)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		former = w.token(ctx, "billing")()
	}
	// elsewhere is a second Secret Server, whose CA joins the first one's in the bundle.
	elsewhere := func(ctx context.Context) *world {
		GinkgoHelper()
		other := newWorld(ctx)
		bundle := &corev1.ConfigMap{}
		Expect(admin.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: "vault-ca"}, bundle)).To(Succeed())
		bundle.Data["ca.crt"] += string(other.vault.CA())
		Expect(admin.Update(ctx, bundle)).To(Succeed())
		return other
	}
	movedTo := func(other *world) func(*api.SecretServerSession) {
		return func(s *api.SecretServerSession) { s.Spec.Endpoint.URL = other.vault.URL() }
	}
	// forgotten expects that nothing of the former token is kept.
	forgotten := func(ctx context.Context) {
		GinkgoHelper()
		Eventually(func() map[string][]byte { return w.secret(ctx, "billing-session").Data }).ShouldNot(HaveKey("formerAccessToken"))
		Expect(w.secret(ctx, "billing-session").Annotations).To(HaveEach(Not(ContainSubstring("former"))))
	}

	It("by that of another endpoint is revoked at the old one, once the new one is in the target", func(ctx SpecContext) {
		begin(ctx, revoking)
		other := elsewhere(ctx)
		// The old server takes its time, so that the order can be seen.
		w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Revoke, Delay: 500 * time.Millisecond, Count: 1})
		update(ctx, s, movedTo(other))
		Eventually(w.token(ctx, "billing")).ShouldNot(Equal(former))
		Expect(w.vault.TokenValid(former)).To(BeTrue(), "not before the new one is published")
		Expect(other.vault.TokenValid(w.token(ctx, "billing")())).To(BeTrue())
		Eventually(func() bool { return w.vault.TokenValid(former) }).Should(BeFalse())
		forgotten(ctx)
		Eventually(w.notes(ctx, api.EventRevoked)).Should(Equal([]string{"The former access token was revoked at " + w.vault.URL() + "."}))
		Expect(other.vault.Stats().Revocations).To(BeZero())
		Expect(status(ctx, s)().LoginCount).To(BeEquivalentTo(2))
		Expect(op.counted()).To(Equal(map[string]int{"Succeeded": 1}))
	})

	It("by that of another password is revoked, and by a renewal it is not", func(ctx SpecContext) {
		begin(ctx, revoking)
		update(ctx, s, asked("now"))
		Eventually(w.token(ctx, "billing")).ShouldNot(Equal(former))
		Expect(w.vault.TokenValid(former)).To(BeTrue())
		renewed := w.token(ctx, "billing")()

		Expect(w.vault.AddAccount(secretservertest.Account{Username: "other", Password: password})).To(Succeed())
		w.createCredentials(ctx, "other-account", "other", password)
		update(ctx, s, func(s *api.SecretServerSession) { s.Spec.Credentials.SecretRef.Name = "other-account" })
		Eventually(func() bool { return w.vault.TokenValid(renewed) }).Should(BeFalse())
		forgotten(ctx)
		Expect(w.vault.Stats().Revocations).To(Equal(1))
		Expect(w.vault.TokenValid(w.token(ctx, "billing")())).To(BeTrue())
	})

	It("is retained, and not kept, with the policy Retain", func(ctx SpecContext) {
		begin(ctx, retaining)
		other := elsewhere(ctx)
		update(ctx, s, movedTo(other))
		Eventually(w.token(ctx, "billing")).ShouldNot(Equal(former))
		Expect(w.secret(ctx, "billing-session").Data).NotTo(HaveKey("formerAccessToken"))
		Expect(w.vault.TokenValid(former)).To(BeTrue())
		Expect(op.counted()).To(BeEmpty())
	})

	It("is given up if its server does not answer, and the news of the new one does not wait for that", func(ctx SpecContext) {
		begin(ctx, revoking)
		other := elsewhere(ctx)
		w.vault.Down()
		update(ctx, s, movedTo(other))
		observed(ctx, s)
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready))
		forgotten(ctx)
		Eventually(w.notes(ctx, api.EventRevokeFailed)).Should(HaveExactElements(
			ContainSubstring("The former access token was not revoked at " + w.vault.URL() + ": connection refused. It stays valid there until")))
	})

	It("is given up if the operator may not connect to its server", func(ctx SpecContext) {
		begin(ctx, revoking)
		other := elsewhere(ctx)
		op.stop()
		update(ctx, s, movedTo(other))
		allowed, err := controllers.ParseAllowedEndpoints([]string{other.vault.URL()})
		Expect(err).NotTo(HaveOccurred())
		startOperator(inNamespaces(w.namespace), func(o *operatorOptions) { o.AllowedEndpoints = allowed })
		Eventually(w.notes(ctx, api.EventRevokeFailed)).Should(HaveExactElements(ContainSubstring("--allowed-endpoints")))
		forgotten(ctx)
		Expect(w.vault.TokenValid(former)).To(BeTrue())
	})

	It("is revoked by the next operator if this one dies after it was replaced", func(ctx SpecContext) {
		begin(ctx, revoking)
		other := elsewhere(ctx)
		w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Revoke, Delay: time.Hour})
		update(ctx, s, movedTo(other))
		Eventually(func() int { return w.vault.Stats().InFlight }).Should(Equal(1), "the revocation is under way")
		Expect(w.token(ctx, "billing")()).NotTo(Equal(former))
		op.stop()
		Expect(w.secret(ctx, "billing-session").Data).To(HaveKeyWithValue("formerAccessToken", []byte(former)))
		Expect(w.vault.TokenValid(former)).To(BeTrue())
		Expect(op.counted()).To(BeEmpty(), "nothing has come of it yet")

		w.vault.ClearFaults()
		startOperator(inNamespaces(w.namespace))
		Eventually(func() bool { return w.vault.TokenValid(former) }).Should(BeFalse())
		forgotten(ctx)
	})

	It("is kept while the session is suspended, and revoked when it is resumed", func(ctx SpecContext) {
		begin(ctx, revoking)
		other := elsewhere(ctx)
		other.vault.Inject(secretservertest.Fault{Operation: secretservertest.Password, Delay: time.Second, Count: 1})
		update(ctx, s, movedTo(other))
		Eventually(func() int { return other.vault.Stats().InFlight }).Should(Equal(1))
		update(ctx, s, suspended)
		Eventually(w.token(ctx, "billing")).ShouldNot(Equal(former))
		observed(ctx, s)
		Expect(w.secret(ctx, "billing-session").Data).To(HaveKeyWithValue("formerAccessToken", []byte(former)))
		Expect(w.vault.Stats().Requests).NotTo(HaveKey("/api/v1/oauth-expiration"))

		update(ctx, s, resumed)
		Eventually(func() bool { return w.vault.TokenValid(former) }).Should(BeFalse())
		forgotten(ctx)
	})

	It("is revoked with its successor when the session is deleted first", func(ctx SpecContext) {
		begin(ctx, revoking)
		other := elsewhere(ctx)
		other.vault.Inject(secretservertest.Fault{Operation: secretservertest.Password, Delay: time.Second, Count: 1})
		update(ctx, s, movedTo(other))
		Eventually(func() int { return other.vault.Stats().InFlight }).Should(Equal(1))
		Expect(admin.Delete(ctx, s)).To(Succeed())
		Eventually(gone(ctx, s)).Should(BeTrue())
		Expect(w.vault.TokenValid(former)).To(BeFalse())
		Expect(w.vault.Stats().Revocations).To(Equal(1))
		Expect(other.vault.Stats().Revocations).To(Equal(1))
		Eventually(w.notes(ctx, api.EventRevoked)).Should(HaveLen(1))
	})
})
