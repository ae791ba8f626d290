package controllers_test

import (
	"strconv"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// lead is whether an operator is surely the leader, as a spec has it.
type lead struct {
	yes   atomic.Bool
	asked atomic.Int32
}

func (l *lead) sure() bool {
	l.asked.Add(1)
	return l.yes.Load()
}

var _ = Describe("An operator that may not be the leader any more", func() {
	var l *lead
	// all is asked before everything, lastMoment before a grant is sent and not earlier.
	all := func(o *operatorOptions) { o.Leading = l.sure }
	lastMoment := func(o *operatorOptions) { o.permit = l.sure }
	BeforeEach(func() { l = &lead{} })

	It("does not log in, writes nothing, and goes on when it is sure again", func(ctx SpecContext) {
		w := newWorld(ctx)
		op := startOperator(inNamespaces(w.namespace), all)
		s := w.create(ctx, "billing")
		Eventually(l.asked.Load).Should(BeNumerically(">", 1), "it asks again and again")
		Expect(op.writes()).To(BeEmpty())
		Expect(w.vault.Stats().Requests).To(BeEmpty())

		l.yes.Store(true)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(1))
	})

	It("claims no refresh token and repairs no target", func(ctx SpecContext) {
		w := newWorld(ctx)
		l.yes.Store(true)
		op := startOperator(inNamespaces(w.namespace), all)
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))

		l.yes.Store(false)
		op.requests.reset()
		before := l.asked.Load()
		Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed())
		update(ctx, s, asked("now"))
		Eventually(l.asked.Load).Should(BeNumerically(">", before+1))
		Expect(op.writes()).NotTo(ContainElement(ContainSubstring("secret")), "of Secrets and sessions, among %q; asked %d times, of those %d before",
			op.requests.made(), l.asked.Load(), before)
		Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(BeZero())

		l.yes.Store(true)
		Eventually(func() int { return w.vault.Stats().Granted(secretservertest.Refresh) }).Should(Equal(1))
		Eventually(w.token(ctx, "billing")).ShouldNot(BeEmpty())
	})

	It("puts the refresh token back when it finds out at the last moment", func(ctx SpecContext) {
		w := newWorld(ctx)
		l.yes.Store(true)
		startOperator(inNamespaces(w.namespace), lastMoment)
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		held := w.secret(ctx, api.StateSecretName(s.Name)).Data["refreshToken"]
		Expect(held).NotTo(BeEmpty())

		l.yes.Store(false)
		before := l.asked.Load()
		update(ctx, s, asked("now"))
		Eventually(l.asked.Load).Should(BeNumerically(">", before))
		Eventually(func() []byte { return w.secret(ctx, api.StateSecretName(s.Name)).Data["refreshToken"] }).Should(Equal(held))
		Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(BeZero())
		Expect(status(ctx, s)().ConsecutiveFailures).To(BeZero(), "nothing failed")

		l.yes.Store(true)
		Eventually(func() int { return w.vault.Stats().Granted(secretservertest.Refresh) }).Should(Equal(1), "what the user asked for is done")
		Expect(w.vault.Stats().SpentRefreshTokensResent).To(BeZero())
		Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(1), "no login was needed")
	})

	It("does not count a login that was withheld as a bad one", func(ctx SpecContext) {
		w := newWorld(ctx)
		startOperator(inNamespaces(w.namespace), lastMoment)
		s := w.create(ctx, "billing")
		for i := range 5 { // one more than an account may have bad logins
			before := l.asked.Load()
			update(ctx, s, asked(strconv.Itoa(i)))
			Eventually(l.asked.Load).Should(BeNumerically(">", before))
		}
		Expect(w.vault.Stats().Requests).To(BeEmpty())

		l.yes.Store(true)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
	})
})
