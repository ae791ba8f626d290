package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/labels"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// withSelector restricts an operator to sessions with such labels, as --session-selector does.
func withSelector(selector string) func(*operatorOptions) {
	GinkgoHelper()
	parsed, err := labels.Parse(selector)
	Expect(err).NotTo(HaveOccurred())
	return func(o *operatorOptions) { o.selector = parsed }
}

// inShard labels a session.
func inShard(name string) func(*api.SecretServerSession) {
	return func(s *api.SecretServerSession) { s.Labels = map[string]string{"shard": name} }
}

// untouched expects that nobody serves a session, as far as can be seen for a while.
func untouched(ctx context.Context, w *world, s *api.SecretServerSession) {
	GinkgoHelper()
	Consistently(status(ctx, s)).WithTimeout(2 * time.Second).Should(Equal(api.SecretServerSessionStatus{ObservedGeneration: -1}))
	Expect(w.secret(ctx, s.Name)).To(BeNil())
	Expect(w.secret(ctx, api.StateSecretName(s.Name))).To(BeNil())
}

var _ = Describe("An operator with --namespaces", func() {
	It("serves the sessions there and no others", func(ctx SpecContext) {
		here, alsoHere, elsewhere := newWorld(ctx), newWorld(ctx), newWorld(ctx)
		op := startOperator(inNamespaces(here.namespace, alsoHere.namespace))
		theirs := elsewhere.create(ctx, "billing")
		for _, w := range []*world{here, alsoHere} {
			s := w.create(ctx, "billing")
			Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		}
		untouched(ctx, elsewhere, theirs)
		Expect(elsewhere.vault.Stats().Requests).To(BeEmpty())

		By("asking the API server for nothing beyond its namespaces")
		Expect(op.requests.lines).To(HaveEach(Or(
			ContainSubstring("/namespaces/"+here.namespace+"/"),
			ContainSubstring("/namespaces/"+alsoHere.namespace+"/"),
			MatchRegexp(`^GET (/api|/api/v1|/apis|/apis/[a-z0-9./]+)$`), // discovery
		)))
	})
})

var _ = Describe("Operators with --session-selector", func() {
	var (
		w         *world
		blue, red *operator
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		blue = startOperator(inNamespaces(w.namespace), withSelector("shard=blue"))
		red = startOperator(inNamespaces(w.namespace), withSelector("shard=red"))
	})
	// about are an operator's writes about one session.
	about := func(op *operator, s *api.SecretServerSession) func() []string {
		return func() []string {
			return slices.DeleteFunc(op.writes(), func(line string) bool {
				return !strings.Contains(line, "/"+s.Name+"?") && !strings.Contains(line, "/"+s.Name+"/") &&
					!strings.Contains(line, "/"+api.StateSecretName(s.Name)+"?")
			})
		}
	}

	It("serve the sessions of their own label, and nobody serves the rest", func(ctx SpecContext) {
		b, r := w.create(ctx, "blue-one", inShard("blue")), w.create(ctx, "red-one", inShard("red"))
		nobodys := w.create(ctx, "green-one", inShard("green"))
		unlabelled := w.create(ctx, "plain-one")
		for _, s := range []*api.SecretServerSession{b, r} {
			Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready), s.Name)
		}
		untouched(ctx, w, nobodys)
		untouched(ctx, w, unlabelled)
		Expect(about(red, b)()).To(BeEmpty())
		Expect(about(blue, r)()).To(BeEmpty())
		Expect(about(blue, b)()).NotTo(BeEmpty())
		Expect(w.grants()).To(Equal(logins(2)))
	})

	It("hand a session over with its label, without a call to Secret Server", func(ctx SpecContext) {
		s := w.create(ctx, "billing", inShard("blue"))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before := w.token(ctx, "billing")()
		blue.requests.reset()
		w.vault.ResetStats()

		update(ctx, s, inShard("red"))
		Consistently(about(red, s)).WithTimeout(2*time.Second).Should(BeEmpty(), "nothing is due")
		Expect(w.vault.Stats().Requests).To(BeEmpty())
		Expect(w.token(ctx, "billing")()).To(Equal(before))

		By("the new one doing from then on what there is to do")
		Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed())
		Eventually(w.token(ctx, "billing")).WithTimeout(time.Second).Should(Equal(before))
		update(ctx, s, asked("now"))
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal("now"))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(0, 1)))
		Expect(about(red, s)()).NotTo(BeEmpty())
		Expect(about(blue, s)()).To(BeEmpty(), "the old one has let go")

		By("and back again")
		red.requests.reset()
		update(ctx, s, inShard("blue"))
		update(ctx, s, asked("again"))
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal("again"))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(0, 2)))
		Expect(about(red, s)()).To(BeEmpty())
	})

	It("take up a session that gets its label, and let go of one that loses it", func(ctx SpecContext) {
		s := w.create(ctx, "billing")
		untouched(ctx, w, s)
		update(ctx, s, inShard("red"))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))

		red.rest()
		update(ctx, s, func(s *api.SecretServerSession) { s.Labels = nil })
		w.vault.ResetStats()
		update(ctx, s, asked("now"))
		Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed())
		Consistently(w.token(ctx, "billing")).WithTimeout(2 * time.Second).Should(BeEmpty())
		Expect(red.writes()).To(BeEmpty())
		Expect(w.vault.Stats().Requests).To(BeEmpty())
	})

	It("never send a refresh token twice while a session moves to and fro", func(ctx SpecContext) {
		s := w.create(ctx, "billing", inShard("blue"))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		for i, shard := range []string{"red", "blue", "red", "blue", "red", "blue", "red", "blue"} {
			value := fmt.Sprintf("%s %d", shard, i)
			update(ctx, s, func(s *api.SecretServerSession) {
				inShard(shard)(s)
				asked(value)(s)
			})
			Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal(value))
		}
		stats := w.vault.Stats()
		Expect(stats.RefreshTokensSeenTwice).To(BeZero())
		Expect(stats.SpentRefreshTokensResent).To(BeZero())
		// The one that lets go may see the other's claim before it sees the label, and then logs in once too often.
		granted := w.grants()
		Expect(granted[secretservertest.Password]+granted[secretservertest.Refresh]).To(BeNumerically(">=", 9), "each request is a renewal")
		Expect(stats.FailedLogins).To(BeEmpty())
		Eventually(func() bool {
			return w.token(ctx, "billing")() == string(w.secret(ctx, "billing-session").Data["accessToken"])
		}).
			Should(BeTrue(), "the target holds the token of the state")
		Expect(w.vault.TokenValid(w.token(ctx, "billing")())).To(BeTrue())
	})

	It("share what they know of a refused password", func(ctx SpecContext) {
		for _, shard := range []string{"blue", "red"} {
			s := w.create(ctx, shard+"-one", inShard(shard))
			Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready), s.Name)
		}
		w.createCredentials(ctx, "mistyped", username, "MARKER-wrong")
		mistyped := func(shard string) *api.SecretServerSession {
			return w.create(ctx, shard+"-two", inShard(shard), func(s *api.SecretServerSession) {
				s.Spec.Credentials.SecretRef.Name = "mistyped"
			})
		}
		Eventually(condition(ctx, mistyped("blue"), api.ConditionStalled)).Should(Equal(rejected))
		Eventually(condition(ctx, mistyped("red"), api.ConditionStalled)).Should(Equal(rejected))
		Expect(w.vault.Stats().FailedLogins).To(Equal(map[string]int{username: 1}), "one bad login for all shards")
	})
})
