package image

import (
	"debug/buildinfo"
	"runtime"
	"slices"
	"testing"
)

// The filter for metrics that controller-runtime offers links all of these, for two requests to the API server a minute. They made the
// program a quarter larger, and took 11 MiB of memory at rest. One import brings them back.
func TestTheLibraryOfAPIServersIsNotLinked(t *testing.T) {
	info, err := buildinfo.ReadFile(buildStage(t, runtime.GOARCH).program)
	if err != nil {
		t.Fatal(err)
	}
	var linked []string
	for _, module := range info.Deps {
		linked = append(linked, module.Path)
	}
	if !slices.Contains(linked, "k8s.io/client-go") {
		t.Fatalf("these modules cannot be all that the operator is built from: %v", linked)
	}
	for _, module := range []string{
		"k8s.io/apiserver", "github.com/google/cel-go", "google.golang.org/grpc", "go.opentelemetry.io/otel/sdk",
		"sigs.k8s.io/apiserver-network-proxy/konnectivity-client",
	} {
		if slices.Contains(linked, module) {
			t.Errorf("the operator links %s; `go mod why -m %s` tells which import brings it", module, module)
		}
	}
}
