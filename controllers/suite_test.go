package controllers_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// The suite's API server, and the two who use it: an administrator, who plays the user, and the operator, who has the
// generated role and nothing else.
var (
	environment    *envtest.Environment
	admin          client.Client
	operatorConfig *rest.Config
	scheme         = runtime.NewScheme()
	output         = &recording{} // everything that the operators of this suite logged
)

// TestMain sets the logger at once: controller-runtime drops all logs, for good, if nobody has set one within half a minute, and
// other tests come before the suite.
func TestMain(m *testing.M) {
	ctrl.SetLogger(zap.New(zap.UseDevMode(false), zap.WriteTo(output)))
	os.Exit(m.Run())
}

func TestControllers(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS is not set: `make test` builds etcd and kube-apiserver and sets it")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	RunSpecs(t, "Controllers")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	output.reset() // of what was logged before
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(api.AddToScheme(scheme)).To(Succeed())
	definitions := envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "config", "crd", "bases")}, ErrorIfPathMissing: true}
	Expect(envtest.ReadCRDFiles(&definitions)).To(Succeed())
	allowQuickVerification(&definitions)
	environment = &envtest.Environment{CRDs: definitions.CRDs}
	config, err := environment.Start()
	Expect(err).NotTo(HaveOccurred(), "start etcd and kube-apiserver")
	DeferCleanup(func() { Expect(environment.Stop()).To(Succeed()) })
	config.QPS = -1
	admin, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	operatorConfig = userWithGeneratedRole(ctx)
})

// allowQuickVerification lets sessions of this suite ask for a verification each second. The true bound is 30 seconds,
// which the specs of the API keep; here each of them would wait for it.
func allowQuickVerification(definitions *envtest.CRDInstallOptions) {
	GinkgoHelper()
	Expect(definitions.CRDs).To(HaveLen(1))
	for _, version := range definitions.CRDs[0].Spec.Versions {
		interval := version.Schema.OpenAPIV3Schema.Properties["spec"].Properties["verification"].Properties
		quick := interval["intervalSeconds"]
		Expect(quick.Minimum).To(HaveValue(BeEquivalentTo(30)))
		quick.Minimum = new(1.0)
		interval["intervalSeconds"] = quick
	}
}

// userWithGeneratedRole makes a user with a client certificate of its own and the role in config/rbac/role.yaml.
func userWithGeneratedRole(ctx context.Context) *rest.Config {
	GinkgoHelper()
	user, err := environment.AddUser(envtest.User{Name: "secret-server-operator"}, nil)
	Expect(err).NotTo(HaveOccurred())
	text, err := os.ReadFile(filepath.Join("..", "config", "rbac", "role.yaml"))
	Expect(err).NotTo(HaveOccurred())
	role := &rbacv1.ClusterRole{}
	Expect(yaml.UnmarshalStrict(text, role)).To(Succeed())
	Expect(admin.Create(ctx, role)).To(Succeed())
	Expect(admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "secret-server-operator"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "secret-server-operator"}},
	})).To(Succeed())
	config := user.Config()
	config.QPS = -1
	return config
}

// newNamespace makes a namespace for one spec.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sessions-"}}
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}
