package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = Describe("A container that takes the token from the environment or by subPath", func() {
	It("keeps the first one until its pod is replaced, as Reloader does it", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.create(ctx, "billing")
		w.ready(ctx, "billing")
		selector := map[string]string{"app": "consumer"}
		Expect(admin.Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: w.namespace, Name: "consumer",
				// What Stakater's Reloader goes by; it is not here, and the rollout below is what it would do.
				Annotations: map[string]string{"secret.reloader.stakater.com/reload": "billing"},
			},
			Spec: appsv1.DeploymentSpec{
				Selector: &metav1.LabelSelector{MatchLabels: selector},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: selector},
					Spec:       w.consumerPod("billing", volume, subPath, environment),
				},
			},
		})).To(Succeed())
		rollout := func() (inVolume, inSubPath, inEnvironment consumer) {
			GinkgoHelper()
			must(ctx, "rollout", "status", "--namespace="+w.namespace, "deployment/consumer", "--timeout="+patience.String())
			var pods corev1.PodList
			Eventually(ctx, func() []corev1.Pod {
				Expect(admin.List(ctx, &pods, client.InNamespace(w.namespace), client.MatchingLabels(selector))).To(Succeed())
				return pods.Items
			}).Should(HaveLen(1))
			name := pods.Items[0].Name
			return consumer{w, name, "volume"}, consumer{w, name, "subpath"}, consumer{w, name, "environment"}
		}
		inVolume, inSubPath, inEnvironment := rollout()
		for _, c := range []consumer{inVolume, inSubPath, inEnvironment} {
			c.waitFor(ctx, 1)
		}

		old := w.token(ctx)
		w.renew(ctx)
		inVolume.waitFor(ctx, 2)
		Expect(inSubPath.figures(ctx).Tokens).To(Equal(1), "tokens seen by subPath")
		Expect(inEnvironment.figures(ctx).Tokens).To(Equal(1), "tokens seen in the environment")

		By("letting the old token run out")
		w.vault.expire(ctx, old)
		for _, c := range []consumer{inSubPath, inEnvironment} {
			Eventually(ctx, func() int { return c.figures(ctx).Refused }).WithPolling(pollLogs).Should(BeNumerically(">", 0), "refused calls of %s", c.container)
		}
		Expect(inVolume.figures(ctx).Refused).To(BeZero(), "refused calls of the volume")

		By("replacing the pod")
		must(ctx, "rollout", "restart", "--namespace="+w.namespace, "deployment/consumer")
		inVolume, inSubPath, inEnvironment = rollout()
		for _, c := range []consumer{inVolume, inSubPath, inEnvironment} {
			c.waitFor(ctx, 1)
		}
		expectNoRefusal(ctx, inVolume, inSubPath, inEnvironment)
	})
})
