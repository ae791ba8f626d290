package controllers_test

import (
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// shortLived makes tokens that are renewed within seconds.
func shortLived(o *secretservertest.Options) {
	o.TokenLifetime = 9 * time.Second
	o.ExactExpiresIn = true
}

var _ = Describe("A session", func() {
	It("logs in and puts a valid token into the target", func(ctx SpecContext) {
		w := newWorld(ctx)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")

		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		target := w.secret(ctx, "billing")
		Expect(target.Data).To(HaveLen(3))
		Expect(w.vault.TokenValid(string(target.Data[api.TargetKeyToken]))).To(BeTrue(), "the server accepts the token")
		Expect(string(target.Data[api.TargetKeyServerURL])).To(Equal(w.vault.URL()))
		st := status(ctx, s)()
		Expect(string(target.Data[api.TargetKeyExpiresAt])).To(Equal(st.TokenExpiresAt.UTC().Format(time.RFC3339)))
		Expect(target.Labels).To(Equal(map[string]string{
			api.LabelManagedBy: api.ManagedBy,
			api.LabelSession:   "billing",
		}))
		Expect(metav1.IsControlledBy(target, s)).To(BeTrue())
		Expect(st.LoginCount).To(BeEquivalentTo(1))
		Expect(st.TargetName).To(Equal("billing"))
		Expect(st.LastGrant).To(Equal(api.GrantPassword))
		Expect(condition(ctx, s, api.ConditionRefreshable)()).To(Equal("Refreshable=True " + api.ReasonRefreshTokenHeld))
	})

	It("spends its refresh tokens and logs in again when the limit is reached", func(ctx SpecContext) {
		w := newWorld(ctx, shortLived)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")

		Eventually(func() int64 { return status(ctx, s)().LoginCount }).WithTimeout(60 * time.Second).Should(BeEquivalentTo(2))
		stats := w.vault.Stats()
		Expect(stats.Granted(secretservertest.Refresh)).To(Equal(3), "three refreshes are allowed per login")
		Expect(stats.SpentRefreshTokensResent).To(BeZero())
		Expect(status(ctx, s)().RefreshesSinceLogin).To(BeZero())
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready))
		Eventually(func() bool { return w.vault.TokenValid(w.token(ctx, "billing")()) }).Should(BeTrue(), "the target has the newest token")
	})

	It("tells of its login although the operator is stopped before the event is written", func(ctx SpecContext) {
		w := newWorld(ctx)
		answering := make(chan struct{})
		op := startOperator(inNamespaces(w.namespace), func(o *operatorOptions) {
			o.transport = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(request *http.Request) (*http.Response, error) {
					if strings.Contains(request.URL.Path, "/events") {
						select {
						case <-answering:
						case <-request.Context().Done():
						}
					}
					return next.RoundTrip(request)
				})
			}
		})
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(events(ctx, w)()).To(BeEmpty(), "it is under way")
		time.AfterFunc(time.Second, func() { close(answering) })
		op.stop()
		Expect(events(ctx, w)()).To(Equal([]string{"Normal " + api.EventLoggedIn}))
	})
})
