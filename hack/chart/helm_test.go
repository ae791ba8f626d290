package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// The release that the tests speak of. Its names are those of config/default.
const (
	release   = "secret-server-operator"
	namespace = "secret-server-operator-system"
)

var chartPath = filepath.Join(root, chartDir)

// image is the one that config/manager has before anybody sets it.
const image = "image: {repository: secret-server-operator, tag: unset}\n"

// helm runs helm without anything of the user's own, and returns what it printed
// on standard output. The error has what it printed on standard error.
func helm(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	return run(t, tools.helm, []string{
		"HOME=" + tools.home, "HELM_CACHE_HOME=" + tools.home, "HELM_CONFIG_HOME=" + tools.home, "HELM_DATA_HOME=" + tools.home,
		"KUBECONFIG=/dev/null",
	}, arguments...)
}

func run(t *testing.T, program string, environment []string, arguments ...string) (string, error) {
	t.Helper()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, arguments...) //nolint:gosec // the tests' own tools
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(arguments, " "), err, &complaints)
	}
	return out.String(), err
}

// file writes a values file, and returns its path.
func file(t *testing.T, content string) string {
	t.Helper()
	// Not in t.TempDir, whose name has that of the test: helm takes a comma for the end of a path.
	dir, err := os.MkdirTemp(tools.home, "values-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "values.yaml")
	write(t, path, content)
	return path
}

// render returns the chart's objects with the default values but for those given.
func render(t *testing.T, values string) objects {
	t.Helper()
	return renderAs(t, release, values)
}

func renderAs(t *testing.T, name, values string) objects {
	t.Helper()
	out, err := helm(t, "template", name, chartPath, "--namespace", namespace, "--values", file(t, image), "--values", file(t, values))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, out)
}

// objects are rendered ones.
type objects []*unstructured.Unstructured

func decode(t *testing.T, manifests string) objects {
	t.Helper()
	var all objects
	decoder := k8syaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifests)))
	for {
		document, err := decoder.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var object map[string]any
		if err := yaml.UnmarshalStrict(document, &object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object) > 0 {
			all = append(all, &unstructured.Unstructured{Object: object})
		}
	}
}

// of returns those of a kind.
func (o objects) of(kind string) objects {
	var found objects
	for _, object := range o {
		if object.GetKind() == kind {
			found = append(found, object)
		}
	}
	return found
}

// names are "Kind namespace/name", in the order of the objects.
func (o objects) names() []string {
	var names []string
	for _, object := range o {
		names = append(names, fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName()))
	}
	return names
}

// into decodes an object as the type that it has in Go, and refuses fields that
// the type does not have.
func into[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	typed := new(T)
	if err := yaml.UnmarshalStrict(text, typed); err != nil {
		t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return typed
}
