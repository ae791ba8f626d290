package controllers_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// panicking is a client that panics in every login, with all that it knows.
type panicking struct {
	controllers.SecretServer
	times *atomic.Int32
}

func (p panicking) Authenticate(_ context.Context, c secretserver.Credentials) (secretserver.Grant, error) {
	switch p.times.Add(1) {
	case 1:
		panic(c)
	case 2:
		panic(fmt.Errorf("login with %v failed: %+v", &c, struct{ C secretserver.Credentials }{c}))
	default:
		return secretserver.Grant{AccessToken: c.Password[1<<20:]}, nil
	}
}

var _ = Describe("A panic in a pass", func() {
	It("is logged without a secret, and the account is spared before it is locked", func(ctx SpecContext) {
		w := newWorld(ctx)
		already, times := len(output.String()), &atomic.Int32{}
		startOperator(inNamespaces(w.namespace), func(o *operatorOptions) {
			o.wrap = func(s controllers.SecretServer) controllers.SecretServer { return panicking{s, times} }
		})
		s := w.create(ctx, "billing")
		// Each attempt counts as a bad login, as nobody knows what became of it.
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))
		logged := output.String()[already:]
		Expect(times.Load()).To(BeNumerically("~", 3, 1))
		Expect(strings.Count(logged, "Observed a panic")).To(Equal(int(times.Load())))
		Expect(suspicious(logged)).To(BeEmpty())
		Expect(leaked(logged, w.secrets(ctx))).To(BeEmpty())
	})
})

var _ = Describe("Names and values of maximal length", func() {
	It("are worked with and told of within the limits of the API", func(ctx SpecContext) {
		const domain = "CORP"
		w := newWorld(ctx, func(o *secretservertest.Options) {
			o.BasePath = "/" + strings.Repeat("p", 1024-len("https://127.0.0.1:65535/"))
			o.Accounts = []secretservertest.Account{{Username: username, Password: password, Domain: domain}}
		})
		long := func(n int) string { return strings.Repeat("a", n) }
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: long(253)},
			StringData: map[string]string{strings.Repeat("u", 253): username, "password": "MARKER-wrong"},
		}
		Expect(admin.Create(ctx, secret)).To(Succeed())
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, strings.Repeat("s", 245), func(s *api.SecretServerSession) {
			s.Spec.Credentials = api.Credentials{SecretRef: api.SecretReference{Name: long(253)}, UsernameKey: strings.Repeat("u", 253), Domain: domain}
			s.Spec.Target = api.Target{Name: strings.Repeat("t", 253), Labels: map[string]api.LabelValue{}, Annotations: map[string]api.AnnotationValue{}}
			for i := range 64 {
				key := fmt.Sprintf("%s/%s%02d", long(63)+"."+long(63), long(61), i)
				s.Spec.Target.Labels[key], s.Spec.Target.Annotations[key] = api.LabelValue(long(63)), api.AnnotationValue(long(2048))
			}
		})
		Expect(len(s.Spec.Endpoint.URL)).To(BeNumerically(">=", 1020))
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))
		Eventually(events(ctx, w)).Should(ContainElement("Warning " + api.EventCredentialsRejected))

		secret = w.secret(ctx, secret.Name)
		secret.StringData = map[string]string{"password": password}
		Expect(admin.Update(ctx, secret)).To(Succeed())
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Eventually(events(ctx, w)).Should(ContainElement("Normal " + api.EventLoggedIn))

		w.vault.Down()
		update(ctx, s, asked(long(200<<10)))
		Eventually(condition(ctx, s, api.ConditionReconciling)).Should(Equal("Reconciling=True " + api.ReasonEndpointUnavailable))
		Expect(message(ctx, s, api.ConditionReconciling)).To(ContainSubstring(w.vault.URL()))
		Eventually(events(ctx, w)).Should(ContainElement("Warning " + api.EventRefreshFailed))
		Expect(w.vault.Up()).To(Succeed())

		By("asking for more annotations than an object may have")
		update(ctx, s, func(s *api.SecretServerSession) {
			for key := range s.Spec.Target.Annotations {
				s.Spec.Target.Annotations[key] = api.AnnotationValue(long(4096))
			}
		})
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal("Stalled=True " + api.ReasonTargetConflict))
		Eventually(events(ctx, w)).Should(ContainElement("Warning " + api.EventTargetConflict))

		// In base64 the long URL looks like a token to the search at the end of the suite.
		Expect(admin.Delete(ctx, s)).To(Succeed())
		Expect(admin.Delete(ctx, w.secret(ctx, s.Spec.Target.Name))).To(Succeed())
	})
})
