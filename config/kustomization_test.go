package config

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	yamlv1 "sigs.k8s.io/yaml"
)

// The kustomizations that people apply.
const (
	clusterWide   = "default"
	namespaced    = "overlays/namespaced"
	sharded       = "overlays/sharded"
	prerequisites = "prerequisites"
)

// everyOperator are those that run one.
var everyOperator = []string{clusterWide, namespaced, sharded}

type manifests []*unstructured.Unstructured

// rendered keeps what render has made, by directory. No test runs beside another that renders.
var rendered = map[string]manifests{}

// render builds the kustomization in a directory. What it returns must not be changed.
func render(t *testing.T, directory string) manifests {
	t.Helper()
	if _, ok := rendered[directory]; !ok {
		noticeManifests(t)
		rendered[directory] = build(t, directory)
	}
	return rendered[directory]
}

func build(t *testing.T, directory string) manifests {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../hack/tools/kustomize/go.mod", "kustomize", "build", directory) //nolint:gosec // its own directories
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("kustomize build %s: %v\n%s", directory, err, &stderr)
	}
	var found manifests
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(output), 4096)
	for {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return found
		case err != nil:
			t.Fatalf("what kustomize made of %s: %v", directory, err)
		}
		found = append(found, object)
	}
}

// noticeManifests looks at all of this directory, so that go test does not answer from its cache after a change.
func noticeManifests(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// composed writes the kustomization of somebody who builds on the one for a namespace, and returns its directory.
func composed(t *testing.T, kustomization map[string]any, components ...string) string {
	t.Helper()
	directory := t.TempDir()
	from := func(path string) string {
		absolute, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(directory, absolute)
		if err != nil {
			t.Fatal(err)
		}
		return relative
	}
	kustomization["resources"] = []string{from(namespaced)}
	if len(components) > 0 {
		for i := range components {
			components[i] = from(components[i])
		}
		kustomization["components"] = components
	}
	text, err := yamlv1.Marshal(kustomization)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "kustomization.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return directory
}

// each returns the objects of a kind, which must have no field that the type lacks.
func each[T any](t *testing.T, m manifests, kind string) []*T {
	t.Helper()
	var found []*T
	for _, o := range m {
		if o.GetKind() != kind {
			continue
		}
		typed := new(T)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, typed, true); err != nil {
			t.Fatalf("%s %s: %v", kind, o.GetName(), err)
		}
		found = append(found, typed)
	}
	return found
}

// only returns the one object of a kind.
func only[T any](t *testing.T, m manifests, kind string) *T {
	t.Helper()
	found := each[T](t, m, kind)
	if len(found) != 1 {
		t.Fatalf("want one %s, got %d", kind, len(found))
	}
	return found[0]
}
