package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("A pod that reads the mounted token for each call", func() {
	It("is never refused, across many renewals", func(ctx SpecContext) {
		w := newWorld(ctx, "--token-lifetime="+settings.lifetime.String())
		w.create(ctx, "billing", percent(settings.percent))
		w.ready(ctx, "billing")
		// The kubelet looks at each pod at moments of its own.
		var consumers []consumer
		for i := range 3 {
			consumers = append(consumers, w.consume(ctx, fmt.Sprintf("consumer-%d", i), "billing"))
		}
		began := time.Now()
		lastWord := began
		Eventually(ctx, func() time.Duration {
			if time.Since(lastWord) >= time.Minute {
				lastWord = time.Now()
				f := consumers[0].figures(ctx)
				GinkgoWriter.Printf("%s of %s: %d calls, %d refused, %d tokens\n", time.Since(began).Round(time.Second), settings.watch, f.Calls, f.Refused, f.Tokens)
			}
			return time.Since(began)
		}).WithTimeout(settings.watch+patience).WithPolling(pollLogs).Should(BeNumerically(">=", settings.watch), "the watch")

		f := expectNoRefusal(ctx, consumers...)
		// A renewal is never planned later than the percentage says.
		renewals := int(settings.watch / (settings.lifetime * time.Duration(settings.percent) / 100))
		Expect(f.Refreshes()).To(BeNumerically(">=", len(consumers)*(renewals-1)), "new tokens that %d pods saw", len(consumers))
		noteLags(f)
		w.vault.expectNoLoss(ctx)
	})
})
