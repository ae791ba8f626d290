package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("Uninstalling", func() {
	It("leaves nothing, ends the tokens that are to be ended, and can be undone by installing again", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.create(ctx, "retaining")
		w.create(ctx, "revoking", revoking)
		w.ready(ctx, "retaining")
		w.ready(ctx, "revoking")
		w.collectorSeesSessions(ctx)
		DeferCleanup(func(ctx SpecContext) { install(ctx) })

		began := time.Now()
		uninstall(ctx)
		note("The operator with two sessions was gone after %.1f s.", time.Since(began).Seconds())
		Eventually(ctx, remains).WithArguments(ctx).Should(BeEmpty(), "what is left in the cluster")
		Expect(w.vault.stats(ctx).Revocations).To(Equal(1), "tokens ended at Secret Server")
		Expect(w.secret(ctx, accountSecret).UID).NotTo(BeEmpty(), "the account is the user's own")

		install(ctx)
		w.create(ctx, "retaining")
		w.ready(ctx, "retaining")
		w.vault.expectNoLoss(ctx)
	})

	It("hangs on nothing when it comes before the sessions are deleted", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.create(ctx, "billing")
		w.ready(ctx, "billing")
		w.consume(ctx, "consumer", "billing")
		w.collectorSeesSessions(ctx)
		DeferCleanup(func(ctx SpecContext) { install(ctx) })

		began := time.Now()
		deleteInstaller(ctx)
		Eventually(ctx, remains).WithArguments(ctx).Should(BeEmpty(), "what is left in the cluster")
		note("With a session still there it was gone after %.1f s.", time.Since(began).Seconds())
	})
})
