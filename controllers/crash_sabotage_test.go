package controllers

import (
	"context"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// isStore reports whether a request stores a new token.
func isStore(k *kubernetes, r apiRequest) bool {
	if (r.verb != updateVerb && r.verb != createVerb) || r.object.Type != api.StateSecretType {
		return false
	}
	held, token := k.secrets[r.name], string(r.object.Data[keyAccessToken])
	return token != "" && (held == nil || string(held.Data[keyAccessToken]) != token)
}

// claimLate makes a claim with the request that follows the refresh, though it is answered before.
func claimLate(k *kubernetes, send sendFunc) sendFunc {
	var late func(context.Context) error
	return func(ctx context.Context, r apiRequest, do func() error) error {
		if claim := late; claim != nil {
			late = nil
			if err := claim(ctx); err != nil {
				return err
			}
		}
		if r.purpose() == claimPurpose {
			late = func(ctx context.Context) error { return send(ctx, r, do) }
			return k.unkept(do)
		}
		return send(ctx, r, do)
	}
}

// neverPutBack answers that a put-back was done, and does not do it.
func neverPutBack(k *kubernetes, send sendFunc) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		if r.purpose() == putBackPurpose {
			return k.unkept(do)
		}
		return send(ctx, r, do)
	}
}

// unkept answers a patch and does not keep what comes of it.
func (k *kubernetes) unkept(patch func() error) error {
	k.forgetsPatches = true
	defer func() { k.forgetsPatches = false }()
	return patch()
}

// storeLate keeps a store back until the target is written.
func storeLate(k *kubernetes, send sendFunc) sendFunc {
	var late func() error
	return func(ctx context.Context, r apiRequest, do func() error) error {
		if isStore(k, r) {
			late = func() error { return send(ctx, r, do) }
			return nil
		}
		err := send(ctx, r, do)
		if held := late; held != nil && r.verb == applyVerb {
			late = nil
			return held()
		}
		return err
	}
}

// storeOrNot answers that a store was done, whether or not it was.
func storeOrNot(k *kubernetes, send sendFunc) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		err := send(ctx, r, do)
		if isStore(k, r) {
			return nil
		}
		return err
	}
}

// neverIntend leaves out of what is written that a login is about to happen.
func neverIntend(k *kubernetes, send sendFunc) sendFunc {
	return withoutAttempts(k, send, func(a *session.Attempt) bool { return !a.Refused })
}

// neverNote leaves out of what is written that a login was refused.
func neverNote(k *kubernetes, send sendFunc) sendFunc {
	return withoutAttempts(k, send, func(a *session.Attempt) bool { return a.Refused })
}

// withoutAttempts strikes attempts from what is written; who wrote them believes that they stand there.
func withoutAttempts(_ *kubernetes, send sendFunc, strike func(*session.Attempt) bool) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		if (r.verb != updateVerb && r.verb != createVerb) || r.object.Type != api.StateSecretType {
			return send(ctx, r, do)
		}
		text, fingerprint := r.object.Annotations[annotationRecord], r.object.Data[keyAttempted]
		record, err := session.Decode(text)
		if err != nil || record.Attempt == nil || !strike(record.Attempt) {
			return send(ctx, r, do)
		}
		record.Attempt = nil
		if r.object.Annotations[annotationRecord], err = record.Encode(); err != nil {
			return err
		}
		delete(r.object.Data, keyAttempted)
		err = send(ctx, r, do)
		r.object.Annotations[annotationRecord] = text
		if r.object.Data == nil {
			r.object.Data = map[string][]byte{}
		}
		r.object.Data[keyAttempted] = fingerprint
		return err
	}
}

// tellAll adds the refresh token to the target.
func tellAll(k *kubernetes, send sendFunc) sendFunc {
	return func(ctx context.Context, r apiRequest, do func() error) error {
		if r.verb == applyVerb {
			for name, held := range k.secrets {
				if held.Type == api.StateSecretType && len(held.Data[keyRefreshToken]) > 0 {
					r.object.Data[name.Name] = held.Data[keyRefreshToken]
				}
			}
		}
		return send(ctx, r, do)
	}
}

// optimist takes what is ambiguous for not sent.
type optimist struct{ SecretServer }

func (o optimist) Refresh(ctx context.Context, token string) (secretserver.Grant, error) {
	g, err := o.SecretServer.Refresh(ctx, token)
	if kindOf(err) == secretserver.Ambiguous {
		return g, vaultFailure(secretserver.NotSent, secretserver.ConnectionRefused, 0)
	}
	return g, err
}

// pessimist takes what was not sent for ambiguous.
type pessimist struct{ SecretServer }

func (p pessimist) Refresh(ctx context.Context, token string) (secretserver.Grant, error) {
	g, err := p.SecretServer.Refresh(ctx, token)
	if kindOf(err) == secretserver.NotSent {
		return g, vaultFailure(secretserver.Ambiguous, secretserver.ConnectionLost, 0)
	}
	return g, err
}

// stubborn tries each refresh again that got no answer.
type stubborn struct{ SecretServer }

func (s stubborn) Refresh(ctx context.Context, token string) (secretserver.Grant, error) {
	g, err := s.SecretServer.Refresh(ctx, token)
	if kindOf(err) == secretserver.Ambiguous {
		return s.SecretServer.Refresh(ctx, token)
	}
	return g, err
}

// insistent tries each login again that failed.
type insistent struct{ SecretServer }

func (i insistent) Authenticate(ctx context.Context, c secretserver.Credentials) (secretserver.Grant, error) {
	g, err := i.SecretServer.Authenticate(ctx, c)
	if err != nil {
		return i.SecretServer.Authenticate(ctx, c)
	}
	return g, nil
}

// deaf hears no refusal of a login.
type deaf struct{ SecretServer }

func (d deaf) Authenticate(ctx context.Context, c secretserver.Credentials) (secretserver.Grant, error) {
	g, err := d.SecretServer.Authenticate(ctx, c)
	if kindOf(err) == secretserver.Refused {
		return g, of(secretserver.PasswordGrant, vaultFailure(secretserver.Unavailable, secretserver.ErrorStatus, 503))
	}
	return g, err
}
