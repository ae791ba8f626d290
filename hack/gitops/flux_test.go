package gitops

import (
	"strings"
	"testing"
)

// fluxManager is the field manager of Flux's kustomize-controller.
const fluxManager = "kustomize-controller"

// fluxApply applies a text of manifests as kustomize-controller does: on the server, as the owner of what git says, with the labels of its
// Kustomization. It returns the objects with their resource versions, a line each.
func fluxApply(t *testing.T, manifests string) string {
	t.Helper()
	labelled := mustKubectl(t, manifests, "label", "--local", "-f", "-", "-o", "json",
		"kustomize.toolkit.fluxcd.io/name=sessions", "kustomize.toolkit.fluxcd.io/namespace=flux-system")
	return serverSideApply(t, fluxManager, labelled)
}

// argoApply applies a text of manifests as Argo CD does with ServerSideApply=true. It returns the same.
func argoApply(t *testing.T, manifests string) string {
	t.Helper()
	return serverSideApply(t, "argocd-controller", manifests)
}

// serverSideApply applies a text of manifests on behalf of a field manager, which wins.
func serverSideApply(t *testing.T, manager, manifests string) string {
	t.Helper()
	output := mustKubectl(t, manifests, "apply", "--server-side", "--force-conflicts", "--field-manager="+manager, "-f", "-",
		"-o", `jsonpath={.kind} {.metadata.name} {.metadata.resourceVersion}{range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	return strings.TrimSpace(output)
}
