package controllers

import (
	"context"
	"errors"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// keepFormer keeps the token that a login with another endpoint, account or password replaces, until it is revoked. It is
// stored in the same write as its successor, so that no crash loses it. Only one is kept: another that still waits for
// its turn is given up.
func (p *pass) keepFormer(ctx context.Context, next *stored) {
	before := p.state.stored
	if p.session.Spec.DeletionPolicy != api.DeletionRevoke || !before.HasToken() || p.login.same {
		return
	}
	if before.FormerAlive(p.now()) {
		p.tellEnded(ctx, p.skipped(before.former(), "another token was replaced before its turn came"))
	}
	next.Former, next.FormerToken = nil, ""
	if before.Alive(p.now()) {
		next.Former = &session.Former{ServerURL: before.ServerURL, ExpiresAt: before.ExpiresAt}
		next.FormerToken = before.AccessToken
	}
}

// revokeFormer makes one attempt to revoke the former token, if the policy is still that, and forgets it whatever came of
// it.
func (p *pass) revokeFormer(ctx context.Context) error {
	defer p.leavePlace()
	if former := p.state.record.Former; former != nil && !p.reserveRevocation(former.ServerURL) {
		p.crowded = true
		return nil
	}
	if err := p.load(ctx); err != nil || p.state.record.Former == nil {
		return err
	}
	var told []ending
	t := p.state.stored.former()
	if p.session.Spec.DeletionPolicy == api.DeletionRevoke && p.now().Before(t.expires) {
		ended, err := p.endToken(ctx, t)
		p.leavePlace() // what is left to do concerns the API server alone
		if err != nil || ended == nil {
			p.crowded = err == nil
			return err
		}
		told = append(told, *ended)
	}
	next := p.state.stored
	next.Former, next.FormerToken = nil, ""
	detached, cancel := settling(ctx)
	defer cancel()
	switch err := p.write(detached, next); {
	case errors.Is(err, errLost):
		return p.reload(detached)
	case err != nil:
		return err
	}
	p.tellEnded(ctx, told...)
	return nil
}
