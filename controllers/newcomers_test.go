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
	account := func(i int) string { return fmt.Sprintf("app-%d", i) }

	It("cost one read and one status each, however many they are", func(ctx SpecContext) {
		w := newWorld(ctx, func(o *secretservertest.Options) {
			for i := range crowd {
				o.Accounts = append(o.Accounts, secretservertest.Account{Username: account(i), Password: password})
			}
		})
		op := startOperator(inNamespaces(w.namespace), func(o *operatorOptions) { o.EndpointConcurrency = 1 })
		Eventually(condition(ctx, w.create(ctx, "first"), api.ConditionReady)).Should(Equal(ready))
		op.rest()
		w.vault.Inject(secretservertest.Fault{Delay: 50 * time.Millisecond, Count: crowd})

		var sessions []*api.SecretServerSession
		for i := range crowd {
			w.createCredentials(ctx, account(i), account(i), password)
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
		Expect(made).To(Equal(map[string]int{"reads": crowd, "statuses": crowd}))
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
	})
})
