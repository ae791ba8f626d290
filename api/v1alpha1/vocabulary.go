package v1alpha1

// Condition types. Ready is always present. Reconciling and Stalled follow the kstatus convention: abnormal when True,
// absent when False.
const (
	// ConditionReady is True exactly while the target holds a token that the operator believes valid.
	ConditionReady = "Ready"
	// ConditionReconciling is True while work is pending or being retried without a person.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True while a person must act.
	ConditionStalled = "Stalled"
	// ConditionRefreshable tells whether the next renewal can use a refresh token.
	ConditionRefreshable = "Refreshable"
)

// Reasons of Ready that stand in no other condition.
const (
	ReasonTokenCurrent = "TokenCurrent"
	ReasonTokenExpired = "TokenExpired"
	ReasonSuspended    = "Suspended"
)

// Reasons of Reconciling.
const (
	ReasonPending             = "Pending"
	ReasonEndpointUnavailable = "EndpointUnavailable"
	ReasonEndpointThrottled   = "EndpointThrottled"
	ReasonProtocolError       = "ProtocolError"
	ReasonRefreshFailing      = "RefreshFailing"
)

// Reasons of Stalled.
const (
	ReasonCredentialsNotFound = "CredentialsNotFound"
	ReasonCredentialsInvalid  = "CredentialsInvalid"
	ReasonCredentialsRejected = "CredentialsRejected"
	ReasonCABundleInvalid     = "CABundleInvalid"
	ReasonEndpointNotAllowed  = "EndpointNotAllowed"
	ReasonTargetConflict      = "TargetConflict"
	ReasonTemplateInvalid     = "TemplateInvalid"
)

// Reasons of Refreshable.
const (
	ReasonRefreshTokenHeld      = "RefreshTokenHeld"
	ReasonRefreshTokenNotIssued = "RefreshTokenNotIssued"
	ReasonRefreshLimitReached   = "RefreshLimitReached"
	ReasonRefreshTokenExpired   = "RefreshTokenExpired"
	ReasonRefreshTokenSpent     = "RefreshTokenSpent"
)

// Reasons of events.
const (
	EventLoggedIn            = "LoggedIn"
	EventRefreshFailed       = "RefreshFailed"
	EventCredentialsRejected = "CredentialsRejected"
	EventTargetRepaired      = "TargetRepaired"
	EventTargetConflict      = "TargetConflict"
	EventTokenExpired        = "TokenExpired"
	EventRevoked             = "Revoked"
	EventRevokeFailed        = "RevokeFailed"
)

// Labels and annotations.
const (
	// AnnotationRefreshRequested asks for one renewal now, each time its value changes.
	AnnotationRefreshRequested = Group + "/refresh-requested-at"
	// LabelSession is the session that a Secret belongs to; a name longer than 63 characters is hashed.
	LabelSession = Group + "/session"
	// LabelManagedBy is ManagedBy on the operator's Secrets.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy and the operator's field manager.
	ManagedBy = "secret-server-operator"
)

// FinalizerRevoke holds a session that is being deleted until its token was revoked, or could not be. Only sessions with
// DeletionRevoke bear it.
const FinalizerRevoke = Group + "/revoke"

// StateSecretType is the type of the Secret that holds a session's state.
const StateSecretType = Group + "/session"

// Keys of the target by default.
const (
	TargetKeyToken     = "token"
	TargetKeyExpiresAt = "expiresAt"
	TargetKeyServerURL = "serverURL"
)

// StateSecretName is the name of the Secret that holds the state of the named session.
func StateSecretName(session string) string { return session + "-session" }

// Kind of the resource.
const Kind = "SecretServerSession"
