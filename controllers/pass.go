package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// pass is one reconciliation: what was observed at its start, corrected by what was done since.
type pass struct {
	*Reconciler
	session *api.SecretServerSession // as cached, but for our own finalizer; never changed
	wanted  session.Identity

	state      state
	target     target
	oldTargets []metav1.PartialObjectMetadata // under earlier names, and ours
	published  bool                           // the target holds the token of the state

	conflict, endpointFault, credentialsFault *fault
	templateFault                             *fault
	hindrance                                 *fault // of the pass itself
	unwritable                                bool   // conflict is the API server's refusal of the target
	bundleChanged                             bool   // the CA bundle was read anew in this pass

	login   *login    // what a login would be made with, once read
	grant   *newGrant // held in memory alone until it is stored
	place   *place    // among the requests and logins; nil: none
	busy    bool      // the pass waits for a place
	doubted bool      // it waits for what comes of a request to a Secret Server that may be down
	crowded bool      // the revocation of the former token found no free place
	vantage vantage   // zero until known
	// endpointDown: Secret Server is down, and another session asks for all.
	endpointDown *fault
	failure      failure
	tried        bool   // an attempt at a grant has failed in this pass
	handled      string // the refresh request that was acted on last
	notes        notes
	writes       []object // that were begun; see begin

	// handledBefore is the refresh request that was acted on before the one that the present grant was begun for.
	handledBefore string
	// departure is that of a session that is being deleted and bears our finalizer; nil for any other.
	departure *departure
}

// state is the state Secret: its metadata as watched, its content once loaded.
type state struct {
	exists bool
	meta   metav1.ObjectMeta
	record session.Record // zero if there is none that can be read
	secret *corev1.Secret // nil until loaded
	stored stored         // content of secret
}

// target is the Secret that pods mount, if it is there and ours.
type target struct {
	version string // its resource version; empty: it is not there
	intact  bool
	texts   bool // somebody applied stringData over it
	ended   bool // Secret Server ended the token in it, which is not that of the state any more
}

// fault is an obstacle that a person must remove, in the words of the API.
type fault struct {
	reason, message string
}

// login is what a login would be made with, and what is known of it.
type login struct {
	credentials secretserver.Credentials
	account     string
	fingerprint fingerprint
	same        bool // as the login that began the present chain
	// codeAt is when there is a one-time code that was not used yet; code is the one that was made.
	codeAt time.Time
	code   usedCode
	verdict
}

// failure is the outcome of the last attempts at a grant.
type failure struct {
	count   int32 // since the last success; 0: the last attempt succeeded
	at      time.Time
	reason  string
	message string
	retryAt time.Time // zero: not by time alone
}

// notes are what happened in a pass and cannot be read off the status.
type notes struct {
	repaired    bool   // the target was restored after somebody changed it
	loginReason string // why the password was used
	ended       bool   // Secret Server said that the token in the target is dead
}

func (p *pass) now() time.Time { return p.clock.Now() }

func (p *pass) name() types.NamespacedName {
	return types.NamespacedName{Namespace: p.session.Namespace, Name: p.session.Name}
}

// observation is what package session needs to know.
func (p *pass) observation() session.Observation {
	o := session.Observation{
		Deleting:       !p.session.DeletionTimestamp.IsZero(),
		Suspended:      p.session.Spec.Suspend,
		Revoking:       p.session.Spec.DeletionPolicy == api.DeletionRevoke,
		Finalizer:      hasFinalizer(p.session),
		Seed:           string(p.session.UID),
		RefreshPercent: int(p.session.Spec.Refresh.Percent),
		// Whoever asks for a renewal need not wait for the retry that was planned before, but for the next one.
		RenewalRequested: p.requested() != p.handled && !p.tried,
		Wanted:           p.wanted,
		Conflict:         p.conflict != nil,
		TemplateFault:    p.templateFault != nil,
		EndpointFault:    p.endpointFault != nil,
		CredentialsFault: p.credentialsFault != nil,
		Unstored:         p.grant != nil,
		Record:           p.state.record,
		Published:        p.published,
		Told:             p.session.Status.LoginCount+p.session.Status.RefreshCount == p.state.record.Sequence(),
		TargetExpiresAt:  p.targetExpiresAt(),
		OldTarget:        len(p.oldTargets) > 0,
		RetryAt:          p.failure.retryAt,
		RefusedRetry:     p.options.RejectedCredentialsRetry,
		Busy:             p.busy,
		EndpointDown:     p.endpointDown != nil,
		Crowded:          p.crowded,
	}
	if p.departure != nil {
		o.Revoked, o.LetGoAt = p.departure.concluded, p.departure.letGoAt
	}
	if p.login != nil {
		o.Inspected = true
		o.SameCredentials = p.login.same
		o.RefusedAt = p.login.refusedAt
		o.LoginHeldUntil = p.login.heldUntil
		o.CodeAt = p.login.codeAt
	}
	o.VerifyInterval, o.VerifyAfter = p.verification()
	return o
}

// targetExpiresAt is when the token that the target holds by the last status expires; zero: there is none.
func (p *pass) targetExpiresAt() time.Time {
	if expires := p.session.Status.TokenExpiresAt; p.target.intact && !p.published && expires != nil {
		return expires.Time
	}
	return time.Time{}
}

// takeHandled takes over from the record which refresh request was acted on last: the record is written before the
// grant, the status after it.
func (p *pass) takeHandled() {
	if handled := p.state.record.Handled; handled != "" {
		p.handled = handled
	}
}

// longestRequest bounds the refresh annotation's value, which the status repeats.
const longestRequest = 1024

// requested is the value of the refresh annotation; without one, the last that was handled.
func (p *pass) requested() string {
	value := p.session.Annotations[api.AnnotationRefreshRequested]
	switch {
	case value == "":
		return p.handled
	case len(value) > longestRequest:
		return "sha256:" + shortDigest(value)
	}
	return value
}

// act takes one step.
func (p *pass) act(ctx context.Context, action session.Action) error {
	switch action {
	case session.Store:
		return p.store(ctx)
	case session.Publish:
		return p.publish(ctx)
	case session.RemoveOldTarget:
		return p.removeOldTargets(ctx)
	case session.ReadCredentials:
		return p.readCredentials(ctx)
	case session.Adopt:
		return p.adopt(ctx)
	case session.Refuse:
		return p.refuse(ctx)
	case session.Refresh:
		return p.refresh(ctx)
	case session.Login:
		return p.logIn(ctx)
	case session.AddFinalizer:
		return p.addFinalizer(ctx)
	case session.RemoveFinalizer:
		return p.removeFinalizer(ctx)
	case session.Revoke:
		return p.revoke(ctx)
	case session.RevokeFormer:
		return p.revokeFormer(ctx)
	case session.Verify:
		return p.verify(ctx)
	case session.Wait:
	}
	return fmt.Errorf("no such step: %q", action)
}
