package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// scale is how large and how long an outage is: 30 sessions for some seconds, or 2,000 for as long as OUTAGE says, such
// as 10m.
type scale struct {
	sessions, accounts   int
	lasts, timeout, look time.Duration
}

func outageScale() scale {
	GinkgoHelper()
	text := os.Getenv("OUTAGE")
	if text == "" {
		return scale{sessions: 30, accounts: 3, lasts: 8 * time.Second, timeout: 2 * time.Second, look: 100 * time.Millisecond}
	}
	lasts, err := time.ParseDuration(text)
	Expect(err).NotTo(HaveOccurred(), "OUTAGE is a duration such as 10m")
	s := scale{sessions: 2000, accounts: 20, lasts: lasts, timeout: 30 * time.Second, look: time.Second}
	if text := os.Getenv("OUTAGE_SESSIONS"); text != "" {
		s.sessions, err = strconv.Atoi(text)
		Expect(err).NotTo(HaveOccurred(), "OUTAGE_SESSIONS is a number")
	}
	return s
}

// callLog notes when the operator asks Secret Server, and when it has the answer.
type callLog struct {
	mu    sync.Mutex
	calls []*call
}

type call struct {
	began, ended time.Time
	failed       bool
}

// note times one call.
func (l *callLog) note(do func() error) {
	c := &call{began: time.Now()}
	l.mu.Lock()
	l.calls = append(l.calls, c)
	l.mu.Unlock()
	err := do()
	l.mu.Lock()
	defer l.mu.Unlock()
	refused, ok := errors.AsType[*secretserver.Error](err)
	c.ended, c.failed = time.Now(), ok && refused.Kind != secretserver.Refused
}

// between are the calls that began in a span of time.
func (l *callLog) between(from, to time.Time) []call {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []call
	for _, c := range l.calls {
		if !c.began.Before(from) && c.began.Before(to) {
			found = append(found, *c)
		}
	}
	return found
}

// loggedServer notes each call.
type loggedServer struct {
	controllers.SecretServer

	log *callLog
}

func (s loggedServer) Authenticate(ctx context.Context, c secretserver.Credentials) (grant secretserver.Grant, err error) {
	s.log.note(func() error { grant, err = s.SecretServer.Authenticate(ctx, c); return err })
	return grant, err
}

func (s loggedServer) Refresh(ctx context.Context, refreshToken string) (grant secretserver.Grant, err error) {
	s.log.note(func() error { grant, err = s.SecretServer.Refresh(ctx, refreshToken); return err })
	return grant, err
}

func (s loggedServer) Verify(ctx context.Context, accessToken string) (err error) {
	s.log.note(func() error { err = s.SecretServer.Verify(ctx, accessToken); return err })
	return err
}

// logged makes an operator whose calls are noted.
func (l *callLog) logged(o *operatorOptions) {
	o.wrap = func(server controllers.SecretServer) controllers.SecretServer { return loggedServer{server, l} }
}

// worstSecond is the most calls that began within one second, wherever it begins.
func worstSecond(calls []call) int {
	worst, first := 0, 0
	for i := range calls {
		for calls[i].began.Sub(calls[first].began) >= time.Second {
			first++
		}
		worst = max(worst, i-first+1)
	}
	return worst
}

// perSecond counts the answers that came in each second from a time on.
func (l *callLog) perSecond(from time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var counts []int
	for _, c := range l.calls {
		if c.failed || c.ended.Before(from) {
			continue
		}
		second := int(c.ended.Sub(from).Seconds())
		counts = append(counts, make([]int, max(second+1-len(counts), 0))...)
		counts[second]++
	}
	return fmt.Sprint(counts)
}

