package failover

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// takeover is how long after the end of a leader the standby has the lease at the latest: its longest interval of
// looking, and a little for a busy machine.
const takeover = controllers.LeaseDuration + controllers.RetryPeriod*22/10 + 3*time.Second

func TestAStandbyTakesOverFromALeaderThatWasKilled(t *testing.T) {
	t.Parallel()
	const sessions = 5
	w := newWorld(t, sessions, 20*time.Second)
	leader, _ := w.startBoth(t)
	watch := w.watchTokens(t)
	former := w.holder(t)
	w.Eventually(func() time.Duration { return w.left(t, w.sessions[0]) }).Should(
		gomega.BeNumerically("<", 12*time.Second), "it runs out before anybody can take over")

	w.Expect(leader.Kill()).To(gomega.Succeed())
	killed := time.Now()
	underWay := w.claimed(t)
	took := w.successor(t, former)
	w.Expect(took.Sub(killed)).To(gomega.BeNumerically("<", takeover))
	for _, name := range w.sessions {
		w.Eventually(func() bool { return w.current(t, name) }).Should(gomega.BeTrue(), "the standby renews %s", name)
	}
	current := time.Now()

	w.Expect(current.Sub(took)).To(gomega.BeNumerically("<", 5*time.Second), "from the lease to current tokens")
	w.Expect(w.grants(two, killed)).NotTo(gomega.BeEmpty())
	gap := watch()
	w.Expect(gap).NotTo(gomega.BeEmpty(), "the watch sees what there is to see")
	for _, expired := range gap {
		if expired.Before(killed) || expired.After(current) {
			t.Errorf("a pod saw an expired token at %v; the leader was killed at %v, and all was well again at %v", expired, killed, current)
		}
	}
	w.expectNoLoss(t)
	w.Expect(w.vault.Stats().Granted(secretservertest.Password)).To(
		gomega.BeNumerically("<=", sessions+len(underWay)), "logins: the first ones, and one for each grant under way")
}

// watchTokens looks at the sessions' targets all the time. The function returned ends that, and returns when a token was
// there that Secret Server did not take.
func (w *world) watchTokens(t *testing.T) (stop func() []time.Time) {
	t.Helper()
	end, done := make(chan struct{}), make(chan struct{})
	var expired []time.Time
	go func() {
		defer close(done)
		for ticks := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-end:
				ticks.Stop()
				return
			case <-ticks.C:
			}
			list := &corev1.SecretList{}
			if err := shared.admin.List(context.Background(), list, client.InNamespace(w.namespace)); err != nil {
				t.Error(err)
				continue
			}
			for _, secret := range list.Items {
				if slices.Contains(w.sessions, secret.Name) && !w.vault.TokenValid(string(secret.Data[api.TargetKeyToken])) {
					expired = append(expired, time.Now())
				}
			}
		}
	}()
	halt := sync.OnceFunc(func() {
		close(end)
		<-done
	})
	t.Cleanup(halt)
	return func() []time.Time {
		halt()
		return expired
	}
}
