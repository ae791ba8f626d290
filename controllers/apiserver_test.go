package controllers_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// write is one of the writes that a session is made of.
type write struct {
	name, method, path string // of the session %s
	first              bool   // it belongs to the first login, not to a refresh
}

var _ = Describe("An API server in trouble", func() {
	It("costs no grant more, whichever write it disturbs and however", func(ctx SpecContext) {
		writes := []write{
			{name: "intend", method: http.MethodPost, path: "/secrets", first: true},
			{name: "claim", method: http.MethodPatch, path: "/secrets/%s-session"},
			{name: "store", method: http.MethodPut, path: "/secrets/%s-session"},
			{name: "publish", method: http.MethodPatch, path: "/secrets/%s"},
			{name: "report", method: http.MethodPatch, path: "/secretserversessions/%s/status"},
		}
		effects := map[string]effect{
			"409": answers(http.StatusConflict), "429": answers(http.StatusTooManyRequests),
			"500": answers(http.StatusInternalServerError), "503": answers(http.StatusServiceUnavailable),
			"lost": isLost, "unheard": answerIsLost, "unanswered": hangs,
		}
		// A claim or a status whose write takes effect is not written again, though nobody heard of it.
		once := func(write write, how string) bool {
			return (how == "unheard" || how == "unanswered") && (write.name == "claim" || write.name == "report")
		}
		w := newWorld(ctx)
		u := &unruly{}
		startOperator(inNamespaces(w.namespace), u.through, func(o *operatorOptions) { o.RequestTimeout = time.Second })
		sessions, disturbances := map[string]*api.SecretServerSession{}, []*disturbance{}
		for _, write := range writes {
			for how, effect := range effects {
				name := write.name + "-" + how
				d := &disturbance{method: write.method, path: write.path, times: 2, effect: effect}
				if once(write, how) {
					d.times = 1
				}
				if write.first {
					// A POST does not name what it creates, so that all of them share the trouble.
					u.disturb(d)
				} else {
					d.path = fmt.Sprintf(write.path, name)
					disturbances = append(disturbances, d)
				}
				sessions[name] = w.create(ctx, name)
			}
		}
		for name, s := range sessions {
			Eventually(condition(ctx, s, api.ConditionReady)).WithTimeout(time.Minute).Should(Equal(ready), name)
		}
		Expect(w.grants()).To(Equal(logins(len(sessions))))

		u.disturb(disturbances...)
		for _, s := range sessions {
			update(ctx, s, asked("now"))
		}

		relogins := 0
		for name, s := range sessions {
			Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).WithTimeout(time.Minute).Should(Equal("now"), name)
			Eventually(func() int64 { return status(ctx, s)().LoginCount + status(ctx, s)().RefreshCount }).
				WithTimeout(time.Minute).Should(BeEquivalentTo(2), name)
			Eventually(func() bool { return w.vault.TokenValid(w.token(ctx, name)()) }).Should(BeTrue(), name)
			if strings.HasPrefix(name, "claim-un") {
				relogins++ // nobody knows whether the token was taken, so it is not sent
			}
		}
		Expect(u.left()).To(BeEmpty(), "every disturbance has struck")
		Expect(w.grants()).To(Equal(loginsAndRefreshes(len(sessions)+relogins, len(sessions)-relogins)))
		Expect(w.vault.Stats().SpentRefreshTokensResent).To(BeZero())
	}, NodeTimeout(5*time.Minute))

	It("that goes away while a refresh is under way gets the token when it is back", func(ctx SpecContext) {
		w := newWorld(ctx)
		u := &unruly{}
		startOperator(inNamespaces(w.namespace), u.through)
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before := w.token(ctx, "billing")()
		w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Refresh, Delay: 500 * time.Millisecond, Count: 1})
		update(ctx, s, asked("now"))
		Eventually(func() int { return w.vault.Stats().InFlight }).Should(Equal(1))
		u.away.Store(true)

		Eventually(output.String).Should(ContainSubstring("store a new token, which is held in memory meanwhile"), "the pass gives up for now")
		Expect(w.token(ctx, "billing")()).To(Equal(before))
		u.away.Store(false)

		Eventually(w.token(ctx, "billing")).ShouldNot(Equal(before))
		Expect(w.vault.TokenValid(w.token(ctx, "billing")())).To(BeTrue())
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal("now"))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 1)))
	})

	It("whose watches are late makes no session act on what it has done itself", func(ctx SpecContext) {
		w := newWorld(ctx)
		u := &unruly{lag: 200 * time.Millisecond}
		startOperator(inNamespaces(w.namespace), u.through)
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))

		for i := range 3 {
			value := fmt.Sprintf("request %d", i)
			update(ctx, s, asked(value))
			Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal(value))
		}

		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 3)))
		Expect(w.vault.Stats().SpentRefreshTokensResent).To(BeZero())
	})
})
