package e2e

import (
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

var _ = Describe("An upgrade", func() {
	var w *world
	BeforeEach(func(ctx SpecContext) {
		w = newWorldIn(ctx, metav1.ObjectMeta{Name: formerNamespace}, "--token-lifetime="+formerLifetime.String(), "--exact-expires-in")
	})
	AfterEach(func(ctx SpecContext) { // the name is wanted again
		must(ctx, "delete", "namespace", formerNamespace, "--timeout="+patience.String())
	})

	It("goes on with what the last release has stored, without a call, and refreshes what that one held", func(ctx SpecContext) {
		w.vault.plant(ctx, formerAccess, formerRefresh)

		By("leaving the cluster as the last release left it when it was stopped")
		scale(ctx, 0)
		DeferCleanup(func(ctx SpecContext) { scale(ctx, 2) })
		s := w.create(ctx, "billing")
		issued := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
		leaveBehind(ctx, s, issued)
		written := w.secret(ctx, "billing").ResourceVersion
		c := w.consume(ctx, "consumer", "billing")

		By("starting this one")
		scale(ctx, 2)
		w.ready(ctx, "billing")
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(s), s)).To(Succeed())
		Expect(s.Status.LoginCount).To(BeEquivalentTo(1))
		Expect(s.Status.TokenExpiresAt.Time).To(BeTemporally("==", issued.Add(formerLifetime)))
		Expect(w.token(ctx)).To(Equal(formerAccess))
		Expect(w.secret(ctx, "billing").ResourceVersion).To(Equal(written), "the target was not written again")
		Expect(w.vault.operatorCalls(ctx)).To(BeEmpty(), "calls to Secret Server")

		By("renewing")
		w.renew(ctx)
		Expect(w.vault.stats(ctx).Granted(secretservertest.Refresh)).To(Equal(1), "the refresh token of the last release is spent")
		Expect(w.vault.stats(ctx).Granted(secretservertest.Password)).To(BeZero(), "logins")
		c.waitFor(ctx, 2)
		expectNoRefusal(ctx, c)
		w.vault.expectNoLoss(ctx)
	})

	// A release that changes what is stored leaves a file for the next one: E2E_RECORD=$PWD/hack/e2e/testdata/state-format-2.yaml.
	It("is recorded, for the release after this one", func(ctx SpecContext) {
		if os.Getenv("E2E_RECORD") == "" {
			Skip("E2E_RECORD names no file to write")
		}
		s := w.create(ctx, "billing")
		w.ready(ctx, "billing")
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(s), s)).To(Succeed())
		Expect(s.Status.RefreshesSinceLogin).To(BeZero())
		record(s, w.secret(ctx, api.StateSecretName("billing")), w.secret(ctx, "billing"))
	})
})
