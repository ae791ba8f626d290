package gitops

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// applySession applies some fields of a session, and nothing else, on behalf of a field manager. They are YAML that goes on after
// the name in the metadata.
func (w *world) applySession(t *testing.T, manager, name, fields string) {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  namespace: %s\n  name: %s\n%s",
		api.SchemeGroupVersion, api.Kind, w.namespace, name, fields)
	// kubectl itself would miss the fields that are required of a whole session.
	mustKubectl(t, manifest, "apply", "--server-side", "--validate=ignore", "--field-manager="+manager, "-f", "-")
}

// annotated is a manifest with an annotation.
func annotated(manifest, key, value string) string {
	return strings.Replace(manifest, "\nmetadata:\n", fmt.Sprintf("\nmetadata:\n  annotations:\n    %s: %q\n", key, value), 1)
}

// renew asks for a renewal as a person does, and waits until it is done.
func (w *world) renew(t *testing.T, name, value string) {
	t.Helper()
	mustKubectl(t, "", "annotate", "sss", name, "-n", w.namespace, "--overwrite", api.AnnotationRefreshRequested+"="+value)
	w.Eventually(func() string { return w.session(t, name).Status.LastHandledRefreshRequest }).Should(Equal(value))
	w.becomesReady(t, name)
}

func TestWhoSuspendsASessionBesideFluxDoesNotFightWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	fluxApply(t, w.manifest())
	w.becomesReady(t, "billing")

	w.applySession(t, "on-call", "billing", "spec:\n  suspend: true\n")
	w.becomesReady(t, "billing") // a suspended session keeps its token
	before := w.picture(t, "billing")
	for range 3 {
		fluxApply(t, w.manifest())
	}
	w.staysAsItIs(t, "billing", before)
	w.Expect(w.session(t, "billing").Spec.Suspend).To(BeTrue())

	w.applySession(t, "on-call", "billing", "")
	w.Eventually(func() bool { return w.session(t, "billing").Spec.Suspend }).Should(BeFalse(), "who set it lets go of it")
}

func TestFinalizersOfOthersAndOfTheOperatorLiveSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	fluxApply(t, w.wholeManifest())
	w.becomesReady(t, "whole")
	const theirs = "example.com/theirs"
	w.applySession(t, "somebody", "whole", "  finalizers: ["+theirs+"]\n")
	before := w.picture(t, "whole")

	fluxApply(t, w.wholeManifest())

	w.staysAsItIs(t, "whole", before)
	w.Expect(w.session(t, "whole").Finalizers).To(ConsistOf(api.FinalizerRevoke, theirs))
	w.applySession(t, "somebody", "whole", "")
	w.Expect(w.session(t, "whole").Finalizers).To(ConsistOf(api.FinalizerRevoke))
}

// Flux removes what was set with plain kubectl, an annotation too. The renewal was made by then, and is not made again.
func TestARenewalThatWasAskedForBesideGitIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	fluxApply(t, w.manifest())
	w.becomesReady(t, "billing")

	w.renew(t, "billing", "now")
	mustKubectl(t, "", "annotate", "sss", "billing", "-n", w.namespace, api.AnnotationRefreshRequested+"-")
	before := w.picture(t, "billing")
	fluxApply(t, w.manifest())

	w.staysAsItIs(t, "billing", before)
	w.Expect(w.vault.Stats().Granted(secretservertest.Password)).To(Equal(1))
	w.Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(Equal(1))
}

// In git the annotation stays what it is from one sync to the next.
func TestARenewalThatGitAsksForIsMadeOncePerValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	startOperator(t, w.namespace)
	fluxApply(t, w.manifest())
	w.becomesReady(t, "billing")
	for refreshes, value := range []string{"2026-01-01", "2026-01-02"} {
		manifest := annotated(w.manifest(), api.AnnotationRefreshRequested, value)
		fluxApply(t, manifest)
		w.Eventually(func() string { return w.session(t, "billing").Status.LastHandledRefreshRequest }).Should(Equal(value))
		w.becomesReady(t, "billing")
		before := w.picture(t, "billing")
		fluxApply(t, manifest)
		w.staysAsItIs(t, "billing", before)
		w.Expect(w.vault.Stats().Granted(secretservertest.Refresh)).To(Equal(refreshes + 1))
	}
}
