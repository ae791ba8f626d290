package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/hack/controlplane"
)

// operatorUser is whom the operator authenticates as.
const operatorUser = "secret-server-operator"

// A cluster is the demo's control plane, as its administrator sees it.
type cluster struct {
	*controlplane.Cluster
	client client.Client
	scheme *runtime.Scheme
}

// startCluster starts a control plane that serves the CRDs below the directory config.
func startCluster(ctx context.Context, config string) (*cluster, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	plane, err := controlplane.Start(ctx, controlplane.Options{CRDPaths: []string{filepath.Join(config, "crd", "bases")}})
	if err != nil {
		return nil, err
	}
	administrator, err := client.New(plane.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, errors.Join(err, plane.Stop())
	}
	return &cluster{Cluster: plane, client: administrator, scheme: scheme}, nil
}

// admitOperator makes a user with a certificate of its own and the role that is generated for the operator, and no more.
// It returns the path of the user's kubeconfig.
func (c *cluster) admitOperator(ctx context.Context, config string) (kubeconfig string, err error) {
	text, err := os.ReadFile(filepath.Join(config, "rbac", "role.yaml")) //nolint:gosec // the user names the directory
	if err != nil {
		return "", err
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(text, role); err != nil {
		return "", fmt.Errorf("role.yaml: %w", err)
	}
	if err := c.client.Create(ctx, role); err != nil {
		return "", err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: operatorUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: operatorUser}},
	}
	if err := c.client.Create(ctx, binding); err != nil {
		return "", err
	}
	user, err := c.AddUser(operatorUser)
	if err != nil {
		return "", err
	}
	return c.KubeconfigFor(user)
}

// deleteSecret deletes a Secret. One that is gone already is no error.
func (c *cluster) deleteSecret(ctx context.Context, namespace, name string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return client.IgnoreNotFound(c.client.Delete(ctx, secret))
}

// kubectl is a command that works in the user's shell: the one in PATH if it can read the sessions, else the cluster's own.
func (c *cluster) kubectl(ctx context.Context, namespace string) string {
	const inPath = "kubectl"
	cmd := exec.CommandContext(ctx, inPath, //nolint:gosec // the arguments are the demo's own
		"--kubeconfig="+c.KubeconfigPath(), "get", "secretserversessions", "--namespace="+namespace)
	if cmd.Run() == nil {
		return inPath
	}
	return c.Kubectl()
}
