package controllers_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// The OTP seed as somebody stored it, and as it is in truth. It is a marker as the password is.
const (
	otpSeed   = "MARKER-SEED-gezd-gnbv-gy3t-qojq"
	plainSeed = "MARKERSEEDGEZDGNBVGY3TQOJQ"
)

// withSeed makes a session log in with a credentials Secret that has an OTP seed under some key.
func withSeed(secret, key string) func(*api.SecretServerSession) {
	return func(s *api.SecretServerSession) {
		s.Spec.Credentials.SecretRef.Name, s.Spec.Credentials.OTPSeedKey = secret, key
	}
}

// setKeys sets some keys of a credentials Secret.
func (w *world) setKeys(ctx context.Context, name string, data map[string]string) {
	GinkgoHelper()
	secret := w.secret(ctx, name)
	secret.StringData = data
	Expect(admin.Update(ctx, secret)).To(Succeed())
}

// newSecuredWorld is one whose account needs a one-time code, which Secret Server takes once.
func newSecuredWorld(ctx context.Context) *world {
	GinkgoHelper()
	w := newWorld(ctx, func(o *secretservertest.Options) { o.Accounts[0].OTPSeed, o.OTPSingleUse = plainSeed, true })
	w.setKeys(ctx, "account", map[string]string{"otp": otpSeed})
	return w
}

// off sets the Secret Server's clock off.
func (w *world) off(by time.Duration) {
	w.vault.Configure(func(o *secretservertest.Options) { o.Clock = func() time.Time { return time.Now().Add(by) } })
}

// shortlyBeforeTheNextCode sets the Secret Server's clock so that its next time step begins soon.
func (w *world) shortlyBeforeTheNextCode() {
	const step, soon = 30 * time.Second, 3 * time.Second
	now := time.Now()
	w.off(now.Truncate(step).Add(step - soon).Sub(now))
}

// seconds that the next code takes to come, should the machine be slow and the next step of the clock be missed.
const inTheNextStep = 50 * time.Second

var _ = Describe("An account with one-time codes", func() {
	It("is logged in to, whatever the time there, and a code goes with no refresh", func(ctx SpecContext) {
		w := newSecuredWorld(ctx)
		w.off(4 * time.Minute)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing", withSeed("account", "otp"))
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		update(ctx, s, asked("now"))
		Eventually(func() int64 { return status(ctx, s)().RefreshCount }).Should(Equal(int64(1)))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(1, 1)))
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
		Expect(w.vault.Stats().Requests).To(HaveKeyWithValue("/api/v1/healthcheck", 1), "the clock is asked for before the login alone")
	})

	It("is sent no code twice, however many sessions log in at a time", func(ctx SpecContext) {
		w := newSecuredWorld(ctx)
		startOperator(inNamespaces(w.namespace))
		w.shortlyBeforeTheNextCode()
		var all []*api.SecretServerSession
		for i := range 2 {
			all = append(all, w.create(ctx, fmt.Sprintf("billing-%d", i), withSeed("account", "otp")))
		}
		for _, s := range all {
			Eventually(condition(ctx, s, api.ConditionReady)).WithTimeout(inTheNextStep).Should(Equal(ready))
		}
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
		Expect(w.grants()).To(Equal(loginsAndRefreshes(2, 0)))
	})

	It("is not logged in to with a wrong seed but once, and with the corrected one as soon as there is a code", func(ctx SpecContext) {
		w := newSecuredWorld(ctx)
		w.setKeys(ctx, "account", map[string]string{"otp": "MARKER-SEED-wron-gwro-ng"})
		startOperator(inNamespaces(w.namespace))
		w.shortlyBeforeTheNextCode()
		s := w.create(ctx, "billing", withSeed("account", "otp"))
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal(rejected))
		Expect(message(ctx, s, api.ConditionStalled)).To(ContainSubstring(`refused the user name, password or OTP seed in Secret "account"`))
		w.setKeys(ctx, "account", map[string]string{"otp": otpSeed})
		Eventually(condition(ctx, s, api.ConditionReady)).WithTimeout(inTheNextStep).Should(Equal(ready))
		Expect(condition(ctx, s, api.ConditionReconciling)()).To(Equal(api.ConditionReconciling + " absent"))
		Expect(w.vault.Stats().FailedLogins).To(Equal(map[string]int{username: 1}))
	})

	It("is not logged in to while the clocks are too far apart", func(ctx SpecContext) {
		w := newSecuredWorld(ctx)
		w.off(-20 * time.Minute)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing", withSeed("account", "otp"))
		Eventually(condition(ctx, s, api.ConditionReconciling)).Should(Equal("Reconciling=True " + api.ReasonProtocolError))
		Expect(message(ctx, s, api.ConditionReconciling)).To(ContainSubstring("more than 10 minutes apart"))
		Expect(w.grants()).To(Equal(loginsAndRefreshes(0, 0)), "nothing was tried")
		w.off(-9 * time.Minute)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
	})

	It("is not logged in to with what is no seed, and the message says what to do", func(ctx SpecContext) {
		w := newSecuredWorld(ctx)
		startOperator(inNamespaces(w.namespace))
		seeds := map[string]string{
			"empty": "", "garbled": "MARKER-SEED-0189", "short": "MARKERSE", "lost": plainSeed + "A",
			"pasted": "otpauth://totp/billing?secret=" + plainSeed,
		}
		w.setKeys(ctx, "account", seeds)
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, w.secret(ctx, "account"))).To(Succeed()) })
		for key, told := range map[string]string{
			"empty": "is empty", "garbled": "is no OTP seed", "short": "is too short", "lost": "is no OTP seed", "absent": "is missing",
			"pasted": "holds an otpauth:// URI and not the seed alone",
		} {
			s := w.create(ctx, "billing-"+key, withSeed("account", key))
			Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal("Stalled=True "+api.ReasonCredentialsInvalid), key)
			Expect(message(ctx, s, api.ConditionStalled)).To(HavePrefix(fmt.Sprintf("Key %q of Secret %q %s", key, "account", told)))
		}
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "Secret Server is not asked")
	})
})
