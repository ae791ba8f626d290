package e2e

import (
	"context"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
)

// What the installer makes.
const (
	operatorNamespace  = "secret-server-operator-system"
	operatorDeployment = "secret-server-operator-controller-manager"
	operatorService    = "secret-server-operator-controller-manager-metrics"
	operatorSelector   = "app.kubernetes.io/name=secret-server-operator,app.kubernetes.io/component=controller-manager"
	operatorAccount    = "system:serviceaccount:secret-server-operator-system:secret-server-operator-controller-manager"
	metricsReader      = "secret-server-operator-metrics-reader"
	crd                = "secretserversessions.secretserver.tokensync.dev"
)

// install does what the README tells.
func install(ctx context.Context) {
	GinkgoHelper()
	must(ctx, "apply", "--filename="+settings.installer)
	rolledOut(ctx)
}

func rolledOut(ctx context.Context) {
	GinkgoHelper()
	must(ctx, "rollout", "status", "--namespace="+operatorNamespace, "deployment/"+operatorDeployment, "--timeout="+patience.String())
}

// uninstall does what the README tells.
func uninstall(ctx context.Context) {
	GinkgoHelper()
	if must(ctx, "get", "crd", crd, "--ignore-not-found", "--output=name") != "" {
		must(ctx, "delete", crd, "--all", "--all-namespaces", "--timeout=90s")
	}
	deleteInstaller(ctx)
}

func deleteInstaller(ctx context.Context) {
	GinkgoHelper()
	must(ctx, "delete", "--filename="+settings.installer, "--ignore-not-found", "--timeout="+patience.String())
}

// collectorSeesSessions waits until Kubernetes' garbage collector watches the sessions, by which it learns that one is gone: it looks for
// new kinds every 30 s, and after the CRD was away for a while it tries its watch again as rarely. What belongs to a session that came
// and went before is not collected once the CRD is gone too. A session deleted in the foreground stays until the collector has seen it.
func (w *world) collectorSeesSessions(ctx context.Context) {
	GinkgoHelper()
	s := w.create(ctx, "seen", func(s *api.SecretServerSessionSpec) { s.Suspend = true })
	Expect(admin.Delete(ctx, s, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
	Eventually(ctx, func() bool {
		return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(s), &api.SecretServerSession{}))
	}).Should(BeTrue(), "the garbage collector lets a session go that was deleted in the foreground")
}

// remains lists what there is of the operator in the cluster, and of what it makes.
func remains(ctx context.Context) []string {
	GinkgoHelper()
	const kinds = "clusterroles,clusterrolebindings,customresourcedefinitions,namespaces,priorityclasses"
	output := must(ctx, "get", kinds, "--selector=app.kubernetes.io/name=secret-server-operator", "--output=name")
	output += must(ctx, "get", "crd/"+crd, "namespace/"+operatorNamespace, "--ignore-not-found", "--output=name")
	output += must(ctx, "get", "secrets", "--all-namespaces", "--selector="+api.LabelManagedBy+"="+api.ManagedBy, "--output=name")
	found := strings.Fields(output)
	slices.Sort(found)
	return slices.Compact(found)
}

// replicas are the operator's pods that are not going away.
func replicas(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	selector, err := labels.Parse(operatorSelector)
	Expect(err).NotTo(HaveOccurred())
	var list corev1.PodList
	Expect(admin.List(ctx, &list, client.InNamespace(operatorNamespace), client.MatchingLabelsSelector{Selector: selector})).To(Succeed())
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

func names(pods []corev1.Pod) []string {
	var list []string
	for _, pod := range pods {
		list = append(list, pod.Name)
	}
	return list
}

// leader is the process that has the lease, and its pod; empty if nobody has it.
func leader(ctx context.Context) (holder, pod string) {
	GinkgoHelper()
	lease := &coordinationv1.Lease{}
	name := types.NamespacedName{Namespace: operatorNamespace, Name: controllers.LeaseName(nil, labels.Everything())}
	Expect(client.IgnoreNotFound(admin.Get(ctx, name, lease))).To(Succeed())
	holder = ptr.Deref(lease.Spec.HolderIdentity, "")
	pod, _, _ = strings.Cut(holder, "_")
	return holder, pod
}

// scale sets how many replicas there are, and waits until it is so.
func scale(ctx context.Context, count int) {
	GinkgoHelper()
	must(ctx, "scale", "--namespace="+operatorNamespace, "deployment/"+operatorDeployment, "--replicas="+strconv.Itoa(count))
	rolledOut(ctx)
	Eventually(ctx, func() string {
		return must(ctx, "get", "pods", "--namespace="+operatorNamespace, "--selector="+operatorSelector, "--output=name")
	}).Should(WithTransform(strings.Fields, HaveLen(count)), "the operator's pods")
}
