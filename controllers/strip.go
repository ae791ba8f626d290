package controllers

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// stripSecret leaves of a cached Secret's metadata only what a pass needs. Above all it drops annotations: kubectl's
// last-applied-configuration holds a Secret's data. It may see an object twice.
func stripSecret(obj any) (any, error) {
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
	if owner := metav1.GetControllerOf(secret); owner != nil && isSession(*owner) {
		kept.OwnerReferences = []metav1.OwnerReference{*owner}
		kept.Annotations = keptAnnotations(secret, owner.Name)
		if secret.Labels[api.LabelManagedBy] == api.ManagedBy {
			kept.Labels = map[string]string{api.LabelManagedBy: api.ManagedBy}
		}
	}
	secret.ObjectMeta = kept
	return secret, nil
}

// keptAnnotations are the record of a state Secret, and who owns what of any other Secret of a session.
func keptAnnotations(secret *metav1.PartialObjectMetadata, session string) map[string]string {
	if record, ok := secret.Annotations[annotationRecord]; ok && secret.Name == api.StateSecretName(session) {
		return map[string]string{annotationRecord: record}
	}
	if len(secret.ManagedFields) == 0 {
		return map[string]string{annotationOwnership: secret.Annotations[annotationOwnership]}
	}
	return map[string]string{annotationOwnership: managedOwnership(secret.ManagedFields)}
}

// stripConfigMap leaves of a cached ConfigMap's metadata only its name and version.
func stripConfigMap(obj any) (any, error) {
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
	return configMap, nil
}

// stripSession drops what a session's readers do not need. managedFields are most of an object's size.
func stripSession(obj any) (any, error) {
	session, ok := obj.(*api.SecretServerSession)
	if !ok {
		return nil, fmt.Errorf("strip session: got a %T", obj)
	}
	session.ManagedFields = nil
	request, asked := session.Annotations[api.AnnotationRefreshRequested]
	session.Annotations = nil
	if asked {
		session.Annotations = map[string]string{api.AnnotationRefreshRequested: request}
	}
	return session, nil
}
