package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

var _ = Describe("A session", func() {
	It("is what kubectl wait --for=condition=Ready waits for", func(ctx SpecContext) {
		w := newWorld(ctx)
		Expect(admin.Delete(ctx, &corev1.Secret{ObjectMeta: w.named(accountSecret)})).To(Succeed())
		w.create(ctx, "billing")
		must(ctx, "wait", "--namespace="+w.namespace, "--for=condition=Stalled", "sss/billing", "--timeout=60s")
		done := make(chan error, 1)
		go func() {
			_, err := kubectl(ctx, "wait", "--namespace="+w.namespace, "--for=condition=Ready", "sss/billing", "--timeout=60s")
			done <- err
		}()
		Consistently(ctx, done).WithTimeout(time.Second).ShouldNot(Receive(), "there is no token yet")
		w.createAccount(ctx)
		Eventually(ctx, done).Should(Receive(BeNil()))
		Expect(w.token(ctx)).NotTo(BeEmpty(), "the token is there by then")
	})

	It("takes its two Secrets along when it is deleted", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.create(ctx, "billing")
		w.ready(ctx, "billing")
		Expect(w.secret(ctx, "billing").UID).NotTo(BeEmpty())
		Expect(w.secret(ctx, "billing-session").UID).NotTo(BeEmpty())
		must(ctx, "delete", "--namespace="+w.namespace, "sss/billing", "--timeout=30s")
		for _, name := range []string{"billing", "billing-session"} {
			Eventually(ctx, func() types.UID { return w.secret(ctx, name).UID }).Should(BeEmpty(), "the garbage collector removes %s", name)
		}
		Expect(w.secret(ctx, accountSecret).UID).NotTo(BeEmpty(), "the account is the user's own")
	})

	It("has its deleted target back within a second, and the pod goes on", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.create(ctx, "billing")
		w.ready(ctx, "billing")
		c := w.consume(ctx, "consumer", "billing")
		before := w.secret(ctx, "billing")
		calls := w.vault.operatorCalls(ctx)

		Expect(admin.Delete(ctx, before.DeepCopy())).To(Succeed())
		deleted := time.Now()
		Eventually(ctx, func() types.UID { return w.secret(ctx, "billing").UID }).WithTimeout(time.Second).WithPolling(10*time.Millisecond).
			ShouldNot(BeElementOf(types.UID(""), before.UID), "the target is back")
		note("A deleted target was back after %.2f s.", time.Since(deleted).Seconds())
		Expect(w.secret(ctx, "billing").Data).To(Equal(before.Data), "with the same token")
		Expect(w.vault.operatorCalls(ctx)).To(Equal(calls), "without a call to Secret Server")

		By("bringing the pod a token through the new Secret")
		w.renew(ctx)
		c.waitFor(ctx, 2)
		expectNoRefusal(ctx, c)
	})
})

var _ = Describe("A namespace", func() {
	It("goes with all that is in it, sessions that end their token at Secret Server among them", func(ctx SpecContext) {
		w := newWorld(ctx)
		up, down := w.neighbour(ctx), w.neighbour(ctx)
		for _, n := range []*world{up, down} {
			n.create(ctx, "retaining")
			n.create(ctx, "revoking", revoking)
			n.ready(ctx, "retaining")
			n.ready(ctx, "revoking")
			n.consume(ctx, "consumer", "retaining")
		}
		goes := func(ctx context.Context, n *world) time.Duration {
			GinkgoHelper()
			began := time.Now()
			must(ctx, "delete", "namespace", n.namespace, "--timeout=90s")
			return time.Since(began)
		}
		withIt := goes(ctx, up)
		By("taking Secret Server away")
		w.vault.down(ctx)
		withoutIt := goes(ctx, down)
		note("A namespace with two sessions and a pod was gone after %.1f s, and after %.1f s while Secret Server was down.",
			withIt.Seconds(), withoutIt.Seconds())
	})
})
