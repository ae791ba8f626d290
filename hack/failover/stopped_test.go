package failover

import (
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestALeaderThatIsStoppedBringsItsGrantHomeAndHandsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 20*time.Minute)
	leader, standby := w.startBoth(t)
	former := w.holder(t)
	w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Refresh, Delay: 3 * time.Second, Count: 1})
	w.askFor(t, w.sessions[0], "now")
	w.Eventually(func() int { return w.vault.Stats().InFlight }).Should(gomega.Equal(1), "a grant is under way")

	stopped := make(chan error, 1)
	go func() { stopped <- leader.Stop() }()
	w.successor(t, former)
	w.Eventually(stopped).Should(gomega.Receive(gomega.BeNil()), "it ends in order")
	w.Eventually(func() string { return secretservertest.Fingerprint(w.token(t, w.sessions[0])) }).Should(
		gomega.Equal(w.issuedByRefresh()), "pods have the token that the leader asked for")

	w.Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(gomega.Equal(1), "what the leader asked for is stored")
	w.Expect(w.vault.Stats().Granted(secretservertest.Password)).To(gomega.Equal(len(w.sessions)), "no further login")
	w.expectNoLoss(t)

	// The leader stores the grant; its successor publishes it, with what it had read before.
	released := w.lastOfElection(t, one)
	wrote := w.writesAfter(t, two, released)
	w.Expect(wrote).NotTo(gomega.BeEmpty())
	w.Expect(wrote[0].Answered.Sub(released)).To(gomega.BeNumerically("<", 2*time.Second), "from the release to the first write")
	t.Logf("from the release to the successor's first write: %v", wrote[0].Answered.Sub(released))
	lists := slices.DeleteFunc(w.requests(t, two), func(r request) bool { return r.Verb != "list" || r.Received.Before(released) })
	w.Expect(lists).To(gomega.BeEmpty(), "the standby's caches were warm")
	w.Expect(standby.Healthy(t.Context())).To(gomega.Succeed())
}

// lastOfElection is when a replica's last write of the lease was answered: its release, if it was stopped in order.
func (w *world) lastOfElection(t *testing.T, version string) time.Time {
	t.Helper()
	writes := slices.DeleteFunc(w.requests(t, version), func(r request) bool {
		return r.Object.Resource != "leases" || r.Verb != "update" || r.Status.Code >= 300
	})
	w.Expect(writes).NotTo(gomega.BeEmpty())
	return writes[len(writes)-1].Answered
}

// issuedByRefresh is the token of the last refresh that was granted.
func (w *world) issuedByRefresh() (fingerprint string) {
	for _, e := range w.vault.Journal() {
		if e.Operation == secretservertest.Refresh {
			fingerprint = e.Issued
		}
	}
	return fingerprint
}
