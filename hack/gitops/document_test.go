package gitops

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// row is what the table of docs/gitops.md says of a state. The states are tested, so the table is.
func (v verdict) row() string {
	where := "`" + v.condition + "`"
	if v.suspended {
		where += ", `spec.suspend` is true"
	}
	return "| `" + v.reason + "` | " + where + " | " + string(v.kstatus) + " | " + v.argo + " |"
}

func TestTableOfTheHandbookSaysWhatIsTested(t *testing.T) {
	want := map[string]bool{}
	for _, s := range states {
		want[s.row()] = true
	}
	for reason := range refreshable {
		want["| `"+reason+"` | `"+api.ConditionRefreshable+"` | as if it were not there | as if it were not there |"] = true
	}
	text, err := os.ReadFile(root + "/docs/gitops.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| Reason | Condition | kstatus | Argo CD |\n|---|---|---|---|\n")
	if !found {
		t.Fatal("docs/gitops.md has no table with the columns Reason, Condition, kstatus and Argo CD")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	got := slices.Sorted(strings.SplitSeq(table, "\n"))
	NewWithT(t).Expect(got).To(Equal(slices.Sorted(maps.Keys(want))))
}

func TestEveryReasonIsTested(t *testing.T) {
	tested := slices.Collect(maps.Keys(refreshable))
	for _, s := range states {
		tested = append(tested, s.reason)
	}
	reasons := reasons(t)
	for _, reason := range reasons {
		if !slices.Contains(tested, reason) {
			t.Errorf("no state here has the reason %s: what does kstatus make of it?", reason)
		}
	}
	if len(reasons) < 15 {
		t.Errorf("found %d reasons in the code: have they moved?", len(reasons))
	}
}

// reasons are all that conditions can have, by the vocabulary of the API.
func reasons(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), root+"/api/v1alpha1/vocabulary.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
			reason, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			reasons = append(reasons, reason)
		}
		return true
	})
	return reasons
}

// Argo CD looks the script up under this key.
func TestConfigMapOfArgoCDHoldsTheScript(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile(root + "/config/argocd/argocd-cm.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	var patch corev1.ConfigMap
	g.Expect(yaml.UnmarshalStrict(text, &patch)).To(Succeed())
	g.Expect(patch.Data).To(Equal(map[string]string{
		"resource.customizations.health." + api.Group + "_" + api.Kind: script(t),
	}))
}

// Argo CD shows what a script that fails says as an error of the resource. An object of an older CRD is not that.
func TestHealthScriptTakesAnyObject(t *testing.T) {
	for name, c := range map[string]struct {
		object string
		want   string
	}{
		"without status":       {`{metadata: {generation: 1}, spec: {}}`, progressing},
		"suspended by a stub":  {`{metadata: {generation: 1}, spec: {suspend: true}, status: {observedGeneration: 1}}`, suspended},
		"with a stub's status": {`{metadata: {generation: 1}, spec: {}, status: {observedGeneration: 1}}`, progressing},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var object map[string]any
			g.Expect(yaml.Unmarshal([]byte(c.object), &object)).To(Succeed())
			h, err := argoHealth(script(t), object)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(h.Status).To(Equal(c.want))
		})
	}
}
