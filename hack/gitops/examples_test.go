package gitops

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// run runs a program in a directory and returns its standard output.
func run(t *testing.T, directory, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...) //nolint:gosec // of the tests alone
	cmd.Dir = directory
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &stderr)
	}
	return string(output)
}

// clone is a clone of a repository with this one's config/ as it stands, as a GitOps tool makes it.
func clone(t *testing.T) string {
	t.Helper()
	origin, clone := t.TempDir(), t.TempDir()
	for name := range strings.SplitSeq(run(t, root, "git", "ls-files", "--cached", "--others", "--exclude-standard", "config"), "\n") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if name == "" || os.IsNotExist(err) {
			continue // deleted, but git still tracks it
		}
		g := NewWithT(t)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.MkdirAll(filepath.Join(origin, filepath.Dir(name)), 0o700)).To(Succeed())
		g.Expect(os.WriteFile(filepath.Join(origin, name), content, 0o600)).To(Succeed())
	}
	run(t, origin, "git", "init", "--quiet", "--initial-branch=main")
	run(t, origin, "git", "add", "--all")
	run(t, origin, "git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message=Everything")
	run(t, clone, "git", "clone", "--quiet", "--depth=1", "--branch=main", "file://"+origin, ".")
	return clone
}

// kustomize renders a kustomization.
func kustomize(t *testing.T, directory string) string {
	t.Helper()
	return run(t, root, "go", "tool", "-modfile=hack/tools/kustomize/go.mod", "kustomize", "build", directory)
}

// An overlay is what a GitOps tool adds to the folder that it was pointed to.
type overlay struct {
	Resources []string `json:"resources"`
	Namespace string   `json:"namespace,omitempty"`
	Images    any      `json:"images,omitempty"`
	Patches   any      `json:"patches,omitempty"`
}

// render renders a folder of a clone as a GitOps tool does.
func (o overlay) render(t *testing.T, clone, path string) string {
	t.Helper()
	g := NewWithT(t)
	g.Expect(filepath.Join(clone, path)).To(BeADirectory(), "the folder that the example points to is in git")
	directory, err := os.MkdirTemp(clone, "overlay-") //nolint:usetesting // kustomize wants it inside the clone
	g.Expect(err).NotTo(HaveOccurred())
	o.Resources = []string{filepath.Join("..", path)}
	text, err := yaml.Marshal(o)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(directory, "kustomization.yaml"), text, 0o600)).To(Succeed())
	return kustomize(t, directory)
}

// documents are those of a rendered kustomization that are of a kind, read with the kind's own type: an unknown field is an error.
func documents[T any](t *testing.T, rendered, kind string) []T {
	t.Helper()
	var found []T
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		var header struct{ Kind string }
		var typed T
		g := NewWithT(t)
		g.Expect(yaml.Unmarshal([]byte(document), &header)).To(Succeed())
		if header.Kind == kind {
			g.Expect(yaml.UnmarshalStrict([]byte(document), &typed)).To(Succeed())
			found = append(found, typed)
		}
	}
	return found
}

