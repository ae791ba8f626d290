package controllers_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

var _ = Describe("The cost of a session", func() {
	It("is four writes and one HTTPS request per refresh", func(ctx SpecContext) {
		w := newWorld(ctx, shortLived)
		op := startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		op.rest()
		w.vault.ResetStats()

		Eventually(func() int64 { return status(ctx, s)().RefreshCount }).Should(BeEquivalentTo(1))

		path := "/api/v1/namespaces/" + w.namespace + "/secrets/"
		manager := "fieldManager=" + api.ManagedBy
		Expect(op.requests.made()).To(Equal([]string{
			"PATCH " + path + "billing-session?" + manager, // claim
			"PUT " + path + "billing-session?" + manager,   // store
			"PATCH " + path + "billing?" + manager + "&force=true",
			"PATCH /apis/secretserver.tokensync.dev/v1alpha1/namespaces/" + w.namespace +
				"/secretserversessions/billing/status?" + manager + "&force=true",
		}))
		Expect(w.vault.Stats().Requests).To(Equal(map[string]int{"/oauth2/token": 1}))
	})

	It("is nothing at all while the token is not due", func(ctx SpecContext) {
		w := newWorld(ctx)
		op := startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		op.rest()
		w.vault.ResetStats()

		Consistently(func() []string { return op.requests.made() }).
			WithTimeout(soakTime()).WithPolling(time.Second).Should(BeEmpty())
		Expect(w.vault.Stats().Requests).To(BeEmpty())
	}, NodeTimeout(20*time.Minute))

	It("is no request to Secret Server and no write when the operator starts again", func(ctx SpecContext) {
		w := newWorld(ctx)
		op := startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		op.stop()
		w.vault.ResetStats()

		again := startOperator(inNamespaces(w.namespace))
		Consistently(again.writes).WithTimeout(3 * time.Second).Should(BeEmpty())
		Expect(w.vault.Stats().Requests).To(BeEmpty())

		By("and it still renews when asked")
		update(ctx, s, func(s *api.SecretServerSession) {
			s.Annotations = map[string]string{api.AnnotationRefreshRequested: "now"}
		})
		Eventually(func() int { return w.vault.Stats().Granted(secretservertest.Refresh) }).Should(Equal(1))
	})
})
