package controllers_test

import (
	"fmt"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// soakTime is how long a spec watches that nothing happens which must not: 20 seconds, or what SOAK says, such as 5m.
func soakTime() time.Duration {
	GinkgoHelper()
	text := os.Getenv("SOAK")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	Expect(err).NotTo(HaveOccurred(), "SOAK is a duration such as 5m")
	return d
}

var _ = Describe("Twenty sessions with tokens of twenty seconds", func() {
	It("never show a pod an expired token", func(ctx SpecContext) {
		const sessions = 20
		w := newWorld(ctx, func(o *secretservertest.Options) { o.TokenLifetime = 20 * time.Second })
		startOperator(inNamespaces(w.namespace))
		var all []*api.SecretServerSession
		for i := range sessions {
			all = append(all, w.create(ctx, fmt.Sprintf("billing-%02d", i)))
		}
		for _, s := range all {
			Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready), s.Name)
		}
		w.vault.ResetStats()

		polls := 0
		Consistently(func() []string {
			var expired []string
			for _, s := range all {
				polls++
				if !w.vault.TokenValid(w.token(ctx, s.Name)()) {
					expired = append(expired, s.Name)
				}
			}
			return expired
		}).WithTimeout(soakTime()).WithPolling(100*time.Millisecond).Should(BeEmpty(), "sessions whose target holds an expired token")

		stats := w.vault.Stats()
		Expect(stats.SpentRefreshTokensResent).To(BeZero())
		AddReportEntry("soak", fmt.Sprintf("%v, %d polls, %d refreshes, %d logins", soakTime(), polls,
			stats.Granted(secretservertest.Refresh), stats.Granted(secretservertest.Password)))
	}, NodeTimeout(20*time.Minute))
})
