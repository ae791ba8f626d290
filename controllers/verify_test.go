package controllers_test

import (
	"context"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

const currentUser = "/api/v1/users/current"

// verifiedEachSecond is more often than the API lets users ask for; see allowQuickVerification.
func verifiedEachSecond(s *api.SecretServerSession) {
	s.Spec.Verification = &api.Verification{IntervalSeconds: 1}
}

// verifications counts those with a result.
func (o *operator) verifications(result string) func() int {
	return func() int {
		families, err := o.metrics.Gather()
		Expect(err).NotTo(HaveOccurred())
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				if family.GetName() == controllers.MetricVerifications && metric.GetLabel()[0].GetValue() == result {
					return int(metric.GetCounter().GetValue())
				}
			}
		}
		return 0
	}
}

// told counts the events of a kind in the log, which has each at once.
func told(w *world, reason string) int {
	n := 0
	for line := range strings.Lines(output.String()) {
		if strings.Contains(line, `"namespace":"`+w.namespace+`"`) && strings.Contains(line, `"event":"`+reason+`"`) {
			n++
		}
	}
	return n
}

// resourceVersion changes with each write of a session.
func resourceVersion(ctx context.Context, s *api.SecretServerSession) string {
	GinkgoHelper()
	read := &api.SecretServerSession{}
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(s), read)).To(Succeed())
	return read.ResourceVersion
}

const (
	expiredToken = "Ready=False " + api.ReasonTokenExpired
	tokenEnded   = "Secret Server no longer takes the token in the target, though its time was not over."
)

