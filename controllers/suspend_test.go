package controllers_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func suspended(s *api.SecretServerSession) { s.Spec.Suspend = true }

func resumed(s *api.SecretServerSession) { s.Spec.Suspend = false }

// asked asks for a renewal.
func asked(value string) func(*api.SecretServerSession) {
	return func(s *api.SecretServerSession) {
		s.Annotations = map[string]string{api.AnnotationRefreshRequested: value}
	}
}

// observed waits until the status describes the spec as it is now.
func observed(ctx context.Context, s *api.SecretServerSession) {
	GinkgoHelper()
	Eventually(func() int64 { return status(ctx, s)().ObservedGeneration }).Should(Equal(s.Generation))
}

// grants counts what Secret Server was asked for.
func (w *world) grants() map[secretservertest.Operation]int {
	stats := w.vault.Stats()
	return map[secretservertest.Operation]int{
		secretservertest.Password: stats.Granted(secretservertest.Password),
		secretservertest.Refresh:  stats.Granted(secretservertest.Refresh),
	}
}

func logins(n int) map[secretservertest.Operation]int { return loginsAndRefreshes(n, 0) }

func loginsAndRefreshes(logins, refreshes int) map[secretservertest.Operation]int {
	return map[secretservertest.Operation]int{secretservertest.Password: logins, secretservertest.Refresh: refreshes}
}

var _ = Describe("A suspended session", func() {
	It("makes no calls, keeps its token until it expires, and goes on when it is resumed", func(ctx SpecContext) {
		w := newWorld(ctx, shortLived)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		update(ctx, s, suspended)
		observed(ctx, s)
		before := w.secret(ctx, "billing")
		w.vault.ResetStats()

		By("staying ready, with no renewal planned")
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready))
		Expect(status(ctx, s)().NextRefreshAt).To(BeNil())
		Expect(condition(ctx, s, api.ConditionReconciling)()).To(Equal("Reconciling absent"))
		Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal("Stalled absent"))

		By("still repairing its target")
		Expect(admin.Delete(ctx, before.DeepCopy())).To(Succeed())
		Eventually(w.token(ctx, "billing")).WithTimeout(time.Second).Should(Equal(string(before.Data[api.TargetKeyToken])))

		By("letting the token expire")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal("Ready=False " + api.ReasonSuspended))
		Expect(message(ctx, s, api.ConditionReady)).To(ContainSubstring("Set spec.suspend to false"))
		Expect(w.vault.TokenValid(string(before.Data[api.TargetKeyToken]))).To(BeFalse(), "not before its time")
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")

		By("renewing at once when it is resumed")
		update(ctx, s, resumed)
		Eventually(condition(ctx, s, api.ConditionReady)).WithTimeout(3 * time.Second).Should(Equal(ready))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(0, 1)), "the refresh token was still good")
	})

	It("that never had a token makes no calls until it is resumed", func(ctx SpecContext) {
		w := newWorld(ctx)
		op := startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing", suspended)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal("Ready=False " + api.ReasonSuspended))
		Expect(message(ctx, s, api.ConditionReady)).To(ContainSubstring("Set spec.suspend to false"))
		op.requests.reset()

		update(ctx, s, asked("now"))
		w.setPassword(ctx, "account", password)
		Consistently(op.requests.made).WithTimeout(2 * time.Second).Should(BeEmpty())
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
		Expect(w.secret(ctx, "billing")).To(BeNil())

		update(ctx, s, resumed)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.grants()).To(Equal(logins(1)), "the login is what was asked for, too")
		Expect(status(ctx, s)().LastHandledRefreshRequest).To(Equal("now"))
	})

	It("stops trying a Secret Server that fails, and tries again when it is resumed", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.vault.Down()
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal("Ready=False " + api.ReasonEndpointUnavailable))
		update(ctx, s, suspended)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal("Ready=False " + api.ReasonSuspended))
		Expect(condition(ctx, s, api.ConditionReconciling)()).To(Equal("Reconciling absent"))

		Expect(w.vault.Up()).To(Succeed())
		Consistently(func() map[string]int { return w.vault.Stats().Requests }).WithTimeout(3 * time.Second).Should(BeEmpty())

		update(ctx, s, resumed)
		Eventually(condition(ctx, s, api.ConditionReady)).WithTimeout(3 * time.Second).Should(Equal(ready))
	})

	It("does not send a refused password again by being resumed", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.setPassword(ctx, "account", "MARKER-wrong")
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))

		update(ctx, s, suspended)
		observed(ctx, s)
		update(ctx, s, resumed)
		observed(ctx, s)
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))
		Expect(w.vault.Stats().FailedLogins).To(Equal(map[string]int{username: 1}))
	})
})

