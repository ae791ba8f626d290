package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SecretServerSession keeps one API session with Delinea (Thycotic) Secret Server alive: it logs in, stores the
// access token in a Secret that pods mount, and renews it before it expires.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=secretserversessions,shortName=sss,categories=tokensync,scope=Namespaced
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.status.targetName`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.tokenExpiresAt`
// +kubebuilder:printcolumn:name="Next Refresh",type=string,JSONPath=`.status.nextRefreshAt`
// +kubebuilder:printcolumn:name="Refreshes",type=integer,JSONPath=`.status.refreshCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.spec.endpoint.url`,priority=1
// +kubebuilder:printcolumn:name="Logins",type=integer,JSONPath=`.status.loginCount`,priority=1
// +kubebuilder:printcolumn:name="Last Grant",type=string,JSONPath=`.status.lastGrant`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 245",message="the name is at most 245 characters, since the state is kept in a Secret named <name>-session"
// +kubebuilder:validation:XValidation:rule="(has(self.spec.target) && has(self.spec.target.name) ? self.spec.target.name : self.metadata.name) != self.spec.credentials.secretRef.name",message="target.name (by default the session's own name) must differ from credentials.secretRef.name: the token would overwrite the password"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.target) || !has(self.spec.target.name) || self.spec.target.name != self.metadata.name + '-session'",message="target.name must differ from <name>-session, where the operator keeps its state"
// +kubebuilder:validation:XValidation:rule="self.spec.credentials.secretRef.name != self.metadata.name + '-session'",message="credentials.secretRef.name must differ from <name>-session, where the operator keeps its state"
type SecretServerSession struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec declares the endpoint, the account and the Secret that receives the token.
	// +required
	Spec SecretServerSessionSpec `json:"spec"`
	// status tells what the operator did last, what it will do next, and what stands in its way. Its observedGeneration is -1
	// until a pass has done what the spec says.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status SecretServerSessionStatus `json:"status,omitempty"`
}

// TargetName is the name of the Secret that receives the token.
func (s *SecretServerSession) TargetName() string {
	if s.Spec.Target.Name != "" {
		return s.Spec.Target.Name
	}
	return s.Name
}

// SecretServerSessionList is a list of sessions.
//
// +kubebuilder:object:root=true
type SecretServerSessionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SecretServerSession `json:"items"`
}

