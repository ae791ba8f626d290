package controllers

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// stripper leaves of what is cached only what a pass needs, and keeps once what many objects have in common. What it returns is
// shared, and not to be changed.
type stripper struct {
	words   *words
	records *Records
	managed map[string]string // the labels that are left of what the operator made

	controls *bool // what is left of an owner is that it controls
}

func newStripper(records *Records) stripper {
	return stripper{words: newWords(), records: records, managed: map[string]string{api.LabelManagedBy: api.ManagedBy}, controls: new(true)}
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
		t.keepOwned(&kept, secret, *owner)
	} else {
		pack(&kept.Name, (*string)(&kept.UID), &kept.ResourceVersion)
	}
	secret.ObjectMeta = kept
	return secret, nil
}

// keepOwned keeps who the session is, and what the Secret is to it.
func (t stripper) keepOwned(kept *metav1.ObjectMeta, secret *metav1.PartialObjectMetadata, owner metav1.OwnerReference) {
	if secret.Labels[api.LabelManagedBy] == api.ManagedBy {
		kept.Labels = t.managed
	}
	kept.GenerateName = t.noteOf(secret, owner.Name)
	t.words.share(&owner.APIVersion, &owner.Kind)
	owner.Controller, owner.BlockOwnerDeletion = t.controls, nil
	pack(&kept.Name, (*string)(&kept.UID), &kept.ResourceVersion, (*string)(&owner.UID), &kept.GenerateName)
	within(&owner.Name, kept.Name)
	kept.OwnerReferences = []metav1.OwnerReference{owner}
	if kept.Name == api.StateSecretName(owner.Name) {
		kept.Finalizers = accountsIn(session.Kept(kept.GenerateName))
	}
}

// noteOf is the record of a state Secret, and who owns what of any other Secret of a session. It is kept in a field that nobody
// asks of a Secret that exists, and the record's accounts in another: a map of annotations would take more memory than all else
// that is kept.
func (t stripper) noteOf(secret *metav1.PartialObjectMetadata, owner string) string {
	record, ok := secret.Annotations[annotationRecord]
	switch {
	case ok && secret.Name == api.StateSecretName(owner):
		return string(t.records.keep(record))
	case len(secret.ManagedFields) == 0: // it was stripped before
		return secret.GenerateName
	default:
		return managedOwnership(secret.ManagedFields)
	}
}

// recordText is the record of a state Secret, as it stands there.
func recordText(state metav1.Object) string {
	if text, ok := state.GetAnnotations()[annotationRecord]; ok {
		return text
	}
	return session.Kept(state.GetGenerateName()).Text()
}

// readRecord is the same, read.
func readRecord(state metav1.Object) (session.Record, error) {
	if text, ok := state.GetAnnotations()[annotationRecord]; ok {
		return session.Decode(text)
	}
	return session.Kept(state.GetGenerateName()).Record()
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
	s.ManagedFields, s.Labels, s.OwnerReferences = nil, nil, nil
	request, asked := s.Annotations[api.AnnotationRefreshRequested]
	s.Annotations = nil
	if asked {
		s.Annotations = map[string]string{api.AnnotationRefreshRequested: request}
	}
	s.Status.Conditions = slices.Clone(s.Status.Conditions) // decoded, there is room for twice as many
	t.shareWords(s)
	packWords(s)
	return s, nil
}

// shareWords keeps once what sessions of a namespace, of an account or of a Secret Server have in common, and what is said of
// many.
func (t stripper) shareWords(s *api.SecretServerSession) {
	endpoint, credentials := &s.Spec.Endpoint, &s.Spec.Credentials
	t.words.share(&s.Namespace, &endpoint.URL, &endpoint.TLSServerName, &credentials.SecretRef.Name, &credentials.UsernameKey,
		&credentials.PasswordKey, &credentials.OTPSeedKey, &credentials.Domain, &s.Spec.Target.Type, (*string)(&s.Spec.DeletionPolicy),
		(*string)(&s.Status.LastGrant), &s.Status.LastFailureReason)
	if ref := endpoint.CABundleRef; ref != nil {
		t.words.share((*string)(&ref.Kind), &ref.Name, &ref.Key)
	}
	for i := range s.Status.Conditions {
		c := &s.Status.Conditions[i]
		t.words.share(&c.Type, (*string)(&c.Status), &c.Reason)
		if namesNothing(c) {
			t.words.share(&c.Message)
		}
	}
}

// namesNothing reports whether a condition's message is the same for many sessions. The others name names.
func namesNothing(c *metav1.Condition) bool { return c.Type == api.ConditionRefreshable }

// packWords keeps together what is a session's own.
func packWords(s *api.SecretServerSession) {
	own := make([]*string, 0, 8)
	own = append(own, &s.Name, (*string)(&s.UID), &s.ResourceVersion, &s.Status.LastHandledRefreshRequest)
	for i := range s.Status.Conditions {
		if c := &s.Status.Conditions[i]; !namesNothing(c) {
			own = append(own, &c.Message)
		}
	}
	pack(own...)
	within(&s.Status.TargetName, s.Name)
}