var _ = Describe("The refresh annotation", func() {
	var (
		w  *world
		op *operator
		s  *api.SecretServerSession
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
	})
	handled := func(ctx context.Context) func() string {
		return func() string { return status(ctx, s)().LastHandledRefreshRequest }
	}

	It("asks for one renewal per value", func(ctx SpecContext) {
		before := w.token(ctx, "billing")()
		update(ctx, s, asked("first"))
		Eventually(handled(ctx)).Should(Equal("first"))
		Expect(w.token(ctx, "billing")()).NotTo(Equal(before))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 1)))

		By("doing nothing for the same value, also when it is taken away and set again")
		update(ctx, s, func(s *api.SecretServerSession) { s.Annotations["note"] = "beside it" })
		update(ctx, s, func(s *api.SecretServerSession) { s.Annotations = nil })
		update(ctx, s, asked("first"))
		Consistently(w.grants).WithTimeout(2 * time.Second).Should(Equal(loginsAndRefreshes(1, 1)))
		Expect(handled(ctx)()).To(Equal("first"))

		By("renewing once more for another value")
		update(ctx, s, asked("second"))
		Eventually(handled(ctx)).Should(Equal("second"))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 2)))
	})

	It("is remembered by the next operator", func(ctx SpecContext) {
		update(ctx, s, asked("first"))
		Eventually(handled(ctx)).Should(Equal("first"))
		op.stop()
		w.vault.ResetStats()

		again := startOperator(inNamespaces(w.namespace))
		Consistently(again.writes).WithTimeout(2 * time.Second).Should(BeEmpty())
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
	})

	It("is acted on by the next operator if nobody was there to see it", func(ctx SpecContext) {
		op.stop()
		update(ctx, s, asked("meanwhile"))
		startOperator(inNamespaces(w.namespace))
		Eventually(handled(ctx)).Should(Equal("meanwhile"))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 1)))
	})

	It("is one attempt, whether it succeeds or not", func(ctx SpecContext) {
		w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Refresh, Effect: secretservertest.Status, Status: 500, Count: 1})
		update(ctx, s, asked("first"))
		Eventually(handled(ctx)).Should(Equal("first"))
		Eventually(w.grants).Should(Equal(logins(2)), "a login follows the refresh that failed")
		Consistently(w.grants).WithTimeout(2 * time.Second).Should(Equal(logins(2)))
	})

	It("leads to a renewal in the end, though it failed in the very second of the login", func(ctx SpecContext) {
		w.vault.Down()
		update(ctx, s, asked("first"))
		Eventually(handled(ctx)).Should(Equal("first"))
		Expect(w.vault.Up()).To(Succeed())
		Eventually(w.grants).WithTimeout(inSecondsOfTheBackoff).Should(Equal(loginsAndRefreshes(1, 1)))
		Eventually(condition(ctx, s, api.ConditionReconciling)).Should(Equal("Reconciling absent"))
	})

	It("may hold any text, however long, and still asks once", func(ctx SpecContext) {
		long := strings.Repeat("é \"\\", 50_000)
		update(ctx, s, asked(long))
		Eventually(handled(ctx)).ShouldNot(BeEmpty())
		Expect(len(handled(ctx)())).To(BeNumerically("<=", 1024), "the status does not grow with it")
		Consistently(w.grants).WithTimeout(2 * time.Second).Should(Equal(loginsAndRefreshes(1, 1)))

		update(ctx, s, asked(long+"!"))
		Eventually(w.grants).Should(Equal(loginsAndRefreshes(1, 2)), "a value that differs at its end only is another")
	})

	It("is the only one that causes a call: all other annotations and labels do nothing", func(ctx SpecContext) {
		op.rest()
		w.vault.ResetStats()
		for _, body := range []string{
			`{"metadata":{"annotations":{"example.com/note":"x"}}}`,
			`{"metadata":{"annotations":{"secretserver.tokensync.dev/refresh":"x","refresh-requested-at":"x"}}}`,
			`{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-02T03:04:05Z"}}}`,
			`{"metadata":{"labels":{"team":"payments"}}}`,
			`{"metadata":{"labels":{"secretserver.tokensync.dev/refresh-requested-at":"x"}}}`,
			`{"metadata":{"annotations":{"secretserver.tokensync.dev/refresh-requested-at":""}}}`,
		} {
			Expect(admin.Patch(ctx, s, client.RawPatch(types.MergePatchType, []byte(body)))).To(Succeed())
		}
		Consistently(op.writes).WithTimeout(2 * time.Second).Should(BeEmpty())
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
	})
})
