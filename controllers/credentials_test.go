package controllers_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

const rejected = "Stalled=True " + api.ReasonCredentialsRejected

var _ = Describe("A refused password", func() {
	It("stops the session until the Secret is corrected", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.setPassword(ctx, "account", "MARKER-wrong")
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")

		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal("Ready=False " + api.ReasonCredentialsRejected))
		Consistently(func() map[string]int { return w.vault.Stats().FailedLogins }).
			WithTimeout(3 * time.Second).Should(Equal(map[string]int{username: 1}))
		Expect(status(ctx, s)().NextRefreshAt.Sub(status(ctx, s)().LastFailureAt.Time)).To(Equal(65 * time.Minute))
		Eventually(events(ctx, w)).Should(ContainElement("Warning " + api.EventCredentialsRejected))

		w.setPassword(ctx, "account", password)
		Eventually(condition(ctx, s, api.ConditionReady)).WithTimeout(5 * time.Second).Should(Equal(ready))
		Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal("Stalled absent"))
		Expect(status(ctx, s)().ConsecutiveFailures).To(BeZero())
	})

	It("is not tried again when only the Secret's labels change", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.setPassword(ctx, "account", "MARKER-wrong")
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))

		secret := w.secret(ctx, "account")
		Expect(admin.Patch(ctx, secret, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"touched":"yes"}}}`)))).To(Succeed())
		Consistently(func() map[string]int { return w.vault.Stats().FailedLogins }).
			WithTimeout(2 * time.Second).Should(Equal(map[string]int{username: 1}))
		Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal(rejected))
	})

	It("costs one bad login for fifty sessions that share the account, however often the operator starts", func(ctx SpecContext) {
		const sessions, starts = 50, 6
		w := newWorld(ctx)
		w.setPassword(ctx, "account", "MARKER-wrong")
		// A second Secret with the same content: it is the account that is shared, not the Secret.
		w.createCredentials(ctx, "copy", username, "MARKER-wrong")
		var all []*api.SecretServerSession
		for i := range sessions {
			all = append(all, w.create(ctx, fmt.Sprintf("billing-%02d", i), func(s *api.SecretServerSession) {
				if i%2 == 1 {
					s.Spec.Credentials.SecretRef.Name = "copy"
				}
			}))
		}
		stalled := func() int {
			n := 0
			for _, s := range all {
				if condition(ctx, s, api.ConditionStalled)() == rejected {
					n++
				}
			}
			return n
		}
		for start := range starts {
			op := startOperator(inNamespaces(w.namespace))
			if start == 0 {
				// The first one is stopped as soon as one refusal is stored.
				Eventually(stalled).Should(BeNumerically(">=", 1))
			} else {
				Eventually(stalled).Should(Equal(sessions))
			}
			op.stop()
			Expect(w.vault.Stats().FailedLogins).To(Equal(map[string]int{username: 1}), "after start %d", start+1)
		}
		Expect(w.vault.Locked(username)).To(BeFalse())

		startOperator(inNamespaces(w.namespace))
		w.setPassword(ctx, "account", password)
		w.setPassword(ctx, "copy", password)
		for _, s := range all {
			Eventually(condition(ctx, s, api.ConditionReady)).WithTimeout(10*time.Second).Should(Equal(ready), s.Name)
		}
		Expect(w.vault.Stats().FailedLogins).To(Equal(map[string]int{username: 1}))
	})
})

var _ = Describe("Changed credentials", func() {
	It("lead to a login with the new account at once", func(ctx SpecContext) {
		w := newWorld(ctx, func(o *secretservertest.Options) {
			o.Accounts = append(o.Accounts, secretservertest.Account{Username: "other", Password: "MARKER-other"})
		})
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before := w.token(ctx, "billing")()

		secret := w.secret(ctx, "account")
		secret.StringData = map[string]string{"username": "other", "password": "MARKER-other"}
		Expect(admin.Update(ctx, secret)).To(Succeed())
		Eventually(func() int { return w.vault.Stats().Granted(secretservertest.Password) }).
			WithTimeout(3 * time.Second).Should(Equal(2))
		Eventually(w.token(ctx, "billing")).ShouldNot(Equal(before))
		Expect(w.vault.Stats().LiveTokens["other"]).To(Equal(1))
	})

	It("that are refused leave the old token in place until its end", func(ctx SpecContext) {
		w := newWorld(ctx)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before := w.token(ctx, "billing")()

		w.setPassword(ctx, "account", "MARKER-wrong")
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready), "the old token is still valid")
		Expect(w.token(ctx, "billing")()).To(Equal(before))
		Expect(message(ctx, s, api.ConditionStalled)).To(ContainSubstring("stays in the target"))
	})

	It("are no reason to log in when only their metadata changed", func(ctx SpecContext) {
		w := newWorld(ctx)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))

		secret := w.secret(ctx, "account")
		Expect(admin.Patch(ctx, secret, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"touched":"yes"}}}`)))).To(Succeed())
		Consistently(func() int { return w.vault.Stats().Granted(secretservertest.Password) }).
			WithTimeout(2 * time.Second).Should(Equal(1))
	})
})
