package gitops

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// Argo CD's words for health.
const (
	healthy     = "Healthy"
	progressing = "Progressing"
	degraded    = "Degraded"
	suspended   = "Suspended"
)

// A verdict is what a condition comes to.
type verdict struct {
	condition, reason string
	suspended         bool // spec.suspend is true
	kstatus           status.Status
	argo              string
}

// A state is one that the operator is brought to put a session into.
type state struct {
	verdict

	vault   func(*secretservertest.Options) // nil: a Secret Server as installed
	session func(*api.SecretServerSession)  // nil: one that needs nothing else
	prepare func(*testing.T, *world, string)
	// spoil follows once the session holds a token, if it is not nil. The session is named.
	spoil func(*testing.T, *world, string)
}

var (
	working = func(reason string) verdict {
		return verdict{api.ConditionReconciling, reason, false, status.InProgressStatus, progressing}
	}
	stuck = func(reason string) verdict {
		return verdict{api.ConditionStalled, reason, false, status.FailedStatus, degraded}
	}
)

// notAllowed is where the operator may not connect to.
const notAllowed = "https://elsewhere.example.com"

// The states, by the names of their sessions.
var states = map[string]state{
	"current": {verdict: verdict{api.ConditionReady, api.ReasonTokenCurrent, false, status.CurrentStatus, healthy}},
	"suspended-with-a-token": {
		verdict: verdict{api.ConditionReady, api.ReasonTokenCurrent, true, status.CurrentStatus, suspended},
		spoil:   patched(`{"spec": {"suspend": true}}`),
	},
	"suspended-without-a-token": {
		verdict: verdict{api.ConditionReady, api.ReasonSuspended, true, status.InProgressStatus, suspended},
		session: func(s *api.SecretServerSession) { s.Spec.Suspend = true },
	},
	"expired-before-the-next-code": {
		verdict: verdict{api.ConditionReady, api.ReasonTokenExpired, false, status.InProgressStatus, progressing},
		vault:   oneTimeCodes, session: withSeed,
	},

	"waiting-for-a-code": {verdict: working(api.ReasonPending), vault: oneTimeCodes, session: withSeed},
	"unavailable": {
		verdict: working(api.ReasonEndpointUnavailable),
		prepare: fails(secretservertest.Fault{Effect: secretservertest.Status, Status: 503}),
	},
	"unavailable-with-a-token": {
		verdict: working(api.ReasonEndpointUnavailable),
		spoil:   failsLater(secretservertest.Fault{Operation: secretservertest.Grant, Effect: secretservertest.Status, Status: 503}),
	},
	"throttled": {
		verdict: working(api.ReasonEndpointThrottled),
		prepare: fails(secretservertest.Fault{Effect: secretservertest.Status, Status: 429}),
	},
	"not-a-secret-server": {
		verdict: working(api.ReasonProtocolError),
		prepare: fails(secretservertest.Fault{Effect: secretservertest.HTML}),
	},
	"refresh-without-an-answer": {
		verdict: working(api.ReasonRefreshFailing),
		spoil: failsLater(
			secretservertest.Fault{Operation: secretservertest.Refresh, Effect: secretservertest.Drop, Processed: true},
			secretservertest.Fault{Operation: secretservertest.Password, Delay: patience}), // so that it lasts
	},

	"no-credentials": {
		verdict: stuck(api.ReasonCredentialsNotFound),
		session: func(s *api.SecretServerSession) { s.Spec.Credentials.SecretRef.Name = "no-such-secret" },
	},
	"no-password": {
		verdict: stuck(api.ReasonCredentialsInvalid),
		session: func(s *api.SecretServerSession) { s.Spec.Credentials.PasswordKey = "no-such-key" },
	},
	"wrong-password":              {verdict: stuck(api.ReasonCredentialsRejected), prepare: mistyped},
	"wrong-password-with-a-token": {verdict: stuck(api.ReasonCredentialsRejected), spoil: mistyped},
	"no-ca": {
		verdict: stuck(api.ReasonCABundleInvalid),
		session: func(s *api.SecretServerSession) { s.Spec.Endpoint.CABundleRef.Name = "no-such-configmap" },
	},
	"not-allowed": {
		verdict: stuck(api.ReasonEndpointNotAllowed),
		session: func(s *api.SecretServerSession) { s.Spec.Endpoint.URL = notAllowed },
	},
	"no-place-for-the-token": {
		verdict: stuck(api.ReasonTargetConflict),
		prepare: func(t *testing.T, w *world, name string) {
			t.Helper()
			w.create(t, &corev1.Secret{ObjectMeta: w.named(name)})
		},
	},
	"wrong-template": {
		verdict: stuck(api.ReasonTemplateInvalid),
		session: func(s *api.SecretServerSession) {
			s.Spec.Target.Data = map[string]api.Template{"password": "{{ .password }}"}
		},
	},
}

// What can be said of the refresh token. It decides nothing.
var refreshable = map[string]metav1.ConditionStatus{
	api.ReasonRefreshTokenHeld:      metav1.ConditionTrue,
	api.ReasonRefreshTokenNotIssued: metav1.ConditionFalse,
	api.ReasonRefreshLimitReached:   metav1.ConditionFalse,
	api.ReasonRefreshTokenExpired:   metav1.ConditionFalse,
	api.ReasonRefreshTokenSpent:     metav1.ConditionFalse,
}

// oneTimeCodes has the account log in with codes that are taken once, and its tokens expire before there is another code.
func oneTimeCodes(o *secretservertest.Options) {
	o.Accounts[0].OTPSeed, o.OTPSingleUse, o.RefreshDisabled, o.TokenLifetime = otpSeed, true, true, 5*time.Second
}

// otpSeed is base32. It stands in each credentials Secret; most sessions do not ask for it.
const otpSeed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

func withSeed(s *api.SecretServerSession) { s.Spec.Credentials.OTPSeedKey = "otp" }

// fails has Secret Server answer all grants so.
func fails(f secretservertest.Fault) func(*testing.T, *world, string) {
	f.Operation = secretservertest.Grant
	return func(_ *testing.T, w *world, _ string) { w.vault.Inject(f) }
}

// failsLater has Secret Server fail at the renewal, which is now.
func failsLater(faults ...secretservertest.Fault) func(*testing.T, *world, string) {
	return func(t *testing.T, w *world, name string) {
		t.Helper()
		w.vault.Inject(faults...)
		mustKubectl(t, "", "annotate", "sss", name, "-n", w.namespace, api.AnnotationRefreshRequested+"=now")
	}
}

// mistyped has somebody write a wrong password into the session's credentials.
func mistyped(t *testing.T, w *world, name string) {
	t.Helper()
	secret := w.secret(t, accountOf(name))
	secret.StringData = map[string]string{"password": "mistyped"}
	w.Expect(shared.admin.Update(t.Context(), secret)).To(Succeed())
}

// patched has somebody change the session.
func patched(patch string) func(*testing.T, *world, string) {
	return func(t *testing.T, w *world, name string) {
		t.Helper()
		mustKubectl(t, "", "patch", "sss", name, "-n", w.namespace, "--type=merge", "-p", patch)
	}
}

func accountOf(session string) string { return session + "-account" }
