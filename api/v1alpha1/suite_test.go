package v1alpha1_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// The API server that judges the sessions of this suite, and the user who sends them.
var (
	environment *envtest.Environment
	admin       client.Client
)

func TestAPI(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS is not set: `make test` builds etcd and kube-apiserver and sets it")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "API")
}

var _ = BeforeSuite(func() {
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	Expect(err).NotTo(HaveOccurred(), "start etcd and kube-apiserver")
	DeferCleanup(func() { Expect(environment.Stop()).To(Succeed()) })
	config.QPS = -1
	admin, err = client.New(config, client.Options{})
	Expect(err).NotTo(HaveOccurred())
})

// field is one that a user sets: its path with dots, and its value; nil: null.
type field struct {
	path  string
	value any
}

// sessionNamed is a session as a user writes it, with what is required and the given fields, and nothing that Go's types
// would add.
func sessionNamed(name string, fields ...field) *unstructured.Unstructured {
	s := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"endpoint":    map[string]any{"url": "https://vault.example.com/SecretServer"},
			"credentials": map[string]any{"secretRef": map[string]any{"name": "account"}},
		},
	}}
	s.SetGroupVersionKind(api.SchemeGroupVersion.WithKind(api.Kind))
	s.SetNamespace(metav1.NamespaceDefault)
	s.SetName(name)
	set(s, fields...)
	return s
}

func set(s *unstructured.Unstructured, fields ...field) {
	GinkgoHelper()
	for _, f := range fields {
		Expect(unstructured.SetNestedField(s.Object, f.value, strings.Split(f.path, ".")...)).To(Succeed())
	}
}

// get reads one field; nil if it is absent.
func get(s *unstructured.Unstructured, path string) any {
	GinkgoHelper()
	value, _, err := unstructured.NestedFieldNoCopy(s.Object, strings.Split(path, ".")...)
	Expect(err).NotTo(HaveOccurred())
	return value
}
