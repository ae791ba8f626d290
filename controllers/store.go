package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// errLost means that the state Secret is not what the pass believed: somebody else was faster, or the cache was old.
// Nothing was spent.
var errLost = errors.New("the state Secret has changed")

// claim takes the refresh token for this pass alone. One JSON patch tests that the record still stands and moves the
// token to another key; the API server lets one caller do that, and the answer brings the token. It is read, fence and
// proof that the operator may write, all before anything is sent to Secret Server.
func (p *pass) claim(ctx context.Context) (string, error) {
	before := recordText(&p.state.meta)
	claimed := p.state.record
	claimed.Refresh = session.Claimed
	claimed.Handled = p.requested()
	after, err := p.options.Records.encode(claimed)
	if err != nil {
		return "", err
	}
	secret, err := p.patchState(ctx, moveKey(keyRefreshToken, keyClaimedRefreshToken, before, after))
	if err != nil {
		return "", err
	}
	if err := p.took(secret); err != nil {
		return "", err
	}
	if p.state.record.Refresh != session.Claimed {
		return "", errLost // the rest of the state is not usable; a login follows
	}
	return string(secret.Data[keyClaimedRefreshToken]), nil
}

// putBack undoes the claim of a token that was provably not sent. If it fails the token stays claimed, and the next
// step is a login.
func (p *pass) putBack(ctx context.Context) error {
	before := recordText(&p.state.meta)
	unclaimed := p.state.record
	unclaimed.Refresh = session.Held
	after, err := p.options.Records.encode(unclaimed)
	if err != nil {
		return err
	}
	detached, cancel := settling(ctx)
	defer cancel()
	secret, err := p.patchState(detached, moveKey(keyClaimedRefreshToken, keyRefreshToken, before, after))
	if errors.Is(err, errLost) {
		return p.reload(ctx)
	}
	if err != nil {
		return err
	}
	return p.took(secret)
}

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	From  string `json:"from,omitempty"`
	Path  string `json:"path"`
	Value string `json:"value,omitempty"`
}

// moveKey moves a key of the data and rewrites the record, if the record is still what it was.
func moveKey(from, to, before, after string) []operation {
	record := "/metadata/annotations/" + strings.ReplaceAll(annotationRecord, "/", "~1")
	return []operation{
		{Op: "test", Path: record, Value: before},
		{Op: "move", From: "/data/" + from, Path: "/data/" + to},
		{Op: "replace", Path: record, Value: after},
	}
}

// patchState patches the state Secret; a failed test, a missing key or a missing Secret is errLost.
func (p *pass) patchState(ctx context.Context, operations []operation) (*corev1.Secret, error) {
	body, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.session.Namespace, Name: api.StateSecretName(p.session.Name)}}
	p.begin(secretNamed(p.session, secret.Name))
	err = p.live.Patch(ctx, secret, client.RawPatch(types.JSONPatchType, body), client.FieldOwner(api.ManagedBy))
	switch {
	case apierrors.IsInvalid(err), apierrors.IsNotFound(err):
		return nil, errLost
	case err != nil:
		return nil, fmt.Errorf("patch the state Secret: %w", err)
	}
	p.expect(ctx, secretNamed(p.session, secret.Name), secret.ResourceVersion)
	return secret, nil
}

// load reads the state Secret, once in a pass.
func (p *pass) load(ctx context.Context) error {
	if p.state.secret != nil || !p.state.exists {
		return nil
	}
	return p.reload(ctx)
}

// reload reads the state Secret from the API server.
func (p *pass) reload(ctx context.Context) error {
	secret := &corev1.Secret{}
	err := p.live.Get(ctx, types.NamespacedName{Namespace: p.session.Namespace, Name: api.StateSecretName(p.session.Name)}, secret)
	switch {
	case apierrors.IsNotFound(err):
		p.state = state{}
		p.published = false
		return nil
	case err != nil:
		return fmt.Errorf("read the state Secret: %w", err)
	}
	return p.took(secret)
}

// took makes a state Secret, as the API server answered, what the pass goes on from. Content that cannot be read is no
// session.
func (p *pass) took(secret *corev1.Secret) error {
	if !metav1.IsControlledBy(secret, p.session) {
		return fmt.Errorf("state Secret %s: %w", secret.Name, errLost)
	}
	content, err := p.options.Records.readState(secret)
	if err != nil {
		content = stored{}
	}
	if content.Sequence() != p.state.record.Sequence() {
		p.target.ended = p.target.ended || (p.published && !p.state.record.EndedAt.IsZero())
		p.published = false
	}
	p.state = state{exists: true, meta: secret.ObjectMeta, record: content.Record, secret: secret, stored: content}
	p.takeHandled()
	return nil
}

// intend writes, before a login, that it is about to happen. A crash between the answer and its storing is then known
// to have been a login, which may have been refused; and an operator that may not write finds out before it logs in.
func (p *pass) intend(ctx context.Context) error {
	l := p.login
	now := p.now()
	next := p.nextStored()
	next.Attempted = l.fingerprint
	next.Handled = p.requested()
	if l.credentials.OTP != "" {
		next.CodeStep = l.code.step
	}
	next.Attempt = &session.Attempt{
		Identity: p.wanted,
		Account:  l.account,
		At:       now.UTC(),
		Bad:      p.accounts.begin(l.account, l.fingerprint, now),
	}
	return p.write(ctx, next)
}

