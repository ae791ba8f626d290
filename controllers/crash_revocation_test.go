package controllers

import (
	"bytes"
	"context"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// endings are what the witness knows of tokens that are no longer needed.
type endings struct {
	issuedTo map[string]types.UID    // access tokens that the operator received
	tried    map[string]bool         // to revoke, and Secret Server failed
	silent   map[string]time.Time    // when a Secret Server did not answer a revocation
	lost     map[types.UID]bool      // what was stored could not be read, once
	doomed   map[types.UID]time.Time // when a session was deleted that our finalizer holds
}

func newEndings() endings {
	return endings{
		issuedTo: map[string]types.UID{}, tried: map[string]bool{}, silent: map[string]time.Time{},
		lost: map[types.UID]bool{}, doomed: map[types.UID]time.Time{},
	}
}

// longestDeparture is how long a session that is deleted may still be there when nothing goes wrong.
const longestDeparture = letGoAfter + revokeTimeout + time.Minute

func (c connection) Revoke(_ context.Context, token string) error {
	tr, f := c.trial, c.trial.running
	o := f.pause(effect{kind: vaultEffect, operation: secretserver.RevokeToken})
	tr.figures.count("revocations")
	c.mustOwn(token)
	s := tr.kubernetes.sessions[f.session]
	switch {
	case !f.revokes:
		tr.complain("%s: %s was revoked, and its policy is to retain it", f.session.Name, token)
	case tr.issuedTo[token] != f.uid:
		tr.complain("%s: %s was revoked, which is another session's", f.session.Name, token)
	case f.leaving || s == nil || len(tr.processes) > 1:
	default:
		target := tr.kubernetes.secrets[in(s.TargetName())]
		if target != nil && string(target.Data[api.TargetKeyToken]) == token {
			tr.complain("%s: %s was revoked, and is still in the target", f.session.Name, token)
		}
	}
	if o.acts {
		c.vault.ended[token] = true
	}
	if o.err == nil {
		return nil
	}
	tr.tried[token] = true
	failed := of(secretserver.RevokeToken, o.err)
	tr.silent[c.vault.url] = tr.truth
	return failed
}

// mustOwn sees to it that a token is shown to no server but its own.
func (c connection) mustOwn(token string) {
	if token != "" && !strings.HasSuffix(token, "@"+c.vault.url) {
		c.trial.complain("%s is shown to %s", token, c.vault.url)
	}
}

// mustBeHeld sees to it that a session that shall revoke its tokens cannot go without it, before it has one.
func (tr *trial) mustBeHeld(f *flight) {
	s := tr.kubernetes.sessions[f.session]
	if f.revokes && s != nil && s.UID == f.uid && s.Generation == f.generation && !hasFinalizer(s) {
		tr.complain("%s: a token is asked for, and no finalizer would see to its end", f.session.Name)
	}
}

// examineGone judges that the operator let a session go.
func (tr *trial) examineGone(f *flight, s *api.SecretServerSession) {
	tr.figures.count("sessions let go")
	held := tr.kubernetes.secrets[in(stateOf(nameOf(s)))]
	if s.Spec.DeletionPolicy != api.DeletionRevoke || held == nil || !metav1.IsControlledBy(held.Secret, s) {
		return
	}
	content, err := readState(held.Secret)
	if err != nil || tr.truth.Sub(tr.doomed[s.UID]) >= letGoAfter {
		return // nothing is known of the tokens, or it waited for its turn in vain
	}
	if content.Alive(f.process.clock.Now()) {
		tr.mustHaveEnded(f, content.AccessToken)
	}
	tr.mustHaveEnded(f, content.FormerToken)
}

// mustHaveEnded sees to it that a token that is forgotten is dead, or that Secret Server would not end it.
func (tr *trial) mustHaveEnded(f *flight, token string) {
	_, url, _ := strings.Cut(token, "@")
	v := tr.vaults[url]
	if v == nil || !v.accepts(token) || tr.tried[token] || tr.lost[f.uid] || f.suspended || f.stale || len(tr.processes) > 1 {
		return
	}
	if since, ok := tr.silent[url]; ok && tr.truth.Sub(since) < silenceHolds+time.Second {
		return
	}
	tr.complain("%s: %s was not revoked, and is forgotten", f.session.Name, token)
}

// examineFormer judges what became of the token that a new one replaces.
func (tr *trial) examineFormer(f *flight, before, after stored) {
	now := f.process.clock.Now()
	switch {
	case !f.revokes || len(tr.processes) > 1 || f.stale:
	case after.Sequence() > before.Sequence() && after.Grant == session.Password && f.received == after.AccessToken &&
		before.Alive(now) && !bytes.Equal(before.Fingerprint, after.Fingerprint):
		tr.figures.count("former tokens")
		if after.FormerToken != before.AccessToken {
			tr.complain("%s: %s was replaced by %s, and is not kept to be revoked", f.session.Name, before.AccessToken, after.AccessToken)
		}
	case before.FormerAlive(now) && after.Former == nil:
		tr.mustHaveEnded(f, before.FormerToken)
	}
}

// deleteSession deletes a session as a user does.
func (tr *trial) deleteSession(name types.NamespacedName) {
	uid := tr.kubernetes.sessions[name].UID
	// A pass that has not seen the object go may miss its state.
	tr.stateLost = tr.truth
	tr.allow(uid, anInterference, "it is deleted")
	tr.kubernetes.deleteSession(name)
	if tr.kubernetes.sessions[name] != nil && tr.doomed[uid].IsZero() {
		tr.doomed[uid] = tr.truth
	}
}

// mustLeave sees to it that the sessions that are deleted go in time. It counts from a moment when nothing goes wrong any
// more.
func (tr *trial) mustLeave(since time.Time) {
	for name, s := range tr.kubernetes.sessions {
		if !s.DeletionTimestamp.IsZero() && tr.truth.Sub(since) > longestDeparture {
			tr.t.Fatalf("%s %s is deleted, and still there after %s", tr.at(), name.Name, tr.truth.Sub(since))
		}
	}
}

// removeEarly takes our finalizer away when the state of a session that is deleted is about to be read for its tokens.
func removeEarly(k *kubernetes, send sendFunc) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		for name, s := range k.sessions {
			if r.verb == getVerb && r.name == in(stateOf(name)) && !s.DeletionTimestamp.IsZero() {
				if _, err := k.setFinalizers(name, finalizerPatch{UID: s.UID, ResourceVersion: s.ResourceVersion}); err != nil {
					return err
				}
				break
			}
		}
		return send(ctx, r, do)
	}
}

// neverHold answers that a finalizer was added, and does not add it.
func neverHold(_ *kubernetes, send sendFunc) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		if r.verb == finalizerVerb && strings.Contains(string(r.patch), api.FinalizerRevoke) {
			return nil
		}
		return send(ctx, r, do)
	}
}

// publishLate answers that the target was written, and writes it when the state is stored next.
func publishLate(_ *kubernetes, send sendFunc) sendFunc {
	var late func() error
	return func(ctx context.Context, r apiRequest, do func() error) error {
		if r.verb == applyVerb {
			late = func() error { return send(ctx, r, do) }
			return nil
		}
		if held := late; held != nil && r.verb == updateVerb {
			late = nil
			if err := held(); err != nil && !apierrors.IsConflict(err) {
				return err
			}
		}
		return send(ctx, r, do)
	}
}

// complacent takes every revocation for done.
type complacent struct{ SecretServer }

func (complacent) Revoke(context.Context, string) error { return nil }
