package gitops

import (
	"testing"

	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// The ways in which people and tools apply a manifest.
var tools = map[string]func(t *testing.T, manifest string){
	"kubectl apply": func(t *testing.T, manifest string) {
		t.Helper()
		mustKubectl(t, manifest, "apply", "-f", "-")
	},
	"kubectl apply --server-side": func(t *testing.T, manifest string) {
		t.Helper()
		mustKubectl(t, manifest, "apply", "--server-side", "-f", "-")
	},
	"Flux": func(t *testing.T, manifest string) {
		t.Helper()
		fluxApply(t, manifest)
	},
	"Argo CD with ServerSideApply=true": func(t *testing.T, manifest string) {
		t.Helper()
		argoApply(t, manifest)
	},
}

func TestApplyingTheSameAgainChangesNothing(t *testing.T) {
	t.Parallel()
	for tool, apply := range tools {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			startOperator(t, w.namespace)
			// The second has a finalizer of the operator's, which the manifest does not know of.
			manifests := map[string]string{"billing": w.manifest(), "whole": w.wholeManifest()}
			for name, manifest := range manifests {
				apply(t, manifest)
				w.becomesReady(t, name)
			}
			w.Expect(w.session(t, "whole").Finalizers).To(ConsistOf(api.FinalizerRevoke))
			before := map[string]picture{}
			for name := range manifests {
				before[name] = w.picture(t, name)
			}

			for range 3 {
				for _, manifest := range manifests {
					apply(t, manifest)
				}
			}

			for name := range manifests {
				w.staysAsItIs(t, name, before[name])
			}
			w.Expect(w.session(t, "whole").Finalizers).To(ConsistOf(api.FinalizerRevoke), "the finalizer stays")
		})
	}
}

//nolint:tparallel // both look at one world, which ends with this test
func TestAppliedSessionsDoNotDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	manifest := w.manifest() + "---\n" + w.wholeManifest()
	mustKubectl(t, manifest, "apply", "-f", "-")
	w.becomesReady(t, "billing")
	w.becomesReady(t, "whole")
	for name, args := range map[string][]string{
		"on the client": {"diff", "-f", "-"},
		"on the server": {"diff", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			// kubectl diff ends with status 1 if there is a difference.
			output, err := kubectl(t, manifest, args...)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			NewWithT(t).Expect(output).To(BeEmpty())
		})
	}
}

// A manifest that was had by kubectl get -o yaml is applied with the status that the session had then. The API server drops that,
// but notes the time in the managed fields.
func TestStatusInAManifestIsIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	mustKubectl(t, w.manifest(), "apply", "--server-side", "-f", "-")
	w.becomesReady(t, "billing")
	before := w.picture(t, "billing")
	status := w.session(t, "billing").Status

	stale := w.manifest() + `status:
  observedGeneration: 7
  targetName: elsewhere
  conditions:
  - {type: Ready, status: "False", reason: Suspended, message: stale, lastTransitionTime: "2024-01-01T00:00:00Z"}
`
	mustKubectl(t, stale, "apply", "--server-side", "-f", "-")

	before.Session = w.session(t, "billing").ResourceVersion
	w.staysAsItIs(t, "billing", before)
	w.Expect(w.session(t, "billing").Status).To(Equal(status))
}
