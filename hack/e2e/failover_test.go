package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

var _ = Describe("The operator", func() {
	It("runs as two replicas under PodSecurity restricted, as nobody in particular", func(ctx SpecContext) {
		pods := replicas(ctx)
		Expect(pods).To(HaveLen(2))
		for _, pod := range pods {
			Expect(pod.Status.Phase).To(Equal(corev1.PodRunning))
			Expect("system:serviceaccount:" + pod.Namespace + ":" + pod.Spec.ServiceAccountName).To(Equal(operatorAccount))
		}
		namespace := &corev1.Namespace{}
		Expect(admin.Get(ctx, types.NamespacedName{Name: operatorNamespace}, namespace)).To(Succeed())
		Expect(namespace.Labels).To(HaveKeyWithValue("pod-security.kubernetes.io/enforce", "restricted"))
		_, err := kubectl(ctx, "run", "--namespace="+operatorNamespace, "--image="+settings.consumer, "--privileged", "--dry-run=server", "privileged")
		Expect(err).To(MatchError(ContainSubstring("violates PodSecurity")))
		for _, forbidden := range [][]string{{"list", "pods"}, {"create", "pods"}, {"delete", crd}, {"get", "nodes"}, {"create", "clusterroles"}, {"impersonate", "users"}} {
			answer, err := kubectl(ctx, append([]string{"auth", "can-i", "--as=" + operatorAccount, "--all-namespaces"}, forbidden...)...)
			Expect(err).To(HaveOccurred(), "may the operator %v? %s", forbidden, answer)
		}
	})

	It("works on when the leader's pod is killed, and pods notice nothing", func(ctx SpecContext) {
		w := newWorld(ctx, "--token-lifetime="+settings.lifetime.String())
		w.create(ctx, "billing", percent(settings.percent))
		w.ready(ctx, "billing")
		c := w.consume(ctx, "consumer", "billing")
		former, pod := leader(ctx)
		Expect(pod).NotTo(BeEmpty())

		killed := time.Now()
		must(ctx, "delete", "pod", "--namespace="+operatorNamespace, pod, "--grace-period=0", "--force")
		Eventually(ctx, func() string {
			holder, _ := leader(ctx)
			return holder
		}).ShouldNot(BeElementOf(former, ""), "somebody else leads")
		note("The standby led %.1f s after the leader's pod had been killed.", time.Since(killed).Seconds())
		// Those that the new leader has made.
		c.waitFor(ctx, c.figures(ctx).Tokens+2)
		expectNoRefusal(ctx, c)
		w.vault.expectNoLoss(ctx)
		rolledOut(ctx)
	})

	It("is restarted without a call to Secret Server, and pods notice nothing", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.create(ctx, "billing")
		w.ready(ctx, "billing")
		c := w.consume(ctx, "consumer", "billing")
		before := w.vault.operatorCalls(ctx)
		Expect(before).To(HaveLen(1), "the login")
		written := w.secret(ctx, "billing").ResourceVersion
		former := names(replicas(ctx))

		must(ctx, "rollout", "restart", "--namespace="+operatorNamespace, "deployment/"+operatorDeployment)
		rolledOut(ctx)
		Eventually(ctx, func() string {
			_, pod := leader(ctx)
			return pod
		}).ShouldNot(BeElementOf(append(former, "")), "a new pod leads")

		By("having the new leader do something, so that it has looked at the session")
		must(ctx, "delete", "--namespace="+w.namespace, "secret/billing")
		Eventually(ctx, func() string { return w.secret(ctx, "billing").ResourceVersion }).ShouldNot(BeElementOf(written, ""))
		Expect(w.vault.operatorCalls(ctx)).To(Equal(before))

		By("having it renew")
		w.renew(ctx)
		Expect(w.vault.stats(ctx).Granted(secretservertest.Refresh)).To(Equal(1), "it holds the refresh token")
		c.waitFor(ctx, 2)
		expectNoRefusal(ctx, c)
		w.vault.expectNoLoss(ctx)
	})
})