// note writes what became of the login of intend.
func (p *pass) note(ctx context.Context, attempt session.Attempt) error {
	next := p.nextStored()
	next.Attempt = &attempt
	detached, cancel := settling(ctx)
	defer cancel()
	return p.write(detached, next)
}

// nextStored is what is stored now, to be changed. The counts of a session whose state was lost go on from its status.
func (p *pass) nextStored() stored {
	next := p.state.stored
	if !next.HasToken() && next.Sequence() == 0 {
		next.Logins, next.Refreshes = p.session.Status.LoginCount, p.session.Status.RefreshCount
	}
	return next
}

// write creates the state Secret, or updates the one that the pass has loaded; errLost if it is another by now.
func (p *pass) write(ctx context.Context, next stored) error {
	secret := newStateSecret(p.session)
	save := func() error { return p.live.Create(ctx, secret, client.FieldOwner(api.ManagedBy)) }
	if p.state.exists {
		loaded := p.state.secret.DeepCopy()
		for key, value := range secret.Labels {
			metav1.SetMetaDataLabel(&loaded.ObjectMeta, key, value)
		}
		loaded.ManagedFields = nil // left out, the API server keeps them
		secret = loaded
		save = func() error { return p.live.Update(ctx, secret, client.FieldOwner(api.ManagedBy)) }
	}
	if err := p.options.Records.writeState(secret, next); err != nil {
		return err
	}
	p.begin(secretNamed(p.session, secret.Name))
	err := save()
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && p.state.exists:
		return fmt.Errorf("%w: %w", errLost, err)
	case err != nil:
		return fmt.Errorf("write the state Secret: %w", err)
	}
	p.expect(ctx, secretNamed(p.session, secret.Name), secret.ResourceVersion)
	return p.took(secret)
}

const (
	// storeTimeout bounds how long one pass goes on trying to store a grant; the manager grants more at shutdown.
	storeTimeout = 10 * time.Second
	// firstStoreRetry doubles up to longestStoreRetry.
	firstStoreRetry   = 50 * time.Millisecond
	longestStoreRetry = 2 * time.Second
)

// settling is a context for the write that tells what became of a grant or a revocation. It outlives the pass, and has
// nothing to do with how patient the session is with its Secret Server.
func settling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
}

// store writes the held grant, and goes on trying: it is the only copy. What cannot be stored now stays held.
func (p *pass) store(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for wait := firstStoreRetry; ; wait = min(2*wait, longestStoreRetry) {
		err := p.storeOnce(ctx)
		if err == nil {
			p.memory.forget(p.name())
			p.grant = nil
			return nil
		}
		log.FromContext(ctx).Info("a new token could not be stored yet; it is held in memory", "error", err.Error())
		select {
		case <-ctx.Done():
			return fmt.Errorf("store a new token, which is held in memory meanwhile: %w", err)
		case <-p.clock.After(wait):
		}
	}
}

// storeOnce stores the held grant, unless somebody else has stored a newer one since the claim.
func (p *pass) storeOnce(ctx context.Context) error {
	if p.state.secret == nil {
		if err := p.reload(ctx); err != nil {
			return err
		}
	}
	err := p.storeUnlessSuperseded(ctx)
	if !errors.Is(err, errLost) {
		return err
	}
	if err := p.reload(ctx); err != nil {
		return err
	}
	return p.storeUnlessSuperseded(ctx)
}

func (p *pass) storeUnlessSuperseded(ctx context.Context) error {
	if p.superseded() {
		log.FromContext(ctx).Info("a newer token was stored meanwhile; this one is dropped")
		return nil
	}
	return p.write(ctx, p.grant.stored)
}

// superseded reports whether the stored session is no longer the one that the held grant followed.
func (p *pass) superseded() bool {
	return p.state.exists && p.state.record.Sequence() > p.grant.claimed.Sequence()
}

// begin has what the watch shows of an object held back until the pass is over, because the pass is about to write it.
func (p *pass) begin(o object) {
	if !slices.Contains(p.writes, o) {
		p.writes = append(p.writes, o)
		p.expectations.begin(o)
	}
}

// end looks for what was held back, and has the sessions looked at which it concerns.
func (p *pass) end(ctx context.Context) {
	for _, o := range p.writes {
		if !p.expectations.end(o) {
			continue
		}
		meta, err := p.metadata(ctx, secretKind, o.Namespace, o.Name)
		if err != nil || meta == nil {
			continue // its deletion has been told
		}
		for _, request := range p.sessionsOfSecret(ctx, meta) {
			p.look(request.NamespacedName)
		}
	}
}

// expect notes a write, so that no pass starts from a cache that lacks it.
func (p *pass) expect(ctx context.Context, o object, version string) {
	p.expectations.wrote(o, version, func() string {
		meta, err := p.metadata(ctx, secretKind, o.Namespace, o.Name)
		if err != nil || meta == nil {
			return ""
		}
		return meta.ResourceVersion
	})
}
