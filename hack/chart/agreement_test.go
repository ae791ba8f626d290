package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Whoever comes from kustomize finds the same objects under the same names, and
// what is said of one of the two holds for the other.
func TestChartAndKustomizeAgree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		overlay, values string
		least           int // objects
	}{
		"the default": {overlay: "config/default", least: 15},
		"one namespace": {
			overlay: "config/overlays/namespaced", least: 8,
			values: "namespaces: [" + namespace + "]\ncrds: {install: false}",
		},
		"shards": {overlay: "config/overlays/sharded", values: "shards: [a, b]", least: 19},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fromKustomize, fromChart := build(t, c.overlay).comparable(t), render(t, c.values).comparable(t)
			all := maps.Clone(fromKustomize)
			maps.Copy(all, fromChart)
			for _, key := range slices.Sorted(maps.Keys(all)) {
				if diff := cmp.Diff(fromKustomize[key], fromChart[key]); diff != "" {
					t.Errorf("%s: - is %s, + is the chart\n%s", key, c.overlay, diff)
				}
			}
			if len(all) < c.least {
				t.Errorf("only %d objects were compared: %q", len(all), slices.Sorted(maps.Keys(all)))
			}
		})
	}
}

// config/prometheus is for who has Prometheus Operator, and the chart has the same behind its values.
func TestChartAndKustomizeAgreeOnWhatWatchesTheOperator(t *testing.T) {
	t.Parallel()
	kinds := []string{"ServiceMonitor", "PrometheusRule", "ConfigMap"}
	readers := []string{ // what lets Prometheus find the pods and read
		"ClusterRoleBinding secret-server-operator-metrics-reader",
		"Role secret-server-operator-metrics-discovery", "RoleBinding secret-server-operator-metrics-discovery",
	}
	watching := func(o objects) objects {
		return slices.DeleteFunc(o, func(object *unstructured.Unstructured) bool {
			return !slices.Contains(kinds, object.GetKind()) && !slices.Contains(readers, object.GetKind()+" "+object.GetName())
		})
	}
	fromKustomize := watching(build(t, "config/prometheus")).comparable(t)
	fromChart := watching(render(t, `
metrics:
  serviceMonitor: {enabled: true}
  prometheusRule: {enabled: true}
  dashboard: {enabled: true}
  readers: [{name: prometheus-k8s, namespace: monitoring}]`)).comparable(t)
	if diff := cmp.Diff(fromKustomize, fromChart); diff != "" {
		t.Errorf("- is config/prometheus, + is the chart\n%s", diff)
	}
	if len(fromKustomize) != len(kinds)+len(readers) {
		t.Errorf("config/prometheus has %q, want one of each of %q, and %q", slices.Sorted(maps.Keys(fromKustomize)), kinds, readers)
	}
	if watched := watching(render(t, "")); len(watched) > 0 {
		t.Errorf("the chart has %q although nobody asked for it", watched.names())
	}
}

// build renders a kustomization.
func build(t *testing.T, path string) objects {
	t.Helper()
	out, err := run(t, tools.kustomize, nil, "build", root+"/"+path)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, out)
}

// comparable are the objects by kind and name, without what must differ: the
// Namespace, which Helm makes by --create-namespace or not at all; Helm's own
// labels, and the annotation that keeps the CRD; the order of flags and ports;
// and how an object in the operator's namespace names that, if at all.
func (o objects) comparable(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, object := range o {
		if object.GetKind() == "Namespace" {
			continue
		}
		normal := object.DeepCopy()
		if isNamespaced(normal) {
			normal.SetNamespace(namespace)
		}
		normalize(normal.Object)
		key := objects{normal}.names()[0]
		if _, twice := all[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		all[key] = normal.Object
	}
	return all
}

func isNamespaced(object *unstructured.Unstructured) bool {
	return !slices.Contains([]string{"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "PriorityClass"}, object.GetKind())
}

// normalize removes what must differ, wherever it stands in an object.
func normalize(node any) {
	switch node := node.(type) {
	case map[string]any:
		for _, key := range []string{
			"helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "app.kubernetes.io/version",
		} {
			delete(node, key)
		}
		if node["kind"] == "ServiceAccount" && node["apiVersion"] == nil { // a subject
			node["namespace"] = namespace
		}
		normalizeContainer(node)
		for key, inner := range node {
			normalize(inner)
			if m, ok := inner.(map[string]any); ok && len(m) == 0 && (key == "labels" || key == "annotations") {
				delete(node, key)
			}
		}
	case []any:
		for _, inner := range node {
			normalize(inner)
		}
	}
}

// normalizeContainer orders flags and ports. The overlay names its namespace by
// a variable.
func normalizeContainer(node map[string]any) {
	args, ok := node["args"].([]any)
	if !ok {
		return
	}
	for i, arg := range args {
		if arg == "--namespaces=$(NAMESPACE)" {
			args[i] = "--namespaces=" + namespace
		}
	}
	sortByText(args)
	if ports, ok := node["ports"].([]any); ok {
		sortByText(ports)
	}
	if env, ok := node["env"].([]any); ok {
		node["env"] = slices.DeleteFunc(env, func(variable any) bool {
			return strings.HasPrefix(fmt.Sprint(variable), "map[name:NAMESPACE ")
		})
	}
}

func sortByText(list []any) {
	slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
}
