package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/hack/controlplane"
)

const (
	operatorUser      = "secret-server-operator"
	operatorNamespace = "operator"
	// bareAccounts are those of the bare client, beyond the operator's.
	bareAccounts = 10
)

// A world is a fresh control plane with a Secret Server. There is no controller manager: what it would ask the API server is
// not to be counted, and nothing here is collected as garbage.
type world struct {
	o          options
	plane      *controlplane.Cluster
	admin      client.Client // without a limit
	vault      *vault
	spare      int          // the first account of the bare client
	user       *rest.Config // of whom the operator acts as
	kubeconfig string       // the same
	logs       string
}

// openWorld starts both, for so many sessions at most.
func openWorld(ctx context.Context, o options, name string, sessions int) (w *world, err error) {
	w = &world{o: o, spare: accounts(sessions), logs: filepath.Join(o.out, name)}
	if err := os.RemoveAll(w.logs); err != nil { // of the run before
		return nil, err
	}
	if err := os.MkdirAll(w.logs, 0o750); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	w.plane, err = controlplane.Start(ctx, controlplane.Options{
		CRDPaths: []string{filepath.Join(o.config, "crd", "bases")}, LogDir: w.logs, NoControllerManager: true,
	})
	if err != nil {
		return w, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return w, err
	}
	if w.admin, err = client.New(w.plane.Config(), client.Options{Scheme: scheme}); err != nil {
		return w, err
	}
	if w.vault, err = openVault(ctx, o.vault, w.logs, w.spare+bareAccounts); err != nil {
		return w, err
	}
	err = w.admitOperator(ctx)
	return w, err
}

// admitOperator makes the user whom the operator acts as.
func (w *world) admitOperator(ctx context.Context) error {
	if err := w.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}); err != nil {
		return err
	}
	if err := admit(ctx, w.admin, w.o.config); err != nil {
		return err
	}
	var err error
	if w.user, err = w.plane.AddUser(operatorUser); err != nil {
		return err
	}
	w.kubeconfig, err = w.plane.KubeconfigFor(w.user)
	return err
}

// close ends both. What is kept is their logs.
func (w *world) close() error {
	var errs []error
	if w.vault != nil {
		errs = append(errs, w.vault.close())
	}
	if w.plane != nil {
		errs = append(errs, w.plane.Stop())
	}
	return errors.Join(errs...)
}

// unlimited is the configuration of the operator's user for built-in types: in protobuf, and without a limit of the client's.
func (w *world) unlimited() *rest.Config {
	config := rest.CopyConfig(w.user)
	config.QPS = -1
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	return config
}

// fleet makes an empty fleet of the world's Secret Server.
func (w *world) fleet(ctx context.Context, prefix string) (*fleet, error) {
	f := &fleet{client: w.admin, vault: w.vault, prefix: prefix}
	err := f.namespaces(ctx)
	return f, err
}