func TestExamplesWorkFromGit(t *testing.T) {
	clone := clone(t)

	t.Run("Flux", func(t *testing.T) {
		g := NewWithT(t)
		rendered := kustomize(t, filepath.Join(clone, "config", "examples", "flux"))
		sources := documents[sourcev1.GitRepository](t, rendered, sourcev1.GitRepositoryKind)
		g.Expect(sources).To(HaveLen(1))
		done := map[string]bool{}
		for _, k := range inOrder(t, documents[kustomizev1.Kustomization](t, rendered, kustomizev1.KustomizationKind)) {
			g.Expect(k.Spec.SourceRef.Name).To(Equal(sources[0].Name))
			g.Expect(k.Spec.Wait).To(BeTrue())
			manifests := overlay{Images: k.Spec.Images, Patches: k.Spec.Patches, Namespace: k.Spec.TargetNamespace}.render(t, clone, k.Spec.Path)
			fluxApply(t, manifests)
			// No operator runs here: the first repetition stores the default of a status that nobody has written, once.
			second := fluxApply(t, manifests)
			g.Expect(fluxApply(t, manifests)).To(Equal(second), "applied again")
			done[k.Name] = true
		}
		g.Expect(done).To(HaveLen(2))
		expectApplied(t, "kustomize.toolkit.fluxcd.io/prune", "disabled")
	})

	t.Run("Argo CD", func(t *testing.T) {
		g := NewWithT(t)
		rendered := kustomize(t, filepath.Join(clone, "config", "examples", "argocd"))
		mustKubectl(t, "", "apply", "--server-side", "-f", "testdata/application-crd.yaml")
		mustKubectl(t, "", "wait", "--for=condition=Established", "--timeout=60s", "crd/applications.argoproj.io")
		mustKubectl(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: argocd}\n", "apply", "-f", "-")
		mustKubectl(t, rendered, "apply", "--server-side", "--validate=strict", "-f", "-")
		applications := documents[application](t, rendered, "Application")
		g.Expect(applications).To(HaveLen(2))
		for wave, a := range applications { // operator.yaml, sessions.yaml
			g.Expect(a.Metadata.Annotations).To(HaveKeyWithValue("argocd.argoproj.io/sync-wave", strconv.Itoa(wave)))
			var images []map[string]string
			for _, image := range a.Spec.Source.Kustomize.Images {
				name, replacement, _ := strings.Cut(image, "=")
				at := strings.LastIndex(replacement, ":")
				images = append(images, map[string]string{"name": name, "newName": replacement[:at], "newTag": replacement[at+1:]})
			}
			manifests := overlay{Images: images, Patches: a.Spec.Source.Kustomize.Patches}.render(t, clone, a.Spec.Source.Path)
			first := argoApply(t, manifests)
			g.Expect(argoApply(t, manifests)).To(Equal(first), "applied again")
		}
		expectApplied(t, "argocd.argoproj.io/sync-options", "Prune=false,Delete=false")
	})
}

// An application is what of Argo CD's Application says what to render. The API server checks the rest.
type application struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Project     string `json:"project"`
		Destination any    `json:"destination"`
		SyncPolicy  any    `json:"syncPolicy"`
		Source      struct {
			RepoURL        string `json:"repoURL"`
			TargetRevision string `json:"targetRevision"`
			Path           string `json:"path"`
			Kustomize      struct {
				Images  []string `json:"images"`
				Patches any      `json:"patches"`
			} `json:"kustomize"`
		} `json:"source"`
	} `json:"spec"`
}

// inOrder sorts Kustomizations so that each comes after what it depends on.
func inOrder(t *testing.T, all []kustomizev1.Kustomization) []kustomizev1.Kustomization {
	t.Helper()
	var sorted []kustomizev1.Kustomization
	done := map[string]bool{}
	for range all {
		for _, k := range all {
			ready := !done[k.Name]
			for _, other := range k.Spec.DependsOn {
				ready = ready && done[other.Name]
			}
			if ready {
				done[k.Name] = true
				sorted = append(sorted, k)
			}
		}
	}
	if len(sorted) != len(all) {
		t.Fatalf("of %d Kustomizations %d can start: some depend on what is not there, or on each other", len(all), len(sorted))
	}
	return sorted
}

// expectApplied checks that the operator's Deployment has the image of the example, that the CRD bears a mark, and that the session is there.
func expectApplied(t *testing.T, mark, value string) {
	t.Helper()
	g := NewWithT(t)
	image := mustKubectl(t, "", "get", "deployment", "-n", "secret-server-operator-system", "secret-server-operator-controller-manager",
		"-o", "jsonpath={.spec.template.spec.containers[0].image}")
	g.Expect(image).To(Equal("registry.example.com/secret-server-operator:v0.1.0"))
	annotations := mustKubectl(t, "", "get", "crd", "secretserversessions.secretserver.tokensync.dev", "-o", "jsonpath={.metadata.annotations}")
	g.Expect(annotations).To(ContainSubstring(fmt.Sprintf("%q:%q", mark, value)))
	session := &api.SecretServerSession{}
	g.Expect(shared.admin.Get(t.Context(), types.NamespacedName{Namespace: "payments", Name: "billing"}, session)).To(Succeed())
	g.Expect(session.Status.ObservedGeneration).To(Equal(int64(-1)), "nobody has looked at it")
}
