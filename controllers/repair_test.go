package controllers_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

var _ = Describe("The target", func() {
	var (
		w      *world
		op     *operator
		s      *api.SecretServerSession
		before *corev1.Secret
	)
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		op = startOperator(inNamespaces(w.namespace))
		s = w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		before = w.secret(ctx, "billing")
		w.vault.ResetStats()
	})
	content := func(ctx context.Context) func() map[string][]byte {
		return func() map[string][]byte {
			if secret := w.secret(ctx, "billing"); secret != nil {
				return secret.Data
			}
			return nil
		}
	}
	patch := func(ctx context.Context, body string) {
		GinkgoHelper()
		Expect(admin.Patch(ctx, before.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body)))).To(Succeed())
	}
	restored := func(ctx context.Context) {
		GinkgoHelper()
		Eventually(content(ctx)).WithTimeout(time.Second).Should(Equal(before.Data), "restored within a second")
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
	}

	It("comes back when it is deleted", func(ctx SpecContext) {
		Expect(admin.Delete(ctx, before.DeepCopy())).To(Succeed())
		restored(ctx)
		Eventually(events(ctx, w)).Should(ContainElement("Normal " + api.EventTargetRepaired))
	})

	It("loses an edit of the token", func(ctx SpecContext) {
		patch(ctx, `{"data":{"token":"eHh4"}}`)
		restored(ctx)
	})

	It("gets a removed key back", func(ctx SpecContext) {
		patch(ctx, `{"data":{"serverURL":null}}`)
		restored(ctx)
	})

	It("loses a key that somebody added", func(ctx SpecContext) {
		patch(ctx, `{"data":{"extra":"eHh4"}}`)
		restored(ctx)
	})

	It("loses stringData that somebody applied over it, and the same again", func(ctx SpecContext) {
		for range 2 {
			forged := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "v1", "kind": "Secret",
				"metadata":   map[string]any{"namespace": w.namespace, "name": "billing"},
				"stringData": map[string]any{api.TargetKeyToken: "forged", "extra": "forged"},
			}}
			Expect(admin.Apply(ctx, client.ApplyConfigurationFromUnstructured(forged), client.FieldOwner("somebody"), client.ForceOwnership)).To(Succeed())
			restored(ctx)
			Eventually(func() string { return fmt.Sprint(w.secret(ctx, "billing").ManagedFields) }).ShouldNot(ContainSubstring("f:stringData"))
		}
		version := w.secret(ctx, "billing").ResourceVersion
		Consistently(func() string { return w.secret(ctx, "billing").ResourceVersion }).Should(Equal(version), "it is restored once")
	})

	It("gets its own labels back and leaves others alone", func(ctx SpecContext) {
		patch(ctx, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"me","team":"payments"}}}`)
		Eventually(func() map[string]string { return w.secret(ctx, "billing").Labels }).WithTimeout(time.Second).Should(Equal(
			map[string]string{api.LabelManagedBy: api.ManagedBy, api.LabelSession: "billing", "team": "payments"}))
	})

	It("loses an edit that was made while the operator was away", func(ctx SpecContext) {
		op.stop()
		patch(ctx, `{"data":{"token":"eHh4"}}`)
		startOperator(inNamespaces(w.namespace))
		Eventually(content(ctx)).Should(Equal(before.Data))
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
	})

	It("moves when its name changes, and the old Secret goes", func(ctx SpecContext) {
		update(ctx, s, func(s *api.SecretServerSession) { s.Spec.Target.Name = "moved" })
		Eventually(w.token(ctx, "moved")).Should(Equal(string(before.Data[api.TargetKeyToken])))
		Eventually(func() *corev1.Secret { return w.secret(ctx, "billing") }).Should(BeNil())
		Eventually(func() string { return status(ctx, s)().TargetName }).Should(Equal("moved"))
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no call to Secret Server")
	})

	It("takes labels and annotations from the spec, and drops them again", func(ctx SpecContext) {
		update(ctx, s, func(s *api.SecretServerSession) {
			s.Spec.Target.Labels = map[string]api.LabelValue{"team": "payments"}
			s.Spec.Target.Annotations = map[string]api.AnnotationValue{"example.com/owner": "billing team"}
		})
		Eventually(func() metav1.ObjectMeta { return w.secret(ctx, "billing").ObjectMeta }).Should(And(
			HaveField("Labels", HaveKeyWithValue("team", "payments")),
			HaveField("Annotations", HaveKeyWithValue("example.com/owner", "billing team"))))
		update(ctx, s, func(s *api.SecretServerSession) { s.Spec.Target.Labels, s.Spec.Target.Annotations = nil, nil })
		Eventually(func() metav1.ObjectMeta { return w.secret(ctx, "billing").ObjectMeta }).Should(And(
			HaveField("Labels", Not(HaveKey("team"))),
			HaveField("Annotations", BeEmpty())))
	})
})

var _ = Describe("A target that belongs to somebody else", func() {
	foreign := func(ctx context.Context, w *world, name string) *corev1.Secret {
		GinkgoHelper()
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
			Data:       map[string][]byte{"theirs": []byte("precious")},
		}
		Expect(admin.Create(ctx, secret)).To(Succeed())
		return secret
	}

	It("is never touched, and the session goes on once it is gone", func(ctx SpecContext) {
		w := newWorld(ctx)
		theirs := foreign(ctx, w, "billing")
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")

		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal("Stalled=True " + api.ReasonTargetConflict))
		Expect(condition(ctx, s, api.ConditionReady)()).To(Equal("Ready=False " + api.ReasonTargetConflict))
		Expect(w.secret(ctx, "billing").ResourceVersion).To(Equal(theirs.ResourceVersion))
		Expect(w.vault.Stats().Requests).To(BeEmpty(), "no login for a token that has no place")
		Eventually(events(ctx, w)).Should(ContainElement("Warning " + api.EventTargetConflict))

		Expect(admin.Delete(ctx, theirs)).To(Succeed())
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		Expect(condition(ctx, s, api.ConditionStalled)()).To(Equal("Stalled absent"))
	})

	It("does not cost the old target when the name moves onto it", func(ctx SpecContext) {
		w := newWorld(ctx)
		theirs := foreign(ctx, w, "theirs")
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))

		update(ctx, s, func(s *api.SecretServerSession) { s.Spec.Target.Name = "theirs" })
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal("Stalled=True " + api.ReasonTargetConflict))
		Expect(w.secret(ctx, "theirs").ResourceVersion).To(Equal(theirs.ResourceVersion))
		Expect(w.token(ctx, "billing")()).NotTo(BeEmpty(), "pods go on with the old Secret")
	})
})
