package config

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// A step is something that a user does, and what they may expect of the operator then.
type step struct {
	promise string
	do      func()
	kept    func() bool
}

// everything is a life of a session that takes all that the operator does. The operator leads in the session's own namespace.
func (w *world) everything(t *testing.T) []step {
	t.Helper()
	const target, renamed = session, "billing-token"
	nothing := func() {}
	refreshes := func(count int64) func() bool {
		return func() bool { return w.read(t, session).Status.RefreshCount >= count }
	}
	token := func(name string) string {
		return string(find(t, &corev1.Secret{ObjectMeta: w.named(name)}).Data[api.TargetKeyToken])
	}
	repaired := func(times int) func() bool {
		return func() bool {
			return token(target) != "" && w.told(t, api.EventTargetRepaired) >= times
		}
	}
	deleteTarget := func() {
		w.Expect(shared.admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: w.named(target)})).To(Succeed())
	}
	return []step{
		{"it leads", nothing, func() bool {
			leases := list(t, &coordinationv1.LeaseList{}, w.namespace)
			return len(leases.Items) == 1 && ptr.Deref(leases.Items[0].Spec.HolderIdentity, "") != ""
		}},
		{"an event says that it leads", nothing, func() bool { return w.told(t, "LeaderElection") > 0 }},
		{"a session waits for its CA bundle", func() {
			w.Expect(shared.admin.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: w.named("vault-ca")})).To(Succeed())
			w.newSession(t, session, nil)
			w.patch(t, `{"spec":{"deletionPolicy":"Revoke"}}`)
		}, func() bool {
			stalled := meta.FindStatusCondition(w.read(t, session).Status.Conditions, api.ConditionStalled)
			return stalled != nil && stalled.Reason == api.ReasonCABundleInvalid
		}},
		{"it is ready with the bundle, and is held until its token is revoked", func() { w.createBundle(t) }, func() bool {
			s := w.read(t, session)
			return meta.IsStatusConditionTrue(s.Status.Conditions, api.ConditionReady) && len(s.Finalizers) == 1
		}},
		{"an event tells of the login", nothing, func() bool { return w.told(t, api.EventLoggedIn) > 0 }},
		{"the lease is renewed", nothing, func() bool {
			lease := list(t, &coordinationv1.LeaseList{}, w.namespace).Items[0]
			return lease.Spec.RenewTime.After(lease.Spec.AcquireTime.Time)
		}},
		{"a refresh comes when it is asked for", func() { w.askFor(t, "one") }, refreshes(1)},
		{"the status is written although somebody edits the session meanwhile", func() {
			w.vault.Inject(secretservertest.Fault{Operation: secretservertest.Refresh, Delay: time.Second, Count: 1})
			w.askFor(t, "two")
			w.Eventually(func() int { return w.vault.Stats().InFlight }).Should(Equal(1))
			w.patch(t, `{"metadata":{"labels":{"team":"billing"}}}`)
		}, refreshes(2)},
		{"a deleted target comes back", deleteTarget, repaired(1)},
		{"it comes back again, and another event tells that", deleteTarget, repaired(2)},
		{"the target is renamed", func() {
			w.patch(t, fmt.Sprintf(`{"spec":{"target":{"name":%q}}}`, renamed))
		}, func() bool { return token(renamed) != "" && token(target) == "" }},
		{"a login follows at the refresh limit", func() { w.askFor(t, "three") }, func() bool {
			return w.read(t, session).Status.LoginCount == 2
		}},
		{"a deleted session goes, and its token is revoked", func() {
			w.Expect(shared.admin.Delete(t.Context(), w.read(t, session))).To(Succeed())
		}, func() bool { return w.read(t, session).UID == "" && w.vault.Stats().Revocations > 0 }},
	}
}

// told is how many events there are of a reason.
func (w *world) told(t *testing.T, reason string) int {
	t.Helper()
	times := 0
	for _, e := range list(t, &eventsv1.EventList{}, w.namespace).Items {
		if e.Reason == reason {
			times++
		}
	}
	return times
}

// find reads an object; what it had before if there is none.
func find[T client.Object](t *testing.T, o T) T {
	t.Helper()
	if err := client.IgnoreNotFound(shared.admin.Get(t.Context(), client.ObjectKeyFromObject(o), o)); err != nil {
		t.Fatal(err)
	}
	return o
}

func list[T client.ObjectList](t *testing.T, l T, namespace string) T {
	t.Helper()
	if err := shared.admin.List(t.Context(), l, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return l
}

// play goes through the steps, and returns the first promise that is broken; "" if all are kept. A promise is broken when it is not
// kept some seconds after something was refused, or not at all in time.
func play(steps []step, refused func() bool) string {
	const afterRefusal = 3 * time.Second
	for _, s := range steps {
		s.do()
		begun, ticks := time.Now(), time.NewTicker(50*time.Millisecond)
		for waited := 0; !s.kept(); waited++ {
			if time.Since(begun) > patience || time.Since(begun) > afterRefusal && waited%5 == 0 && refused() {
				ticks.Stop()
				return s.promise
			}
			<-ticks.C
		}
		ticks.Stop()
	}
	return ""
}
