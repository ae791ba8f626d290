package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GrantType is how an access token was had.
//
// +kubebuilder:validation:Enum=Password;RefreshToken
type GrantType string

// The grants of the token endpoint that the operator uses.
const (
	GrantPassword     GrantType = "Password"
	GrantRefreshToken GrantType = "RefreshToken"
)

// SecretServerSessionStatus tells what the operator did last, what it will do next, and what stands in its way.
// Times are to the second.
type SecretServerSessionStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, always there, is True while the target holds a valid token; Reconciling and Stalled, there only
	// when True, tell what is retried by itself and what a person must mend; Refreshable tells whether the next renewal
	// can be a refresh. Each message says what comes next, or what to do.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// tokenIssuedAt is when the token now in the target was asked for.
	// +optional
	TokenIssuedAt *metav1.Time `json:"tokenIssuedAt,omitempty"`
	// tokenExpiresAt is when the token now in the target expires. If that is past and Ready is True, the operator does not run.
	// +optional
	TokenExpiresAt *metav1.Time `json:"tokenExpiresAt,omitempty"`
	// nextRefreshAt is when the next refresh, login or retry is planned; absent: not before something changes.
	// +optional
	NextRefreshAt *metav1.Time `json:"nextRefreshAt,omitempty"`
	// lastGrant is how the present token was had: Password or RefreshToken.
	// +optional
	LastGrant GrantType `json:"lastGrant,omitempty"`
	// lastLoginAt is when the last password grant succeeded.
	// +optional
	LastLoginAt *metav1.Time `json:"lastLoginAt,omitempty"`
	// lastRefreshAt is when the last refresh grant succeeded.
	// +optional
	LastRefreshAt *metav1.Time `json:"lastRefreshAt,omitempty"`
	// refreshCount is the number of refresh grants that succeeded in this object's life.
	// +optional
	RefreshCount int64 `json:"refreshCount,omitempty"`
	// refreshesSinceLogin is the number of refresh grants since the last login; Secret Server limits these (Maximum
	// Token Refreshes Allowed).
	// +optional
	RefreshesSinceLogin int64 `json:"refreshesSinceLogin,omitempty"`
	// loginCount is the number of password grants that succeeded in this object's life.
	// +optional
	LoginCount int64 `json:"loginCount,omitempty"`
	// consecutiveFailures counts the failed attempts since the last success.
	// +optional
	ConsecutiveFailures int32 `json:"consecutiveFailures,omitempty"`
	// lastFailureAt is when the last attempt failed; cleared by a success.
	// +optional
	LastFailureAt *metav1.Time `json:"lastFailureAt,omitempty"`
	// lastFailureReason is why the last attempt failed, as a condition reason; cleared by a success.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LastFailureReason string `json:"lastFailureReason,omitempty"`
	// lastHandledRefreshRequest is the last value of the annotation secretserver.tokensync.dev/refresh-requested-at
	// that was acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	LastHandledRefreshRequest string `json:"lastHandledRefreshRequest,omitempty"`
	// targetName is the Secret that holds the token now.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	TargetName string `json:"targetName,omitempty"`
}
