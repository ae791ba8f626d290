package observability

import (
	"os"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is an alert as Prometheus has it.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

// ruleFile is what Prometheus reads, and the spec of a PrometheusRule.
type ruleFile struct {
	Groups []group `json:"groups"`
}

// rules are those of config/prometheus.
func rules(t *testing.T) ruleFile {
	t.Helper()
	var manifest struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       ruleFile       `json:"spec"`
	}
	text, err := os.ReadFile("../../config/prometheus/prometheus_rule.yaml")
	if err == nil {
		err = yaml.UnmarshalStrict(text, &manifest)
	}
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Spec
}

// alerts are the rules of all groups.
func (f ruleFile) alerts() []rule {
	var all []rule
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// write puts the rules where Prometheus finds them.
func (f ruleFile) write(t *testing.T, path string) {
	t.Helper()
	text, err := yaml.Marshal(f)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
