package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// endStored is told of what the operator stored, and knows that it did: that a token is dead.
func (tr *trial) endStored(r apiRequest) {
	if record := writtenRecord(r); record != nil && !record.EndedAt.IsZero() {
		tr.knownDead[string(r.object.Data[keyAccessToken])] = true
	}
}

// mustNotPraise sees to it that a status calls no target ready that holds a token known to be dead.
func (tr *trial) mustNotPraise(s *api.SecretServerSession) {
	target := tr.kubernetes.secrets[in(s.Status.TargetName)]
	if target == nil || len(tr.processes) > 1 || !meta.IsStatusConditionTrue(s.Status.Conditions, api.ConditionReady) {
		return
	}
	if token := string(target.Data[api.TargetKeyToken]); tr.knownDead[token] {
		tr.complain("%s: Ready is True, and %s is known to be dead", s.Name, token)
	}
}

// noticedWithin is how long it may take to notice that a token was ended: until it is verified, or else renewed.
func (tr *trial) noticedWithin() time.Duration {
	lifetime := tr.vaults[vaultURLs[0]].lifetime
	if tr.world.verifyEvery == 0 {
		return lifetime
	}
	dead := 0
	for _, p := range tr.processes {
		for _, known := range p.reconciler.verified.known {
			dead = max(dead, known.dead)
		}
	}
	return min(lifetime, session.VerifyInterval(tr.world.verifyEvery, dead))
}

// end ends the access tokens, and lets the refresh tokens be.
func (v *vault) end() {
	for token := range v.access {
		v.ended[token] = true
	}
}

// verifying has tokens that live long, and are verified often.
func verifying(w *world) {
	w.verifyEvery = 5 * time.Minute
	for url, settings := range w.vaults {
		settings.lifetime = 4 * time.Hour
		w.vaults[url] = settings
	}
}

// afterVerification lets time go by until the tokens were verified.
func (tr *trial) afterVerification() {
	tr.unnoticed = true
	tr.untilDue()
	tr.work()
}

// forgetEnd leaves out of what is written that the token is dead. Who wrote it believes that it stands there.
func forgetEnd(_ *kubernetes, send sendFunc) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		record := writtenRecord(r)
		if record == nil || record.EndedAt.IsZero() {
			return send(ctx, r, do)
		}
		text := r.object.Annotations[annotationRecord]
		record.EndedAt = time.Time{}
		if err := rewrite(r, record); err != nil {
			return err
		}
		err := send(ctx, r, do)
		r.object.Annotations[annotationRecord] = text
		return err
	}
}

// keepEnd has a new token taken for as dead as the one that it replaces.
func keepEnd(k *kubernetes, send sendFunc) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		held, record := k.secrets[r.name], writtenRecord(r)
		if record != nil && held != nil && isStore(k, r) {
			if before := recordOf(held); before != nil && !before.EndedAt.IsZero() {
				record.EndedAt = before.EndedAt
				if err := rewrite(r, record); err != nil {
					return err
				}
			}
		}
		return send(ctx, r, do)
	}
}

// writtenRecord is the record in a request that writes a state Secret; nil for any other.
func writtenRecord(r apiRequest) *session.Record {
	if (r.verb != updateVerb && r.verb != createVerb) || r.object.Type != api.StateSecretType {
		return nil
	}
	return recordOf(r.object)
}

func rewrite(r apiRequest, record *session.Record) (err error) {
	r.object.Annotations[annotationRecord], err = record.Encode()
	return err
}
