package controllers

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	metav1apply "k8s.io/client-go/applyconfigurations/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// Layout of the state Secret. The record stands in an annotation, since the operator watches Secrets as metadata only
// and must know from the watch alone what is due. Secrets stand in the data. The claim moves keyRefreshToken to
// keyClaimedRefreshToken: a refresh token under keyRefreshToken has never been sent.
const (
	annotationRecord       = api.Group + "/record"
	keyAccessToken         = "accessToken"
	keyRefreshToken        = "refreshToken"
	keyClaimedRefreshToken = "claimedRefreshToken"
	keyFormerToken         = "formerAccessToken"
	keyFingerprint         = "credentialsFingerprint"
	keyAttempted           = "attemptedFingerprint"
	keyUsername            = "username"
	keyDomain              = "domain"
)

// stored is the whole content of a state Secret.
type stored struct {
	session.Record
	AccessToken  string
	RefreshToken string // unclaimed; empty otherwise
	FormerToken  string // what Record.Former tells of
	// Fingerprint is of the login that began the chain, Attempted of the login that Record.Attempt tells of.
	Fingerprint, Attempted fingerprint
	// Username and Domain are of the login that began the chain. They are in no annotation, since those are cached.
	Username, Domain string
}

// errState is why a state Secret cannot be used. It is treated as no session.
var errState = errors.New("state Secret is not usable")

// readState reads a state Secret; any error is errState. A record that does not fit the data is not believed.
func (r *Records) readState(secret *corev1.Secret) (stored, error) {
	record, err := r.decode(secret.Annotations[annotationRecord])
	if err != nil {
		return stored{}, fmt.Errorf("%w: %w", errState, err)
	}
	s := stored{
		Record:       record,
		AccessToken:  string(secret.Data[keyAccessToken]),
		RefreshToken: string(secret.Data[keyRefreshToken]),
		FormerToken:  string(secret.Data[keyFormerToken]),
		Fingerprint:  secret.Data[keyFingerprint],
		Attempted:    secret.Data[keyAttempted],
		Username:     string(secret.Data[keyUsername]),
		Domain:       string(secret.Data[keyDomain]),
	}
	switch {
	case record.HasToken() && shortDigest(s.AccessToken) != record.Token:
		return stored{}, fmt.Errorf("%w: another access token than the record's", errState)
	case record.Refresh == session.Held && s.RefreshToken == "":
		return stored{}, fmt.Errorf("%w: no refresh token", errState)
	}
	return s, nil
}

// writeState replaces the content of a state Secret, and nothing of it but our own.
func (r *Records) writeState(secret *corev1.Secret, s stored) error {
	text, err := r.encode(s.Record)
	if err != nil {
		return err
	}
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	secret.Annotations[annotationRecord] = text
	secret.Data = map[string][]byte{}
	put := func(key string, value []byte) {
		if len(value) > 0 {
			secret.Data[key] = value
		}
	}
	put(keyAccessToken, []byte(s.AccessToken))
	put(keyRefreshToken, []byte(s.RefreshToken))
	put(keyFormerToken, []byte(s.FormerToken))
	put(keyFingerprint, s.Fingerprint)
	put(keyAttempted, s.Attempted)
	put(keyUsername, []byte(s.Username))
	put(keyDomain, []byte(s.Domain))
	return nil
}

// newStateSecret is the session's state Secret before it is created.
func newStateSecret(s *api.SecretServerSession) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:      api.StateSecretName(s.Name),
			Namespace: s.Namespace,
			Labels:    ownLabels(s),
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(s, api.SchemeGroupVersion.WithKind(api.Kind)),
			},
		},
		Type: api.StateSecretType,
	}
}

// targetSecret is the session's target, whole: what it leaves out, server-side apply removes if it was ours.
func targetSecret(s *api.SecretServerSession, data map[string][]byte) *corev1apply.SecretApplyConfiguration {
	labels := ownLabels(s)
	for key, value := range s.Spec.Target.Labels {
		labels[key] = string(value)
	}
	target := corev1apply.Secret(s.TargetName(), s.Namespace).
		WithLabels(labels).
		WithOwnerReferences(metav1apply.OwnerReference().
			WithAPIVersion(api.SchemeGroupVersion.String()).
			WithKind(api.Kind).
			WithName(s.Name).
			WithUID(s.UID).
			WithController(true).
			WithBlockOwnerDeletion(true)).
		WithType(corev1.SecretType(s.Spec.Target.Type)).
		WithData(data)
	for key, value := range s.Spec.Target.Annotations {
		target.WithAnnotations(map[string]string{key: string(value)})
	}
	return target
}

// ownLabels are the labels of both Secrets.
func ownLabels(s *api.SecretServerSession) map[string]string {
	return map[string]string{
		api.LabelManagedBy: api.ManagedBy,
		api.LabelSession:   labelValue(s.Name),
	}
}

// labelValue is a session's name, or a digest of it where it is too long for a label's value.
func labelValue(name string) string {
	const longest = 63
	if len(name) <= longest {
		return name
	}
	digest := shortDigest(name)
	return name[:longest-len(digest)-1] + "-" + digest
}
