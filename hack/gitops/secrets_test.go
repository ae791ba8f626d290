package gitops

import (
	"fmt"
	"maps"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// secretManifest is a Secret as somebody keeps it in git.
func (w *world) secretManifest(name, rest string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata:\n  namespace: %s\n  name: %s\n%s", w.namespace, name, rest)
}

func TestLabelsAndAnnotationsOfOthersStayOnTheSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	fluxApply(t, w.manifest())
	w.becomesReady(t, "billing")
	for _, name := range []string{"billing", api.StateSecretName("billing")} {
		mustKubectl(t, w.secretManifest(name, "  labels: {team: payments}\n  annotations: {example.com/seen: \"yes\"}\n"),
			"apply", "--server-side", "--field-manager=inventory", "-f", "-")
	}
	before := w.picture(t, "billing")
	w.staysAsItIs(t, "billing", before)

	w.renew(t, "billing", "now")

	for _, name := range []string{"billing", api.StateSecretName("billing")} {
		secret := w.secret(t, name)
		w.Expect(secret.Labels).To(And(HaveKeyWithValue("team", "payments"), HaveKeyWithValue(api.LabelManagedBy, api.ManagedBy)))
		w.Expect(secret.Annotations).To(HaveKeyWithValue("example.com/seen", "yes"))
	}
	w.staysAsItIs(t, "billing", w.picture(t, "billing"))
}

// Argo CD would take a child that bears its tracking mark for an object of the application, miss it in git, and prune it.
func TestMarksOfGitOpsToolsAreNotCopiedToTheSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	tracking := annotated(w.manifest(), "argocd.argoproj.io/tracking-id", "sessions:secretserver.tokensync.dev/SecretServerSession:x/billing")
	mustKubectl(t, tracking, "apply", "--server-side", "--field-manager=argocd-controller", "-f", "-")
	mustKubectl(t, "", "label", "sss", "billing", "-n", w.namespace, "app.kubernetes.io/instance=sessions")
	fluxApply(t, tracking)
	w.becomesReady(t, "billing")
	w.renew(t, "billing", "now")

	for _, name := range []string{"billing", api.StateSecretName("billing")} {
		secret := w.secret(t, name)
		w.Expect(secret.Labels).To(Equal(map[string]string{api.LabelManagedBy: api.ManagedBy, api.LabelSession: "billing"}))
		w.Expect(secret.Annotations).NotTo(HaveKey(HavePrefix("argocd.argoproj.io/")))
		w.Expect(secret.OwnerReferences).To(ConsistOf(HaveField("Kind", api.Kind)), "Argo CD and the garbage collector see whose child it is")
	}
}

//nolint:tparallel // its parts follow each other
func TestTargetThatGitHasToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	// As Flux sends it, whatever git has: the API server does not account for who applied stringData.
	inGit := w.secretManifest("billing", "data: {token: Zm9yZ2Vk, extra: ZnJvbSBnaXQ=}\n")

	t.Run("and that git made first is not touched", func(t *testing.T) {
		w := w.in(t)
		fluxApply(t, inGit)
		fluxApply(t, w.manifest())
		w.Eventually(func() string { return w.condition(t, "billing", api.ConditionStalled) }).Should(Equal(
			api.ConditionStalled + "=True " + api.ReasonTargetConflict))
		w.Expect(w.secret(t, "billing").Data).To(HaveKeyWithValue("token", []byte("forged")))
		w.Expect(w.vault.Stats().Requests).To(BeEmpty(), "no login for a token that has no place")
		result, err := status.Compute(w.live(t, "billing"))
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(result.Status).To(Equal(status.FailedStatus))
	})

	t.Run("goes to the session when git lets go of it", func(t *testing.T) {
		w := w.in(t)
		w.Expect(shared.admin.Delete(t.Context(), w.secret(t, "billing"))).To(Succeed())
		w.becomesReady(t, "billing")
	})

	t.Run("and that git overwrites is restored each time, from stored state", func(t *testing.T) {
		w := w.in(t)
		data := w.secret(t, "billing").Data
		requests := maps.Clone(w.vault.Stats().Requests)
		for range 2 {
			fluxApply(t, inGit)
			w.Eventually(func() map[string][]byte { return w.secret(t, "billing").Data }).Should(Equal(data))
			w.becomesReady(t, "billing")
		}
		w.staysAsItIs(t, "billing", w.picture(t, "billing"))
		w.Expect(w.vault.Stats().Requests).To(Equal(requests), "no call to Secret Server")
	})

	t.Run("and that git replaces whole belongs to git again", func(t *testing.T) {
		w := w.in(t)
		mustKubectl(t, inGit, "replace", "-f", "-")
		w.Eventually(func() string { return w.condition(t, "billing", api.ConditionStalled) }).Should(Equal(
			api.ConditionStalled + "=True " + api.ReasonTargetConflict))
		w.Expect(w.secret(t, "billing").Data).To(HaveKeyWithValue("extra", []byte("from git")))
		w.Expect(shared.admin.Delete(t.Context(), w.secret(t, "billing"))).To(Succeed())
		w.becomesReady(t, "billing")
	})
}
