package main

import (
	"context"
	"errors"
	"path/filepath"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/hack/controlplane"
	"tokensync.dev/secret-server-operator/hack/operator"
)

const (
	operatorUser = "secret-server-operator"
	// The operator's own namespace, with its lease, and that of the sessions.
	operatorNamespace, namespace = "operator", "chaos"
)

// A cluster is the control plane, as its administrator sees it: directly, whatever the operator's way to it suffers.
type cluster struct {
	*controlplane.Cluster
	client client.Client
}

// startCluster starts a control plane that serves the CRDs below the directory config.
func startCluster(ctx context.Context, config, logs string) (*cluster, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	plane, err := controlplane.Start(ctx, controlplane.Options{
		CRDPaths: []string{filepath.Join(config, "crd", "bases")},
		LogDir:   logs,
	})
	if err != nil {
		return nil, err
	}
	administrator, err := client.New(plane.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, errors.Join(err, plane.Stop())
	}
	return &cluster{Cluster: plane, client: administrator}, nil
}

// admitOperator makes the namespaces, and the user whom the operator acts as.
func (c *cluster) admitOperator(ctx context.Context, config string) (*rest.Config, error) {
	for _, name := range []string{operatorNamespace, namespace} {
		if err := c.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return nil, err
		}
	}
	if err := operator.Admit(ctx, c.client, config, operatorUser, operatorNamespace); err != nil {
		return nil, err
	}
	return c.AddUser(operatorUser)
}

// leaseFreer returns what frees the lease, as it is now, of a leader that will be dead for sure by then. Should somebody have
// written the lease meanwhile, also if the request is carried out late, it stays: two leaders at a time are no fault of the
// operator's.
func (c *cluster) leaseFreer(ctx context.Context) func(context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deedTimeout)
	defer cancel()
	lease := &coordinationv1.Lease{}
	name := client.ObjectKey{Namespace: operatorNamespace, Name: controllers.LeaseName(nil, labels.Everything())}
	err := c.client.Get(ctx, name, lease)
	return func(ctx context.Context) error {
		if err != nil {
			return err
		}
		return c.client.Delete(ctx, lease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion})
	}
}