var _ = Describe("A token that is verified", func() {
	var (
		w      *world
		op     *operator
		s      *api.SecretServerSession
		before string // the token
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing", verifiedEachSecond)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before = w.token(ctx, "billing")()
	})
	// renewed waits for another token that Secret Server takes.
	renewed := func(ctx context.Context) {
		GinkgoHelper()
		Eventually(func() bool {
			now := w.token(ctx, "billing")()
			return now != before && w.vault.TokenValid(now)
		}).Should(BeTrue(), "the target holds another token, which is valid")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.vault.Stats().SpentRefreshTokensResent).To(BeZero())
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
	}

	It("costs one read, one HTTPS request and no write each time", func() {
		Eventually(op.verifications("Alive")).Should(BeNumerically(">=", 1))
		op.rest()
		w.vault.ResetStats()
		Eventually(func() int { return w.vault.Stats().Requests[currentUser] }).Should(BeNumerically(">=", 2))
		op.stop()

		made := w.vault.Stats().Requests
		Expect(made).To(HaveLen(1), "nothing else is asked of Secret Server: %v", made)
		read := "GET /api/v1/namespaces/" + w.namespace + "/secrets/billing-session"
		Expect(op.requests.made()).To(And(HaveLen(made[currentUser]), HaveEach(HavePrefix(read))))
		Expect(op.verifications("Dead")() + op.verifications("Unknown")()).To(BeZero())
	})

	It("is refreshed when an administrator has ended it, and is not called valid meanwhile", func(ctx SpecContext) {
		w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Refresh, Delay: time.Second, Count: 1})
		Expect(w.vault.ExpireToken(before)).To(BeTrue())

		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(expiredToken))
		Expect(message(ctx, s, api.ConditionReady)).To(And(HavePrefix(tokenEnded), HaveSuffix("Another one is on its way.")))
		renewed(ctx)
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 1)))
		Expect(op.verifications("Dead")()).To(Equal(1))
		Expect(events(ctx, w)()).NotTo(ContainElement(ContainSubstring(api.EventTokenExpired)))
		Expect(output.String()).To(ContainSubstring("Secret Server no longer takes the token"))
	})

	It("costs exactly one login when Secret Server was restored from a backup and knows no token any more", func(ctx SpecContext) {
		Expect(w.vault.RevokeAll()).To(Equal(2), "an access token and a refresh token")
		renewed(ctx)
		Expect(w.grants()).To(Equal(logins(2)))
		Expect(w.vault.Stats().Refused(secretservertest.Refresh)).To(Equal(1))
		Eventually(w.notes(ctx, api.EventLoggedIn)).Should(ContainElement(
			"Logged in with the password: Secret Server no longer took the token, though its time was not over, and Secret Server refused the refresh token."))
	})

	It("stops the session when it ended with a password that was changed, until the Secret is corrected", func(ctx SpecContext) {
		w.vault.Configure(func(o *secretservertest.Options) { o.PasswordChangeWipesTokens = true })
		w.vault.SetPassword(username, "MARKER-new")
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal("Ready=False " + api.ReasonCredentialsRejected))
		Expect(message(ctx, s, api.ConditionReady)).To(And(HavePrefix(tokenEnded), ContainSubstring("Correct the Secret")))
		Expect(message(ctx, s, api.ConditionStalled)).NotTo(ContainSubstring("stays in the target"))
		Consistently(func() []int {
			stats := w.vault.Stats()
			return []int{stats.Refused(secretservertest.Refresh), stats.FailedLogins[username], op.verifications("Dead")()}
		}).WithTimeout(1500*time.Millisecond).Should(Equal([]int{1, 1, 1}), "refused refreshes and logins, and verifications")
		Expect(w.vault.Locked(username)).To(BeFalse())

		w.setPassword(ctx, "account", "MARKER-new")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal("Stalled absent"))
		Expect(w.vault.TokenValid(w.token(ctx, "billing")())).To(BeTrue())
		Expect(w.vault.Stats().FailedLogins).To(Equal(map[string]int{username: 1}))
	})

	It("is found dead also while the wrong password stands in the Secret", func(ctx SpecContext) {
		w.setPassword(ctx, "account", "MARKER-wrong")
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready))
		Expect(w.vault.ExpireToken(before)).To(BeTrue())
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal("Ready=False " + api.ReasonCredentialsRejected))
		Expect(message(ctx, s, api.ConditionReady)).To(HavePrefix(tokenEnded))
		Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal(rejected))
		Expect(told(w, api.EventCredentialsRejected)).To(Equal(1), "it was stalled all the time")

		w.setPassword(ctx, "account", password)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 1)), "the refresh token is good again with the password that it came with")
	})

	It("says so while the renewal fails, and is not asked about again", func(ctx SpecContext) {
		w.vault.Inject(
			secretservertest.Fault{Operation: secretservertest.Refresh, Effect: secretservertest.Status, Status: http.StatusInternalServerError},
			secretservertest.Fault{Operation: secretservertest.Password, Effect: secretservertest.Status, Status: http.StatusInternalServerError})
		Expect(w.vault.ExpireToken(before)).To(BeTrue())
		Eventually(func() int32 { return status(ctx, s)().ConsecutiveFailures }).Should(BeNumerically(">=", 2))
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal("Ready=False " + api.ReasonEndpointUnavailable))
		Expect(message(ctx, s, api.ConditionReady)).To(And(HavePrefix(tokenEnded), HaveSuffix("It is retried.")))
		Expect(op.verifications("Dead")()).To(Equal(1))

		By("starting again, which forgets nothing of it")
		op.stop()
		w.vault.ClearFaults()
		op = startOperator(inNamespaces(w.namespace))
		renewed(ctx)
		Expect(w.grants()).To(Equal(logins(2)))
	})

	DescribeTable("stays as it is after an answer that does not call it dead:",
		func(ctx SpecContext, result string, spoil func(), mend func()) {
			op.rest()
			version := resourceVersion(ctx, s)
			spoil()
			told := op.verifications(result)()
			Eventually(op.verifications(result)).Should(BeNumerically(">", told))
			Expect(resourceVersion(ctx, s)).To(Equal(version), "no write")
			Expect(op.writes()).To(BeEmpty())
			Expect(w.grants()).To(Equal(logins(1)))
			Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready))

			mend()
			alive := op.verifications("Alive")()
			Eventually(op.verifications("Alive")).Should(BeNumerically(">", alive))
			Expect(op.verifications("Dead")()).To(BeZero())
			Expect(w.token(ctx, "billing")()).To(Equal(before))
		},
		Entry("none, for the server is down", "Unknown", func() { w.vault.Down() }, func() { Expect(w.vault.Up()).To(Succeed()) }),
		Entry("a 403 about rights", "Alive", func() {
			w.vault.Inject(secretservertest.Fault{
				Operation: secretservertest.Verify, Effect: secretservertest.Status, Status: http.StatusForbidden,
				Body: `{"message":"You do not have permission.","errorCode":"API_AccessDenied"}`,
			})
		}, func() { w.vault.ClearFaults() }),
	)

	It("is asked about again after an outage that no grant has met", func(ctx SpecContext) {
		w.vault.Down()
		Eventually(op.verifications("Unknown")).Should(BeNumerically(">=", 3))
		Expect(w.vault.Up()).To(Succeed())
		Expect(w.vault.ExpireToken(before)).To(BeTrue())
		renewed(ctx)
		Expect(op.verifications("Dead")()).To(Equal(1))
	})

	It("is left alone for as long as Secret Server asks", func() {
		w.vault.Inject(secretservertest.Fault{
			Operation: secretservertest.Verify, Effect: secretservertest.Status, Status: http.StatusTooManyRequests,
			Header: map[string]string{"Retry-After": "60"}, Count: 1,
		})
		Eventually(op.verifications("Unknown")).Should(Equal(1))
		asked := w.vault.Stats().Requests[currentUser]
		Consistently(func() int { return w.vault.Stats().Requests[currentUser] }).WithTimeout(1500 * time.Millisecond).Should(Equal(asked))
	})
})

var _ = Describe("A target whose token Secret Server ended", func() {
	// The condition of a session stays what it is until a new token stands in the target, not in the state alone.
	It("is not called valid again before it holds another one", func(ctx SpecContext) {
		w := newWorld(ctx)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing", verifiedEachSecond)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before := w.token(ctx, "billing")()

		By("making the target immutable")
		target := w.secret(ctx, "billing")
		target.Immutable = new(true)
		Expect(admin.Update(ctx, target)).To(Succeed())
		Expect(w.vault.ExpireToken(before)).To(BeTrue())
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal("Ready=False " + api.ReasonTargetConflict))
		Expect(message(ctx, s, api.ConditionReady)).To(HavePrefix(tokenEnded))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 1)))

		By("looking at it again")
		update(ctx, s, func(s *api.SecretServerSession) { s.Spec.Refresh.Percent = 50 })
		observed(ctx, s)
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal("Ready=False " + api.ReasonTargetConflict))
		Expect(message(ctx, s, api.ConditionReady)).To(HavePrefix(tokenEnded))

		By("deleting it")
		Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed())
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.vault.TokenValid(w.token(ctx, "billing")())).To(BeTrue())
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 1)))
	})
})
