package failover

import (
	"strconv"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// A leader that is paused beyond its lease wakes as if nothing had been. From the moment that the standby leads, it must send
// no grant and store none, wherever the pause has met it.

func TestALeaderPausedBeforeTheClaimSpendsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, 20*time.Minute)
	leader, _ := w.startBoth(t)
	former := w.holder(t)
	w.Expect(leader.Pause()).To(gomega.Succeed())
	took := w.successor(t, former)

	// There is work for both at the moment when the old leader wakes, and again until it has ended.
	w.Expect(leader.Continue()).To(gomega.Succeed())
	rounds := 0
	for ended := false; !ended; rounds++ {
		for _, name := range w.sessions {
			w.askFor(t, name, strconv.Itoa(rounds))
		}
		for _, name := range w.sessions {
			w.Eventually(func() int { return w.refreshes(name) }).Should(gomega.BeNumerically(">", rounds), "%s is refreshed", name)
		}
		select {
		case <-leader.Done():
			ended = true
		default:
		}
	}
	w.expectNothingOf(t, leader, took)
	w.Expect(w.vault.Stats().Granted(secretservertest.Password)).To(gomega.Equal(len(w.sessions)), "no login was needed")
}

func TestALeaderPausedBetweenClaimAndSendingSendsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 20*time.Minute)
	leader, _ := w.startBoth(t)
	former := w.holder(t)
	free, pass := w.road.block()
	w.askFor(t, w.sessions[0], "now")
	w.Eventually(func() []string { return w.claimed(t) }).Should(gomega.Equal(w.sessions), "the leader claims")
	w.Eventually(w.road.waiting).Should(gomega.Equal(1), "the leader waits for a connection")
	w.Expect(leader.Pause()).To(gomega.Succeed())
	free()
	took := w.successor(t, former)
	w.Eventually(func() []string { return w.grants(two, time.Time{}) }).Should(gomega.HaveLen(1), "the standby logs in")

	w.Expect(leader.Continue()).To(gomega.Succeed())
	pass() // and the connection stands
	w.expectNothingOf(t, leader, took)
	w.Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(gomega.BeZero())
	w.Expect(w.vault.Stats().Granted(secretservertest.Password)).To(gomega.Equal(2), "one login for the token that was claimed")
}

func TestALeaderPausedAfterSendingStoresNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 20*time.Minute)
	leader, _ := w.startBoth(t)
	former := w.holder(t)
	// It takes effect at once, and is answered when nobody listens.
	w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Refresh, Processed: true, Delay: 5 * time.Second, Count: 1})
	w.askFor(t, w.sessions[0], "now")
	w.Eventually(func() int { return w.vault.Stats().InFlight }).Should(gomega.Equal(1), "the leader refreshes")
	w.Expect(leader.Pause()).To(gomega.Succeed())
	took := w.successor(t, former)
	w.Eventually(func() []string { return w.grants(two, time.Time{}) }).Should(gomega.HaveLen(1), "the standby logs in")

	w.Expect(leader.Continue()).To(gomega.Succeed())
	w.expectNothingOf(t, leader, took)
	w.Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(gomega.Equal(1))
	w.Expect(w.vault.Stats().Granted(secretservertest.Password)).To(gomega.Equal(2), "one login for the answer that was lost")
}

// refreshes is how many refreshes of a session's account were granted.
func (w *world) refreshes(account string) int {
	n := 0
	for _, e := range w.vault.Journal() {
		if e.Operation == secretservertest.Refresh && e.Account == account && e.Result == secretservertest.Granted {
			n++
		}
	}
	return n
}

// expectNothingOf waits for the end of the former leader. It has sent and written nothing since the other has the lease, and
// the sessions are in order.
func (w *world) expectNothingOf(t *testing.T, former *operator.Process, took time.Time) {
	t.Helper()
	w.Eventually(former.Done()).Should(gomega.BeClosed(), "the former leader finds out, and ends")
	w.Expect(former.Err()).To(gomega.MatchError(gomega.ContainSubstring("exit status 1")))
	w.Expect(w.grants(one, took)).To(gomega.BeEmpty(), "grants that the former leader sent after it")
	w.Expect(w.writesAfter(t, one, took)).To(gomega.BeEmpty(), "what the former leader wrote after it")
	for _, name := range w.sessions {
		w.Eventually(func() bool { return w.current(t, name) }).Should(gomega.BeTrue(), "%s is in order", name)
	}
	w.expectNoLoss(t)
}
