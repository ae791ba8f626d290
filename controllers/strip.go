package controllers

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// stripper leaves of what is cached only what a pass needs, and keeps once what many objects have in common. What it returns is
// shared, and not to be changed.
type stripper struct {
	words   *words
	managed map[string]string // the labels that are left of what the operator made
}

func newStripper() stripper {
	return stripper{words: newWords(), managed: map[string]string{api.LabelManagedBy: api.ManagedBy}}
}

// secret leaves of a cached Secret's metadata only what a pass needs. Above all it drops annotations: kubectl's
// last-applied-configuration holds a Secret's data. It may see an object twice.
func (t stripper) secret(obj any) (any, error) {
	secret, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return nil, fmt.Errorf("strip Secret: got a %T, want metadata only", obj)
	}
	kept := metav1.ObjectMeta{
		Name:            secret.Name,
		Namespace:       secret.Namespace,
		UID:             secret.UID,
		ResourceVersion: secret.ResourceVersion,
	}
	t.words.share(&kept.Namespace)
	if owner := metav1.GetControllerOf(secret); owner != nil && isSession(*owner) {
		t.words.share(&owner.APIVersion, &owner.Kind)
		kept.OwnerReferences = []metav1.OwnerReference{*owner}
		if secret.Labels[api.LabelManagedBy] == api.ManagedBy {
			kept.Labels = t.managed
		}
		note(&kept, secret, owner.Name)
	}
	secret.ObjectMeta = kept
	return secret, nil
}

// note keeps the record of a state Secret, and who owns what of any other Secret of a session. They stand in fields that nobody
// asks of a Secret that exists: a map of annotations would take more memory than all else that is kept.
func note(kept *metav1.ObjectMeta, secret *metav1.PartialObjectMetadata, session string) {
	record, ok := secret.Annotations[annotationRecord]
	switch {
	case ok && secret.Name == api.StateSecretName(session):
		kept.GenerateName, kept.Finalizers = record, accountsIn(record)
	case len(secret.ManagedFields) == 0: // it was stripped before
		kept.GenerateName, kept.Finalizers = secret.GenerateName, secret.Finalizers
	default:
		kept.GenerateName = managedOwnership(secret.ManagedFields)
	}
}

// recordText is the record of a state Secret, as it stands there or as the cache keeps it.
func recordText(state metav1.Object) string {
	if text, ok := state.GetAnnotations()[annotationRecord]; ok {
		return text
	}
	return state.GetGenerateName()
}

// ownershipOf is the managedOwnership of a cached target.
func ownershipOf(target metav1.Object) string { return target.GetGenerateName() }

// accountsOf are the accounts that the record of a cached Secret speaks of, for the index. It asks more than once for each
// version, and is not to read the record each time.
func accountsOf(meta metav1.Object) []string { return meta.GetFinalizers() }

// configMap leaves of a cached ConfigMap's metadata only its name and version.
func (t stripper) configMap(obj any) (any, error) {
	configMap, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return nil, fmt.Errorf("strip ConfigMap: got a %T, want metadata only", obj)
	}
	configMap.ObjectMeta = metav1.ObjectMeta{
		Name:            configMap.Name,
		Namespace:       configMap.Namespace,
		UID:             configMap.UID,
		ResourceVersion: configMap.ResourceVersion,
	}
	t.words.share(&configMap.Namespace)
	return configMap, nil
}

// session drops what a session's readers do not need. managedFields are most of an object's size.
func (t stripper) session(obj any) (any, error) {
	s, ok := obj.(*api.SecretServerSession)
	if !ok {
		return nil, fmt.Errorf("strip session: got a %T", obj)
	}
	s.ManagedFields = nil
	request, asked := s.Annotations[api.AnnotationRefreshRequested]
	s.Annotations = nil
	if asked {
		s.Annotations = map[string]string{api.AnnotationRefreshRequested: request}
	}
	t.shareWords(s)
	return s, nil
}

// shareWords keeps once what sessions of a namespace, of an account or of a Secret Server have in common, and what is said of
// many.
func (t stripper) shareWords(s *api.SecretServerSession) {
	endpoint, credentials := &s.Spec.Endpoint, &s.Spec.Credentials
	t.words.share(&s.Namespace, &endpoint.URL, &endpoint.TLSServerName, &credentials.SecretRef.Name, &credentials.UsernameKey,
		&credentials.PasswordKey, &credentials.OTPSeedKey, &credentials.Domain, (*string)(&s.Status.LastGrant))
	if ref := endpoint.CABundleRef; ref != nil {
		t.words.share((*string)(&ref.Kind), &ref.Name, &ref.Key)
	}
	for i := range s.Status.Conditions {
		c := &s.Status.Conditions[i]
		t.words.share(&c.Type, (*string)(&c.Status), &c.Reason)
		if c.Type == api.ConditionRefreshable { // the other messages name names
			t.words.share(&c.Message)
		}
	}
}
