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
	questions atomic.Int32
	// yes is how many questions are answered with yes, before all others are with no; negative: all.
	yes atomic.Int32
}

func (l *lead) sure() bool {
	l.questions.Add(1)
	left := l.yes.Load()
	return left < 0 || left > 0 && l.yes.Add(-1) >= 0
}

// ledBy gives an operator its leadership.
func ledBy(l *lead) func(*operatorOptions) {
	return func(o *operatorOptions) { o.Leading = l.sure }
}

var _ = Describe("An operator that may not be the leader any more", func() {
	It("does not log in, writes nothing, and goes on when it is sure again", func(ctx SpecContext) {
		w := newWorld(ctx)
		l := &lead{}
		op := startOperator(inNamespaces(w.namespace), ledBy(l))
		s := w.create(ctx, "billing")
		Eventually(l.questions.Load).Should(BeNumerically(">", 1), "it is asked again and again")
		Expect(op.writes()).To(BeEmpty())
		Expect(w.vault.Stats().Requests).To(BeEmpty())

		l.yes.Store(-1)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(1))
	})

	It("does not claim the refresh token", func(ctx SpecContext) {
		w := newWorld(ctx)
		l := &lead{}
		l.yes.Store(-1)
		op := startOperator(inNamespaces(w.namespace), ledBy(l))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))

		l.yes.Store(0)
		before := l.questions.Load()
		op.requests.reset()
		update(ctx, s, asked("now"))
		Eventually(l.questions.Load).Should(BeNumerically(">", before+1))
		Expect(op.writes()).NotTo(ContainElement(ContainSubstring("secret")), "of Secrets and sessions")
		Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(BeZero())

		l.yes.Store(-1)
		Eventually(func() int { return w.vault.Stats().Granted(secretservertest.Refresh) }).Should(Equal(1))
	})

	It("puts the refresh token back when it finds out at the last moment", func(ctx SpecContext) {
		w := newWorld(ctx)
		l := &lead{}
		l.yes.Store(-1)
		startOperator(inNamespaces(w.namespace), ledBy(l))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		held := w.secret(ctx, api.StateSecretName(s.Name)).Data["refreshToken"]
		Expect(held).NotTo(BeEmpty())

		l.yes.Store(1) // for the claim, and none for the connection
		before := l.questions.Load()
		update(ctx, s, asked("now"))
		Eventually(l.questions.Load).Should(BeNumerically(">", before+1))
		Eventually(func() []byte { return w.secret(ctx, api.StateSecretName(s.Name)).Data["refreshToken"] }).Should(Equal(held))
		Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(BeZero())
		Expect(status(ctx, s)().ConsecutiveFailures).To(BeZero(), "nothing failed")

		l.yes.Store(-1)
		Eventually(func() int { return w.vault.Stats().Granted(secretservertest.Refresh) }).Should(Equal(1))
		Expect(w.vault.Stats().SpentRefreshTokensResent).To(BeZero())
		Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(1), "no login was needed")
	})

	It("does not count a login that was withheld as a bad one", func(ctx SpecContext) {
		w := newWorld(ctx)
		l := &lead{}
		startOperator(inNamespaces(w.namespace), ledBy(l))
		s := w.create(ctx, "billing")
		for i := range 5 { // one more than an account may have bad logins
			before := l.questions.Load()
			l.yes.Store(1) // for the intent, and none for the connection
			update(ctx, s, asked(strconv.Itoa(i)))
			Eventually(l.questions.Load).Should(BeNumerically(">", before+1))
		}
		Expect(w.vault.Stats().Requests).To(BeEmpty())

		l.yes.Store(-1)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
	})
})
