package main

import (
	"context"
	"encoding/json"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

const mergePatch = types.MergePatchType

// meddle does to a session's Secrets what somebody with access might.
func (c *cluster) meddle(ctx context.Context, k kind, session int) error {
	name := sessionName(session)
	switch k {
	case stateDeleted:
		name = api.StateSecretName(name)
		fallthrough
	case targetDeleted:
		return client.IgnoreNotFound(c.client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}))
	case stateGarbled:
		return c.garble(ctx, api.StateSecretName(name))
	default:
		return c.garble(ctx, name)
	}
}

// garble overwrites every value of a Secret.
func (c *cluster) garble(ctx context.Context, name string) error {
	secret := &corev1.Secret{}
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	data := map[string][]byte{}
	for key := range secret.Data {
		data[key] = []byte("garbage")
	}
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return err
	}
	return client.IgnoreNotFound(c.client.Patch(ctx, secret, client.RawPatch(mergePatch, patch)))
}

// remake makes a session that was deleted again. It is an error as long as the deleted one is not gone.
func (c *cluster) remake(ctx context.Context, session *api.SecretServerSession) error {
	there := &api.SecretServerSession{}
	switch err := c.client.Get(ctx, client.ObjectKeyFromObject(session), there); {
	case err == nil && there.DeletionTimestamp.IsZero():
		return nil // made already, by an attempt without an answer
	case !apierrors.IsNotFound(err):
		return errors.Join(errors.New("it is still there"), err)
	}
	for _, name := range []string{session.Name, api.StateSecretName(session.Name)} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: session.Namespace, Name: name}}
		if err := client.IgnoreNotFound(c.client.Delete(ctx, secret)); err != nil {
			return err
		}
	}
	return c.client.Create(ctx, session.DeepCopy())
}
