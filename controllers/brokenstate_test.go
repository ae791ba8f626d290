package controllers_test

import (
	"context"
	"fmt"
	"maps"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// Ways to break a state Secret.
func recordOf(text string) func(*corev1.Secret) {
	return func(secret *corev1.Secret) {
		for key := range secret.Annotations {
			secret.Annotations[key] = text
		}
	}
}

func noRecord(secret *corev1.Secret) { secret.Annotations = nil }

func dataOf(value string) func(*corev1.Secret) {
	return func(secret *corev1.Secret) {
		for key := range secret.Data {
			secret.Data[key] = []byte(value)
		}
	}
}

func without(key string) func(*corev1.Secret) {
	return func(secret *corev1.Secret) {
		Expect(secret.Data).To(HaveKey(key))
		delete(secret.Data, key)
	}
}

func noData(secret *corev1.Secret) { secret.Data = nil }

func otherKeys(secret *corev1.Secret) {
	renamed := map[string][]byte{}
	for key, value := range secret.Data {
		renamed["x-"+key] = value
	}
	secret.Data = renamed
}

func all(breaks ...func(*corev1.Secret)) func(*corev1.Secret) {
	return func(secret *corev1.Secret) {
		for _, f := range breaks {
			f(secret)
		}
	}
}

var _ = Describe("A broken state Secret", func() {
	var (
		w      *world
		s      *api.SecretServerSession
		before map[string][]byte
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before = w.secret(ctx, "billing").Data
	})
	broken := func(ctx context.Context, breaks func(*corev1.Secret)) {
		GinkgoHelper()
		state := w.secret(ctx, "billing-session")
		breaks(state)
		Expect(admin.Update(ctx, state)).To(Succeed())
	}
	// healed waits for a new token, and expects one login for it and a whole target all the while.
	healed := func(ctx context.Context) {
		GinkgoHelper()
		var wrong []string
		Eventually(func() int64 {
			switch target := w.secret(ctx, "billing"); {
			case target == nil:
				wrong = append(wrong, "no target")
			case !w.vault.TokenValid(string(target.Data[api.TargetKeyToken])):
				wrong = append(wrong, "a token that the server does not know")
			case string(target.Data[api.TargetKeyServerURL]) != w.vault.URL():
				wrong = append(wrong, fmt.Sprintf("a target with serverURL %q", target.Data[api.TargetKeyServerURL]))
			}
			return status(ctx, s)().LoginCount
		}).Should(BeEquivalentTo(2), "logins in the object's life")
		Expect(wrong).To(BeEmpty(), "what pods saw meanwhile")
		Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(2), "one login heals it")
		Expect(w.vault.Stats().FailedLogins).To(BeEmpty())
		Expect(w.vault.Stats().SpentRefreshTokensResent).To(BeZero())
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready))
		Expect(condition(ctx, s, api.ConditionRefreshable)()).To(Equal("Refreshable=True " + api.ReasonRefreshTokenHeld))
		Expect(w.secret(ctx, "billing").Data).NotTo(Equal(before))
		Expect(maps.Keys(w.secret(ctx, "billing-session").Data)).NotTo(ContainElement(HavePrefix("x-")))
	}

	DescribeTable("whose record cannot be read is noticed at once and costs one login:",
		func(ctx SpecContext, breaks func(*corev1.Secret)) {
			broken(ctx, breaks)
			healed(ctx)
		},
		Entry("garbage", recordOf("garbage")),
		Entry("binary garbage", recordOf("\x00\x01\uffff")),
		Entry("nothing", recordOf("")),
		Entry("no annotation", noRecord),
		Entry("a record cut short", recordOf(`{"format":1,"identity":{"source":"`)),
		Entry("a record of a later format", recordOf(`{"format":99,"grant":"Password"}`)),
		Entry("a record that contradicts itself", recordOf(
			`{"format":1,"grant":"Password","issuedAt":"2026-01-02T00:00:00Z","expiresAt":"2026-01-01T00:00:00Z"}`)),
		Entry("an empty record", recordOf(`{}`)),
		Entry("garbage, and garbage for data", all(recordOf("garbage"), dataOf("\x00garbage"))),
		Entry("nothing left at all", all(noRecord, noData)),
	)

	It("that is deleted is noticed at once and costs one login", func(ctx SpecContext) {
		Expect(admin.Delete(ctx, w.secret(ctx, "billing-session"))).To(Succeed())
		healed(ctx)
	})

	DescribeTable("whose data cannot be used is noticed at the next renewal and costs one login:",
		func(ctx SpecContext, breaks func(*corev1.Secret)) {
			broken(ctx, breaks)
			update(ctx, s, asked("now"))
			healed(ctx)
			Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(BeZero())
		},
		Entry("none", noData),
		Entry("empty values", dataOf("")),
		Entry("garbage", dataOf("\x00\xffgarbage\n")),
		Entry("no access token", without("accessToken")),
		Entry("no refresh token", without("refreshToken")),
		Entry("other keys", otherKeys),
	)

	DescribeTable("never brings what is no token into the target, though the target needs repair:",
		func(ctx SpecContext, breaks func(*corev1.Secret)) {
			broken(ctx, breaks)
			Expect(admin.Delete(ctx, w.secret(ctx, "billing"))).To(Succeed())
			var seen []string
			Eventually(func() bool {
				token := w.token(ctx, "billing")()
				if token != "" && !w.vault.TokenValid(token) {
					seen = append(seen, fmt.Sprintf("%q", token))
				}
				return w.vault.TokenValid(token)
			}).Should(BeTrue(), "the session heals")
			Expect(seen).To(BeEmpty(), "what pods saw as a token meanwhile")
			Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready))
		},
		Entry("no data", noData),
		Entry("empty values", dataOf("")),
		Entry("garbage", dataOf("\x00\xffgarbage\n")),
		Entry("no access token", without("accessToken")),
		Entry("other keys", otherKeys),
	)

	It("that belongs to somebody else is never touched, and the target stays", func(ctx SpecContext) {
		broken(ctx, func(state *corev1.Secret) { state.OwnerReferences = nil })
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal("Stalled=True " + api.ReasonTargetConflict))
		Expect(message(ctx, s, api.ConditionStalled)).To(ContainSubstring("Delete it, or rename the session."))
		Expect(w.secret(ctx, "billing").Data).To(Equal(before))
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal(ready), "its token is still valid")

		By("deleting it")
		Expect(admin.Delete(ctx, w.secret(ctx, "billing-session"))).To(Succeed())
		healed(ctx)
		Expect(metav1.IsControlledBy(w.secret(ctx, "billing-session"), s)).To(BeTrue())
	})
})
