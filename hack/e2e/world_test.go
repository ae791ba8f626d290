package e2e

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// A world is what one scenario acts in: a namespace under PodSecurity `restricted`, with a Secret Server and an account.
type world struct {
	namespace string
	vault     *vault
}

const (
	accountSecret = "billing-account"
	caConfigMap   = "vault-ca"
	caKey         = "ca.crt"
)

// newWorld makes a world whose Secret Server has further flags of hack/fake-secret-server. It goes when the scenario is over.
func newWorld(ctx context.Context, flags ...string) *world {
	GinkgoHelper()
	return newWorldIn(ctx, metav1.ObjectMeta{GenerateName: "e2e-"}, flags...)
}

func newWorldIn(ctx context.Context, namespace metav1.ObjectMeta, flags ...string) *world {
	GinkgoHelper()
	w := &world{namespace: newNamespace(ctx, namespace)}
	w.vault = startVault(ctx, w.namespace, flags...)
	w.furnish(ctx)
	return w
}

// neighbour is a world in a namespace of its own, with the same Secret Server.
func (w *world) neighbour(ctx context.Context) *world {
	GinkgoHelper()
	n := &world{namespace: newNamespace(ctx, metav1.ObjectMeta{GenerateName: "e2e-"}), vault: w.vault}
	n.furnish(ctx)
	return n
}

func newNamespace(ctx context.Context, meta metav1.ObjectMeta) string {
	GinkgoHelper()
	meta.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	namespace := &corev1.Namespace{ObjectMeta: meta}
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		Expect(client.IgnoreNotFound(admin.Delete(ctx, namespace))).To(Succeed())
	})
	return namespace.Name
}

// furnish brings what a session needs.
func (w *world) furnish(ctx context.Context) {
	GinkgoHelper()
	Expect(admin.Create(ctx, &corev1.ConfigMap{ObjectMeta: w.named(caConfigMap), Data: map[string]string{caKey: w.vault.ca}})).To(Succeed())
	w.createAccount(ctx)
}

func (w *world) createAccount(ctx context.Context) {
	GinkgoHelper()
	Expect(admin.Create(ctx, &corev1.Secret{
		ObjectMeta: w.named(accountSecret),
		Type:       corev1.SecretTypeBasicAuth,
		StringData: map[string]string{corev1.BasicAuthUsernameKey: vaultUser, corev1.BasicAuthPasswordKey: vaultPassword},
	})).To(Succeed())
}

func (w *world) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.namespace, Name: name}
}

// create makes a session whose target, of the session's name, tells when its token was asked for too.
func (w *world) create(ctx context.Context, name string, change ...func(*api.SecretServerSessionSpec)) *api.SecretServerSession {
	GinkgoHelper()
	s := &api.SecretServerSession{ObjectMeta: w.named(name), Spec: api.SecretServerSessionSpec{
		Endpoint:    api.Endpoint{URL: w.vault.url, CABundleRef: &api.CABundleReference{Name: caConfigMap}},
		Credentials: api.Credentials{SecretRef: api.SecretReference{Name: accountSecret}},
		Target: api.Target{Data: map[string]api.Template{
			"token": "{{ .token }}", "issuedAt": "{{ .issuedAt }}", "expiresAt": "{{ .expiresAt }}",
		}},
	}}
	for _, f := range change {
		f(&s.Spec)
	}
	Expect(admin.Create(ctx, s)).To(Succeed())
	return s
}

func percent(p int32) func(*api.SecretServerSessionSpec) {
	return func(s *api.SecretServerSessionSpec) { s.Refresh.Percent = p }
}

func revoking(s *api.SecretServerSessionSpec) { s.DeletionPolicy = api.DeletionRevoke }

// ready waits as a user would.
func (w *world) ready(ctx context.Context, name string) {
	GinkgoHelper()
	must(ctx, "wait", "--namespace="+w.namespace, "--for=condition=Ready", "sss/"+name, "--timeout=60s")
}

// secret reads a Secret; an empty one if there is none.
func (w *world) secret(ctx context.Context, name string) *corev1.Secret {
	GinkgoHelper()
	secret := &corev1.Secret{}
	err := admin.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, secret)
	Expect(client.IgnoreNotFound(err)).To(Succeed())
	return secret
}

// token is what is in the target of the session billing.
func (w *world) token(ctx context.Context) string {
	GinkgoHelper()
	return string(w.secret(ctx, "billing").Data[api.TargetKeyToken])
}

// renew asks for a renewal of the session billing, as a user would, and waits for it.
func (w *world) renew(ctx context.Context) {
	GinkgoHelper()
	const name = "billing"
	before := w.token(ctx)
	must(ctx, "annotate", "--namespace="+w.namespace, "--overwrite", "sss/"+name, api.AnnotationRefreshRequested+"="+before[:8])
	Eventually(ctx, func() string { return w.token(ctx) }).ShouldNot(Equal(before), "a new token")
}

// restricted is a pod's spec that PodSecurity `restricted` admits, and that holds no token of the Kubernetes API.
func restricted(containers ...corev1.Container) corev1.PodSpec {
	for i := range containers {
		containers[i].SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	}
	return corev1.PodSpec{
		Containers:                    containers,
		AutomountServiceAccountToken:  new(false),
		TerminationGracePeriodSeconds: ptr.To[int64](1),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			RunAsUser:      ptr.To[int64](65532),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}