// SecretServerSessionSpec declares a session.
type SecretServerSessionSpec struct {
	// endpoint is the Secret Server to log in to.
	// +required
	Endpoint Endpoint `json:"endpoint"`
	// credentials name the account to log in with.
	// +required
	Credentials Credentials `json:"credentials"`
	// target is the Secret that receives the access token and that pods mount.
	// +optional
	// +kubebuilder:default={}
	Target Target `json:"target,omitempty,omitzero"`
	// refresh tells when to renew the token.
	// +optional
	// +kubebuilder:default={}
	Refresh Refresh `json:"refresh,omitempty,omitzero"`
	// verification asks Secret Server now and then whether it still takes the token. Absent: it is never asked, and a
	// token that Secret Server ended before its time is noticed at the next renewal.
	// +optional
	Verification *Verification `json:"verification,omitempty"`
	// deletionPolicy tells what becomes of tokens that are no longer needed. Retain, the default, leaves them valid at Secret Server
	// until they expire. Revoke ends them there: the session's token when the session is deleted, and the token of the
	// former endpoint, account or password when that has changed. Each is one attempt of at most 10 seconds; the event
	// Revoked or RevokeFailed tells what came of it. While it is Revoke, a finalizer holds the session during its deletion.
	// +optional
	// +kubebuilder:default=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
	// suspend stops all calls to Secret Server while it is true. The stored token stays in the target until it
	// expires, and the target is still repaired from stored state. By default false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// DeletionPolicy is what becomes of tokens that are no longer needed.
//
// +kubebuilder:validation:Enum=Retain;Revoke
type DeletionPolicy string

// The deletion policies.
const (
	DeletionRetain DeletionPolicy = "Retain"
	DeletionRevoke DeletionPolicy = "Revoke"
)

// Endpoint is one Secret Server.
type Endpoint struct {
	// url is the base URL of Secret Server, virtual directory included, for example
	// https://vault.example.com/SecretServer or https://tenant.secretservercloud.com. It must be https, without user,
	// query or fragment. The operator appends /oauth2/token itself.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="isURL(self) && self.startsWith('https://') && url(self).getHostname() != ''",message="url must be an https URL with a host, for example https://vault.example.com/SecretServer"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@')",message="url must not hold a user or a password; they belong in the Secret that credentials.secretRef names"
	// +kubebuilder:validation:XValidation:rule="!self.contains('?') && !self.contains('#')",message="url must have no query and no fragment"
	// +kubebuilder:validation:XValidation:rule="!self.matches('(?i)/(oauth2/token|api/v[0-9]+)/*$')",message="give the base URL, for example https://vault.example.com/SecretServer, without /oauth2/token or /api/v1"
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'(?i)[\s\\]|%5c|%2f|/([.]|%2e){1,2}(/|$)')`,message="url must hold no blank, no backslash, no encoded slash, and no . or .. as a segment of its path"
	URL string `json:"url"`
	// caBundleRef names a ConfigMap or Secret in the same namespace with PEM certificates of authorities that are
	// trusted in addition to the system's.
	// +optional
	CABundleRef *CABundleReference `json:"caBundleRef,omitempty"`
	// tlsServerName is the name that the server's certificate must carry, where it differs from the host in url.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	TLSServerName string `json:"tlsServerName,omitempty"`
	// timeoutSeconds bounds one request to Secret Server, connection and answer included, in seconds: 1 to 300, by default
	// 30.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// CABundleKind is the kind of object that holds a CA bundle.
//
// +kubebuilder:validation:Enum=ConfigMap;Secret
type CABundleKind string

// The kinds that may hold a CA bundle.
const (
	CABundleConfigMap CABundleKind = "ConfigMap"
	CABundleSecret    CABundleKind = "Secret"
)

// CABundleReference names a key of a ConfigMap or Secret in the session's namespace.
type CABundleReference struct {
	// kind is ConfigMap, the default, or Secret.
	// +optional
	// +kubebuilder:default=ConfigMap
	Kind CABundleKind `json:"kind,omitempty"`
	// name of the ConfigMap or Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// key that holds the PEM certificates; by default ca.crt.
	// +optional
	// +kubebuilder:default=ca.crt
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="a key consists of letters, digits, -, _ and ., and does not begin with two dots"
	Key string `json:"key,omitempty"`
}

// Credentials name the account.
type Credentials struct {
	// secretRef names the Secret in the same namespace that holds user name and password. The type
	// kubernetes.io/basic-auth fits as it is.
	// +required
	SecretRef SecretReference `json:"secretRef"`
	// usernameKey is the key of the user name; by default username.
	// +optional
	// +kubebuilder:default=username
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="a key consists of letters, digits, -, _ and ., and does not begin with two dots"
	UsernameKey string `json:"usernameKey,omitempty"`
	// passwordKey is the key of the password; by default password. It is sent exactly as stored, a trailing newline
	// included.
	// +optional
	// +kubebuilder:default=password
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="a key consists of letters, digits, -, _ and ., and does not begin with two dots"
	PasswordKey string `json:"passwordKey,omitempty"`
	// otpSeedKey is the key of the seed from which the account's one-time codes (TOTP, RFC 6238: six digits, 30 seconds,
	// SHA-1) are made, as Secret Server shows it when two-factor authentication is set up: base32, in any case, with or
	// without blanks, dashes and padding. Absent for an account that logs in without a code.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="a key consists of letters, digits, -, _ and ., and does not begin with two dots"
	OTPSeedKey string `json:"otpSeedKey,omitempty"`
	// domain is the Active Directory domain of the account; absent for a local account.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Domain string `json:"domain,omitempty"`
}

// SecretReference names a Secret in the session's namespace.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Target is the Secret that pods mount. By default its keys are token (the access token alone), expiresAt (RFC 3339, UTC)
// and serverURL (the base URL that the token belongs to, without a trailing slash).
type Target struct {
	// name of the Secret; by default the session's name. When it changes, the old Secret is deleted once the new one
	// is written.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="target.name must be a name that a Secret can have: lower-case letters, digits, - and ., with a letter or digit at each end"
	Name string `json:"name,omitempty"`
	// type of the Secret; by default Opaque. Kubernetes does not let a Secret's type change, so neither does this field.
	// +optional
	// +kubebuilder:default=Opaque
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="target.type cannot be changed, since Kubernetes does not let a Secret's type change; create another session with the type that you want"
	// +kubebuilder:validation:XValidation:rule="!(self in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token', 'secretserver.tokensync.dev/session'])",message="target.type must not be one that Kubernetes or the operator acts on; Opaque is right for most"
	Type string `json:"type,omitempty"`
	// labels to set on the Secret, beside the operator's own; at most 64.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && !format.qualifiedName().validate(k).hasValue())",message="a label's key is a name of at most 63 letters, digits, -, _ and ., with a letter or digit at each end, and before it, if any, a domain and a slash, as in example.com/team"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k == 'app.kubernetes.io/managed-by' || k.startsWith('secretserver.tokensync.dev/'))",message="app.kubernetes.io/managed-by and secretserver.tokensync.dev/* belong to the operator"
	Labels map[string]LabelValue `json:"labels,omitempty"`
	// annotations to set on the Secret; at most 64, with values of at most 4096 characters.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 317 && !format.qualifiedName().validate(k.lowerAscii()).hasValue())",message="an annotation's key is a name of at most 63 letters, digits, -, _ and ., with a letter or digit at each end, and before it, if any, a domain and a slash, as in example.com/team"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('secretserver.tokensync.dev/'))",message="secretserver.tokensync.dev/* belong to the operator"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
	// data maps each key of the Secret to a Go template of its value; then the Secret has exactly these keys. Without it
	// the keys are token (the access token alone), expiresAt and serverURL. Templates see .token, .tokenType, .issuedAt,
	// .expiresAt, .serverURL, .username, .domain, .session and .namespace, all of them texts, and may call text functions.
	// There can be 32 templates of 8192 characters each; all values together have at most 256 KiB.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",message="a key of data has at most 253 letters, digits, -, _ and ., and does not begin with two dots"
	Data map[string]Template `json:"data,omitempty"`
}

// Template is a Go template of one value of the Secret.
//
// +kubebuilder:validation:MaxLength=8192
type Template string

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="!format.labelValue().validate(self).hasValue()",message="a label's value is empty, or at most 63 letters, digits, -, _ and ., with a letter or digit at each end"
type LabelValue string

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// Refresh tells when to renew the token.
type Refresh struct {
	// percent of the token's lifetime after which it is renewed: 10 to 90, by default 67; up to a tenth of the lifetime
	// earlier, so that many sessions do not renew at the same moment.
	// +optional
	// +kubebuilder:default=67
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=90
	Percent int32 `json:"percent,omitempty"`
}

// Verification tells how often to ask Secret Server whether it still takes the token.
type Verification struct {
	// intervalSeconds is the longest time, in seconds (30 to 86400), between two verifications of the token in the target,
	// and so the longest that a token which Secret Server ended before its time (an administrator, a password change, a
	// restore from a backup) goes unnoticed. It is longer, up to an hour, while Secret Server calls one new token after the
	// other dead.
	// +required
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=86400
	IntervalSeconds int32 `json:"intervalSeconds"`
}