// stale are the sessions whose target holds no token that Secret Server takes, or that do not say they are ready.
func (w *world) stale(ctx context.Context) func() int {
	return func() int {
		sessions, secrets := &api.SecretServerSessionList{}, &corev1.SecretList{}
		Expect(admin.List(ctx, sessions, client.InNamespace(w.namespace))).To(Succeed())
		Expect(admin.List(ctx, secrets, client.InNamespace(w.namespace))).To(Succeed())
		tokens := map[string]string{}
		for _, s := range secrets.Items {
			tokens[s.Name] = string(s.Data[api.TargetKeyToken])
		}
		stale := 0
		for _, s := range sessions.Items {
			settled := meta.IsStatusConditionTrue(s.Status.Conditions, api.ConditionReady) &&
				!meta.IsStatusConditionTrue(s.Status.Conditions, api.ConditionReconciling)
			if token := tokens[s.Name]; token == "" || !settled || !w.vault.TokenValid(token) {
				stale++
			}
		}
		return stale
	}
}

// waitFor waits for a time, and says what passes meanwhile.
func waitFor(ctx context.Context, d time.Duration) {
	GinkgoHelper()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		Fail("the spec's time is over")
	}
}

var _ = Describe("Secret Servers that hang", func() {
	It("leave half of the workers to those that are known to answer", func(ctx SpecContext) {
		good, hanging, another := newWorld(ctx), newWorld(ctx), newWorld(ctx)
		startOperator(inNamespaces(good.namespace, hanging.namespace, another.namespace), func(o *operatorOptions) {
			o.MaxConcurrentReconciles = 4
		})
		s := good.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		for _, w := range []*world{hanging, another} {
			w.vault.Inject(secretservertest.Fault{Delay: time.Hour})
			for i := range 4 {
				account := fmt.Sprintf("account-%d", i)
				w.createCredentials(ctx, account, account, password)
				w.create(ctx, fmt.Sprintf("app-%d", i), func(s *api.SecretServerSession) { s.Spec.Credentials.SecretRef.Name = account })
			}
		}
		underWay := func() int { return hanging.vault.Stats().InFlight + another.vault.Stats().InFlight }
		Eventually(underWay).Should(Equal(2))

		update(ctx, s, asked("now"))
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal("now"))
		Expect(underWay()).To(Equal(2))
		hanging.vault.Down()
		another.vault.Down()
	})
})

var _ = Describe("A namespace whose Secret Server hangs", func() {
	It("leaves half of the workers to others, though its server was known to answer", func(ctx SpecContext) {
		good, hanging := newWorld(ctx), newWorld(ctx)
		startOperator(inNamespaces(good.namespace, hanging.namespace), func(o *operatorOptions) { o.MaxConcurrentReconciles = 4 })
		s := good.create(ctx, "billing")
		var others []*api.SecretServerSession
		for i := range 4 {
			others = append(others, hanging.create(ctx, fmt.Sprintf("app-%d", i)))
		}
		for _, s := range append(others, s) {
			Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		}
		hanging.vault.Inject(secretservertest.Fault{Delay: time.Hour})
		for _, s := range others {
			update(ctx, s, asked("now"))
		}
		underWay := func() int { return hanging.vault.Stats().InFlight }
		Eventually(underWay).Should(Equal(2))

		update(ctx, s, asked("now"))
		Eventually(func() string { return status(ctx, s)().LastHandledRefreshRequest }).Should(Equal("now"))
		Expect(underWay()).To(Equal(2))
		hanging.vault.Down()
	})
})

