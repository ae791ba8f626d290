package main

import (
	"os"
	"testing"

	"sigs.k8s.io/yaml"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// copyTree copies a directory with all that is in it.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func appVersion(t *testing.T) string {
	t.Helper()
	var chart struct{ AppVersion string }
	if err := yaml.Unmarshal([]byte(read(t, chartPath+"/Chart.yaml")), &chart); err != nil || chart.AppVersion == "" {
		t.Fatalf("Chart.yaml: %v", err)
	}
	return chart.AppVersion
}
