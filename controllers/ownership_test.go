package controllers

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// entry is one manager's account of what it owns, as the API server writes it.
func entry(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, FieldsV1: metav1.NewFieldsV1(fields)}
}

const applied = `{"f:data":{"f:expiresAt":{},"f:serverURL":{},"f:token":{}},` +
	`"f:metadata":{"f:labels":{"f:app.kubernetes.io/managed-by":{},"f:secretserver.tokensync.dev/session":{}},` +
	`"f:ownerReferences":{"k:{\"uid\":\"u-1\"}":{}}},"f:type":{}}`

func TestTargetIsIntactWhileItsFieldsAreOurs(t *testing.T) {
	s := &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "billing", UID: "u-1"}}
	want := appliedOwnership(targetSecret(s, keysOf(s)))
	ours := entry(api.ManagedBy, metav1.ManagedFieldsOperationApply, applied)
	for name, c := range map[string]struct {
		entries []metav1.ManagedFieldsEntry
		intact  bool
	}{
		"as applied":                   {[]metav1.ManagedFieldsEntry{ours}, true},
		"somebody adds a label":        {[]metav1.ManagedFieldsEntry{ours, entry("kubectl", "Update", `{"f:metadata":{"f:labels":{"f:team":{}}}}`)}, true},
		"somebody applies our value":   {[]metav1.ManagedFieldsEntry{ours, entry("flux", "Apply", `{"f:data":{"f:token":{}}}`)}, true},
		"somebody adds a key":          {[]metav1.ManagedFieldsEntry{ours, entry("kubectl", "Update", `{"f:data":{"f:extra":{}}}`)}, false},
		"somebody changes the token":   {[]metav1.ManagedFieldsEntry{entry(api.ManagedBy, "Apply", `{"f:data":{"f:expiresAt":{},"f:serverURL":{}},"f:type":{}}`), entry("kubectl", "Update", `{"f:data":{"f:token":{}}}`)}, false},
		"nobody applied it":            {[]metav1.ManagedFieldsEntry{entry("kubectl", "Update", applied)}, false},
		"the account cannot be read":   {[]metav1.ManagedFieldsEntry{entry(api.ManagedBy, "Apply", `{`)}, false},
		"the account was cleared":      {nil, false},
		"somebody applies stringData":  {[]metav1.ManagedFieldsEntry{ours, entry("kubectl", "Apply", `{"f:stringData":{"f:token":{}}}`)}, false},
		"our own update takes no part": {[]metav1.ManagedFieldsEntry{ours, entry(api.ManagedBy, "Update", `{"f:metadata":{"f:annotations":{"f:x":{}}}}`)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := managedOwnership(c.entries) == want; got != c.intact {
				t.Errorf("intact = %v, want %v", got, c.intact)
			}
		})
	}
}

func TestCacheKeepsNothingOfForeignSecretsButTheirNames(t *testing.T) {
	secret := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: "theirs", Namespace: "n", UID: "u", ResourceVersion: "7",
		Labels:        map[string]string{"a": "b"},
		Annotations:   map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"data":{"password":"x"}}`},
		ManagedFields: []metav1.ManagedFieldsEntry{entry("kubectl", "Update", `{}`)},
	}}
	if _, err := newStripper(nil).secret(secret); err != nil {
		t.Fatal(err)
	}
	want := metav1.ObjectMeta{Name: "theirs", Namespace: "n", UID: "u", ResourceVersion: "7"}
	if got := secret.ObjectMeta; got.String() != want.String() {
		t.Errorf("kept %v, want %v", got, want)
	}
}

func TestStrippingTwiceKeepsTheOwnership(t *testing.T) {
	yes := true
	secret := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name:            "billing",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: api.SchemeGroupVersion.String(), Kind: api.Kind, Name: "billing", UID: "u-1", Controller: &yes}},
		ManagedFields:   []metav1.ManagedFieldsEntry{entry(api.ManagedBy, "Apply", applied)},
	}}
	for range 2 {
		if _, err := newStripper(nil).secret(secret); err != nil {
			t.Fatal(err)
		}
	}
	s := &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "billing", UID: "u-1"}}
	if got, want := ownershipOf(secret), appliedOwnership(targetSecret(s, keysOf(s))); got != want {
		t.Errorf("ownership %q, want %q", got, want)
	}
}
