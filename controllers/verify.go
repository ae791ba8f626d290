package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// verification is how often to verify the stored token, and the moment to count from; zero: never.
func (p *pass) verification() (interval time.Duration, after time.Time) {
	spec := p.session.Spec.Verification
	if spec == nil {
		p.verified.forget(p.name())
		return 0, time.Time{}
	}
	if !p.state.record.HasToken() {
		return 0, time.Time{}
	}
	interval = time.Duration(spec.IntervalSeconds) * time.Second
	return p.verified.plan(p.name(), tokenOf{p.session.UID, p.state.record.Token}, interval, p.now())
}

// verify asks Secret Server whether it still takes the token in the target. It spends nothing: it may be canceled, and
// no answer is no failure of the session.
func (p *pass) verify(ctx context.Context) error {
	server, err := p.server(ctx)
	if err != nil {
		return p.verdictOn(ctx, err)
	}
	if server == nil {
		return nil // the CA bundle is at fault
	}
	if !p.takePlace("") {
		return nil
	}
	defer p.leavePlace()
	if !p.outages.verify(p.vantage, p.name()) {
		p.endpointDown = p.downFault()
		return nil
	}
	if err := p.load(ctx); err != nil {
		return err
	}
	if session.Decide(p.observation(), p.now()).Action != session.Verify {
		return nil // the cache was old: somebody has renewed the token, or spoilt the state
	}
	return p.verdictOn(ctx, server.Verify(ctx, p.state.stored.AccessToken))
}

// verdictOn notes what the answer to a verification tells of the token.
func (p *pass) verdictOn(ctx context.Context, err error) error {
	failed, ok := errors.AsType[*secretserver.Error](err)
	switch {
	case err == nil:
		p.metrics.verification(resultAlive)
		p.verified.alive(p.name(), p.now())
	case !ok:
		return fmt.Errorf("verify the token: %w", err)
	case failed.Kind == secretserver.Refused:
		p.metrics.verification(resultDead)
		return p.noteEnd(ctx)
	default:
		// Nothing is known of the token. What is wrong with the server, the next renewal will tell in the status.
		p.metrics.verification(resultUnknown)
		p.verified.unknown(p.name(), p.now(), failed.RetryAfter)
		log.FromContext(ctx).V(1).Info("the token could not be verified", "error", err.Error())
	}
	return nil
}

// noteEnd stores, where no restart forgets it, that the token is dead before its time.
func (p *pass) noteEnd(ctx context.Context) error {
	now := p.now()
	next := p.state.stored
	if !now.Before(next.ExpiresAt) {
		return nil // its time was over before the answer came
	}
	next.EndedAt = now.UTC()
	err := p.write(ctx, next)
	if errors.Is(err, errLost) {
		return p.reload(ctx)
	}
	if err != nil {
		return err
	}
	p.notes.ended = true
	row := p.verified.dead(p.name(), now)
	log.FromContext(ctx).Info("Secret Server no longer takes the token, though its time is not over; it is renewed",
		"issuedAt", next.IssuedAt, "expiresAt", next.ExpiresAt, "deadTokensInARow", row)
	return nil
}

// verification counts one.
func (m *metrics) verification(result string) { m.verifications.WithLabelValues(result).Inc() }
