package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// Who applies stringData over a target changes its data, and yet the API server notes them as the owner of stringData alone:
// the operator's ownership of the data stays as it was. So this note is all that tells of such an edit. It stays when the data
// is restored, and must go then: it would tell of the same edit for ever.

// fieldTexts is stringData as managed fields have it.
const fieldTexts = "f:stringData"

// textMark ends the ownership digest of a Secret over which somebody applied stringData.
const textMark = "/" + fieldTexts

// disownTexts removes the notes of who applied stringData over the target.
func (p *pass) disownTexts(ctx context.Context, name string) error {
	secret := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: p.session.Namespace, Name: name}}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(secretKind))
	if err := p.live.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
		return fmt.Errorf("read who owns the target's fields: %w", err)
	}
	entries, err := withoutTexts(secret.ManagedFields)
	if err != nil {
		return err
	}
	body, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/resourceVersion", "value": secret.ResourceVersion},
		{"op": "replace", "path": "/metadata/managedFields", "value": entries},
	})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	if err := p.live.Patch(ctx, secret, client.RawPatch(types.JSONPatchType, body), client.FieldOwner(api.ManagedBy)); err != nil {
		return fmt.Errorf("forget who applied stringData over the target: %w", err)
	}
	p.expect(ctx, secretNamed(p.session, name), secret.ResourceVersion)
	return nil
}

// withoutTexts are managed fields in which nobody owns stringData.
func withoutTexts(entries []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
	entries = slices.Clone(entries)
	for i := range entries {
		if entries[i].FieldsV1 == nil {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal(entries[i].FieldsV1.GetRawBytes(), &fields); err != nil {
			return nil, fmt.Errorf("decode the managed fields of %s: %w", entries[i].Manager, err)
		}
		if _, ok := fields[fieldTexts]; !ok {
			continue
		}
		delete(fields, fieldTexts)
		text, err := json.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("encode managed fields: %w", err)
		}
		entries[i].FieldsV1 = metav1.NewFieldsV1(string(text))
	}
	return slices.DeleteFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.FieldsV1 != nil && string(e.FieldsV1.GetRawBytes()) == "{}"
	}), nil
}
