package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	metav1apply "k8s.io/client-go/applyconfigurations/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	apiapply "tokensync.dev/secret-server-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// What the bare client writes has the form and the size of what the operator writes; the smoke form compares the two. It need not
// be readable by the operator, which keeps the layout of its state to itself.

const (
	annotationRecord = api.Group + "/record"
	keyRefresh       = "refreshToken"
	keyClaimed       = "claimedRefreshToken"

	digest          = "0123456789abcdef" // as long as the operator's
	fingerprintSize = 48
	// notYet is a resource version that no object has: an apply that carries it creates.
	notYet = "1"
)

// identity is as long as the operator's.
func (s *bareSession) identity() session.Identity {
	return session.Identity{Source: digest, Version: string(s.object.UID) + "/" + s.object.ResourceVersion}
}

func ownLabels(s *api.SecretServerSession) map[string]string {
	return map[string]string{api.LabelManagedBy: api.ManagedBy, api.LabelSession: s.Name}
}

// newState is a state Secret before it is created.
func newState(s *api.SecretServerSession) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: api.StateSecretName(s.Name), Namespace: s.Namespace, Labels: ownLabels(s),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s, api.SchemeGroupVersion.WithKind(api.Kind))},
		},
		Type: api.StateSecretType,
	}
}

// fill writes a record and tokens into a state Secret; without a token, the intent to log in.
func fill(state *corev1.Secret, record session.Record, g grant) error {
	text, err := record.Encode()
	if err != nil {
		return err
	}
	fingerprint := []byte(strings.Repeat("f", fingerprintSize))
	state.Annotations = map[string]string{annotationRecord: text}
	state.Data = map[string][]byte{"attemptedFingerprint": fingerprint}
	if g.AccessToken != "" {
		state.Data = map[string][]byte{
			"accessToken": []byte(g.AccessToken), keyRefresh: []byte(g.RefreshToken),
			"credentialsFingerprint": fingerprint, "username": []byte(accountName(0)),
		}
	}
	return nil
}

// claim is the JSON patch that takes the refresh token.
func claim(before, after string) []byte {
	record := "/metadata/annotations/" + strings.ReplaceAll(annotationRecord, "/", "~1")
	return jsonOf([]map[string]string{
		{"op": "test", "path": record, "value": before},
		{"op": "move", "from": "/data/" + keyRefresh, "path": "/data/" + keyClaimed},
		{"op": "replace", "path": record, "value": after},
	})
}

// newTarget is what pods mount.
func newTarget(s *api.SecretServerSession, r session.Record, g grant, version string) *corev1apply.SecretApplyConfiguration {
	if version == "" {
		version = notYet
	}
	return corev1apply.Secret(s.Name, s.Namespace).
		WithResourceVersion(version).
		WithLabels(ownLabels(s)).
		WithOwnerReferences(metav1apply.OwnerReference().
			WithAPIVersion(api.SchemeGroupVersion.String()).WithKind(api.Kind).WithName(s.Name).WithUID(s.UID).
			WithController(true).WithBlockOwnerDeletion(true)).
		WithType(corev1.SecretTypeOpaque).
		WithData(map[string][]byte{
			api.TargetKeyToken:     []byte(g.AccessToken),
			api.TargetKeyExpiresAt: []byte(r.ExpiresAt.Format(time.RFC3339)),
			api.TargetKeyServerURL: []byte(r.ServerURL),
		})
}

// newStatus is that of a session in order.
func newStatus(s *api.SecretServerSession, r session.Record, version string) *apiapply.SecretServerSessionApplyConfiguration {
	at := func(t time.Time) *metav1.Time {
		if t.IsZero() {
			return nil
		}
		return new(metav1.NewTime(t.Truncate(time.Second)))
	}
	condition := func(kind, reason, message string) metav1apply.ConditionApplyConfiguration {
		return *metav1apply.Condition().WithType(kind).WithStatus(metav1.ConditionTrue).WithReason(reason).WithMessage(message).
			WithObservedGeneration(s.Generation).WithLastTransitionTime(*at(r.LastLoginAt))
	}
	return apiapply.SecretServerSession(s.Name, s.Namespace).
		WithResourceVersion(version).
		WithStatus(&apiapply.SecretServerSessionStatusApplyConfiguration{
			ObservedGeneration:  &s.Generation,
			TokenIssuedAt:       at(r.IssuedAt),
			TokenExpiresAt:      at(r.ExpiresAt),
			NextRefreshAt:       at(session.RefreshAt(r.IssuedAt, r.ExpiresAt, int(s.Spec.Refresh.Percent), string(s.UID))),
			LastGrant:           new(api.GrantType(r.Grant)),
			LastLoginAt:         at(r.LastLoginAt),
			LastRefreshAt:       at(r.LastRefreshAt),
			RefreshCount:        &r.Refreshes,
			RefreshesSinceLogin: &r.RefreshesSinceLogin,
			LoginCount:          &r.Logins,
			ConsecutiveFailures: new(int32(0)),
			TargetName:          &s.Name,
			Conditions: []metav1apply.ConditionApplyConfiguration{
				condition(api.ConditionReady, api.ReasonTokenCurrent, fmt.Sprintf("Secret %q holds a valid token.", s.Name)),
				condition(api.ConditionRefreshable, api.ReasonRefreshTokenHeld, "The next renewal uses the refresh token."),
			},
		})
}

// jsonOf is the JSON of something that has one.
func jsonOf(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
