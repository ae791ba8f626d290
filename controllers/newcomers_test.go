package controllers_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

var _ = Describe("New sessions that wait for their turn", func() {
	const crowd = 24

	DescribeTable("cost one read and one status each, however many they are", func(ctx SpecContext, accounts, concurrency int) {
		account := func(i int) string { return fmt.Sprintf("app-%d", i%accounts) }
		w := newWorld(ctx, func(o *secretservertest.Options) {
			for i := range accounts {
				o.Accounts = append(o.Accounts, secretservertest.Account{Username: account(i), Password: password})
			}
		})
		op := startOperator(inNamespaces(w.namespace), func(o *operatorOptions) { o.EndpointConcurrency = concurrency })
		Eventually(condition(ctx, w.create(ctx, "first"), api.ConditionReady)).Should(Equal(ready))
		for i := range accounts {
			w.createCredentials(ctx, account(i), account(i), password)
		}
		op.rest()
		w.vault.Inject(secretservertest.Fault{Delay: 50 * time.Millisecond, Count: crowd})

		var sessions []*api.SecretServerSession
		for i := range crowd {
			sessions = append(sessions, w.create(ctx, fmt.Sprintf("job-%d", i), func(s *api.SecretServerSession) {
				s.Spec.Credentials.SecretRef.Name = account(i)
			}))
		}
		for _, s := range sessions {
			Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready), s.Name)
		}
		made := map[string]int{}
		for _, request := range op.requests.made() {
			method, rest, _ := strings.Cut(request, " ")
			switch {
			case method == "GET" && strings.Contains(rest, "/secrets/"):
				made["reads"]++
			case strings.Contains(rest, "/status?"):
				made["statuses"]++
			}
		}
		Expect(made["statuses"]).To(Equal(crowd), "statuses written")
		Expect(made["reads"]).To(Equal(crowd), "credentials read")
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
	},
		Entry("each with an account of its own, one request at a time", crowd, 1),
		Entry("all with one account, many requests at a time", 1, 8),
	)

	It("log in before the API server is told of it in events", func(ctx SpecContext) {
		const crowd, some = 12, 5
		w := newWorld(ctx)
		op := startOperator(inNamespaces(w.namespace), func(o *operatorOptions) { o.MaxConcurrentReconciles = 2 })
		told := func() (events int) {
			for _, request := range op.requests.made() {
				if strings.HasPrefix(request, "POST ") && strings.Contains(request, "/events.k8s.io/") {
					events++
				}
			}
			return events
		}
		w.vault.Inject(secretservertest.Fault{Delay: 500 * time.Millisecond, Count: crowd})

		var sessions []*api.SecretServerSession
		for i := range crowd {
			sessions = append(sessions, w.create(ctx, fmt.Sprintf("job-%d", i)))
		}
		allReady := func() (count int) {
			for _, s := range sessions {
				if condition(ctx, s, api.ConditionReady)() == ready {
					count++
				}
			}
			return count
		}
		Eventually(allReady).Should(BeNumerically(">=", some))
		Expect(told()).To(BeZero(), "events while most sessions wait for their turn")
		Eventually(allReady).Should(Equal(crowd))
		Eventually(told).Should(Equal(crowd), "events once all have their tokens")
	})
})
