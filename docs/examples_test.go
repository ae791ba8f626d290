package docs_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/hack/markdown"
)

// unknownTypes are kinds of others that the documents show and whose fields nothing here can check.
func unknownTypes() []string {
	return []string{
		"argoproj.io/v1alpha1 Application",
		"helm.toolkit.fluxcd.io/v2 HelmRelease",
		"kustomize.config.k8s.io/v1beta1 Kustomization",
		"kustomize.toolkit.fluxcd.io/v1 Kustomization",
		"monitoring.coreos.com/v1 PodMonitor",
		"monitoring.coreos.com/v1 PrometheusRule",
		"monitoring.coreos.com/v1 ServiceMonitor",
		"source.toolkit.fluxcd.io/v1 GitRepository",
	}
}

// yamlDocuments are those of a page's blocks, but for blocks that say why they are to be skipped.
func yamlDocuments(text string) []string {
	var all []string
	for _, block := range markdown.Parse(text).Blocks {
		if block.Language == "yaml" && !strings.HasPrefix(block.Note, "skip because ") {
			all = append(all, strings.Split(block.Text, "\n---\n")...)
		}
	}
	return all
}

// Each example is an object, every field of which its type has.
func TestExamplesFitTheTypes(t *testing.T) {
	types := runtime.NewScheme()
	if err := scheme.AddToScheme(types); err != nil {
		t.Fatal(err)
	}
	if err := api.AddToScheme(types); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(types, serializer.EnableStrict).UniversalDeserializer()
	others := map[string]any{
		"external-secrets.io/v1 SecretStore":        &secretStore{},
		"external-secrets.io/v1 ClusterSecretStore": &secretStore{},
	}
	sessions := 0
	for path, text := range documents(t) {
		for _, document := range yamlDocuments(text) {
			var object struct{ APIVersion, Kind string }
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				t.Errorf("%s: %v in\n%s", path, err, document)
				continue
			}
			kind := object.APIVersion + " " + object.Kind
			if slices.Contains(unknownTypes(), kind) {
				continue
			}
			var err error
			if into, ok := others[kind]; ok {
				err = yaml.UnmarshalStrict([]byte(document), into)
			} else {
				_, _, err = decoder.Decode([]byte(document), nil, nil)
			}
			if err != nil {
				t.Errorf("%s: %v in\n%s", path, err, document)
			}
			if object.Kind == api.Kind {
				sessions++
			}
		}
	}
	if sessions == 0 {
		t.Error("no document shows a session")
	}
}

// The sample is where a reader looks for a field; one that does not suit every account stands there as a comment.
func TestTheSampleShowsEveryField(t *testing.T) {
	sample := read(t, "../config/samples/session.yaml")
	names := fieldNames(reflect.TypeFor[api.SecretServerSessionSpec]())
	if len(names) < 15 {
		t.Fatalf("found %d fields", len(names))
	}
	for _, name := range names {
		if !regexp.MustCompile(`(?m)^[ #]*` + name + `:`).MatchString(sample) {
			t.Errorf("config/samples/session.yaml does not show %s", name)
		}
	}
}

// fieldNames are the JSON names of a type's fields, and of theirs.
func fieldNames(of reflect.Type) []string {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(append(names, name), fieldNames(field.Type)...)
	}
	return names
}