var _ = Describe("A Secret Server that goes down for all its sessions", func() {
	DescribeTable("is asked by one at a time, and all are current soon after its return:",
		func(ctx SpecContext, down, up func(*world)) {
			size := outageScale()
			w := newWorld(ctx, func(o *secretservertest.Options) {
				o.TokenLifetime, o.MaxRefreshes = size.lasts, new(-1)
				for i := range size.accounts {
					o.Accounts = append(o.Accounts, secretservertest.Account{Username: fmt.Sprintf("app-%d", i), Password: password})
				}
			})
			log := &callLog{}
			op := startOperator(inNamespaces(w.namespace), log.logged, func(o *operatorOptions) { o.MaxConcurrentReconciles = 64 })
			for i := range size.accounts {
				w.createCredentials(ctx, fmt.Sprintf("app-%d", i), fmt.Sprintf("app-%d", i), password)
			}
			for i := range size.sessions {
				w.create(ctx, fmt.Sprintf("app-%04d", i), func(s *api.SecretServerSession) {
					s.Spec.Credentials.SecretRef.Name = fmt.Sprintf("app-%d", i%size.accounts)
					s.Spec.Endpoint.TimeoutSeconds = int32(size.timeout.Seconds())
				})
			}
			Eventually(w.stale(ctx)).WithTimeout(5 * time.Minute).WithPolling(size.look).Should(BeZero())
			before := w.vault.Stats()
			op.requests.reset()

			By("going down until all of them are due")
			wentDown := time.Now()
			down(w)
			waitFor(ctx, size.lasts)
			connections := w.vault.Stats().Connections - before.Connections
			writes := len(op.writes())
			Expect(w.stale(ctx)()).To(Equal(size.sessions), "every session has come due")
			cameUp := time.Now()
			up(w)

			By("coming back")
			DeferCleanup(func() { AddReportEntry("grants after the return", log.perSecond(cameUp)) })
			renewals := func() int {
				stats := w.vault.Stats()
				return stats.Granted(secretservertest.Refresh) + stats.Granted(secretservertest.Password)
			}
			// This is far cheaper to ask than the API server, which has enough to do now.
			Eventually(renewals).WithTimeout(time.Minute).WithPolling(50 * time.Millisecond).
				Should(BeNumerically(">=", before.Granted(secretservertest.Refresh)+before.Granted(secretservertest.Password)+size.sessions))
			Eventually(w.stale(ctx)).WithTimeout(time.Minute - time.Since(cameUp)).WithPolling(size.look).Should(BeZero())
			recovered := time.Since(cameUp)

			calls := log.between(wentDown, cameUp)
			known := cameUp
			for _, c := range calls {
				if c.failed && c.ended.Before(known) {
					known = c.ended // from here on the operator can know
				}
			}
			during := log.between(known, cameUp)
			AddReportEntry("outage", fmt.Sprintf("%d sessions, %v: %d requests (%.2f a second), %d of them before the first failure was known, "+
				"afterwards at most %d in any second; %d TCP connections at the server, %d writes to the API server; all current %v after the return",
				size.sessions, size.lasts, len(calls), float64(len(calls))/size.lasts.Seconds(), len(calls)-len(during),
				worstSecond(during), connections, writes, recovered.Round(10*time.Millisecond)))
			// Who was let in before may still be claiming its refresh token when the first failure is known, and asks after that.
			underWay := known.Add(time.Second)
			Expect(worstSecond(log.between(underWay, cameUp))).To(BeNumerically("<=", 2), "requests in the worst second")
			Expect(len(log.between(wentDown, underWay))).To(BeNumerically("<=", 8+2), "what was under way, and who asks for all")
			Expect(len(calls)-len(during)).To(BeNumerically("<=", 8), "no more than may be under way at a time")
			stats := w.vault.Stats()
			Expect(stats.SpentRefreshTokensResent).To(BeZero())
			Expect(stats.FailedLogins).To(BeEmpty())
			Expect(stats.Granted(secretservertest.Password)-before.Granted(secretservertest.Password)).To(BeNumerically("<=", 8),
				"only those whose request was under way may have lost their refresh token")
		},
		Entry("it refuses connections", NodeTimeout(40*time.Minute),
			func(w *world) { w.vault.Down() },
			func(w *world) { Expect(w.vault.Up()).To(Succeed()) }),
		Entry("it answers 503", NodeTimeout(40*time.Minute),
			func(w *world) {
				w.vault.Inject(secretservertest.Fault{Effect: secretservertest.Status, Status: 503})
			},
			func(w *world) { w.vault.ClearFaults() }),
		Entry("it hangs", NodeTimeout(40*time.Minute),
			func(w *world) { w.vault.Inject(secretservertest.Fault{Delay: time.Hour}) },
			func(w *world) { w.vault.ClearFaults() }),
	)
})
