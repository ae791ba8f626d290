package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// newGrant is a grant on its way into the state Secret.
type newGrant struct {
	session types.UID
	stored  stored
	// claimed is the record that the grant follows: nobody else has stored anything as long as it still stands.
	claimed session.Record
}

// refresh claims the refresh token, spends it and stores what comes of it.
func (p *pass) refresh(ctx context.Context) error {
	leave, ok := p.requests.enter(p.origin(), p.name())
	if !ok {
		p.busy = true
		return nil
	}
	defer leave()
	server, err := p.connect(ctx)
	if err != nil || server == nil {
		return err
	}
	refreshToken, err := p.claim(ctx)
	if errors.Is(err, errLost) {
		return p.reload(ctx)
	}
	if err != nil {
		return err
	}
	p.handled = p.requested()

	issued := p.now()
	// From here on the token may be spent: what happens to it must be known, whatever happens to this pass.
	spend, cancel := p.detached(ctx)
	defer cancel()
	grant, err := server.Refresh(spend, refreshToken)
	p.metrics.grant(session.RefreshToken, err, p.now().Sub(issued))
	if err != nil {
		return p.refreshFailed(ctx, refreshToken, err)
	}
	next := p.state.stored.refreshed(grant, issued)
	return p.keep(ctx, next)
}

// refreshFailed tells a token that is back where it was from one that must not be sent again.
func (p *pass) refreshFailed(ctx context.Context, refreshToken string, err error) error {
	var failed *secretserver.Error
	if !errors.As(err, &failed) {
		return fmt.Errorf("refresh grant: %w", err)
	}
	switch failed.Kind {
	case secretserver.NotSent:
		if err := p.putBack(ctx, refreshToken); err != nil {
			return err
		}
	case secretserver.Refused:
		// The refresh token is at fault, not the credentials: one login follows at once.
		p.notes.loginReason = "Secret Server refused the refresh token"
		return nil
	case secretserver.Ambiguous, secretserver.Throttled, secretserver.Unavailable, secretserver.Protocol, secretserver.InvalidCA:
	}
	p.failed(session.RefreshToken, failed)
	return nil
}

// logIn runs the password grant, with the account to itself.
func (p *pass) logIn(ctx context.Context) error {
	l := p.login
	leaveAccount, ok := p.logins.enter(l.account, p.name())
	if !ok {
		p.busy = true
		return nil
	}
	defer leaveAccount()
	if changed, err := p.reconsider(ctx); changed || err != nil {
		return err
	}
	leave, ok := p.requests.enter(p.origin(), p.name())
	if !ok {
		p.busy = true
		return nil
	}
	defer leave()
	server, err := p.connect(ctx)
	if err != nil || server == nil {
		return err
	}
	if err := p.intend(ctx); err != nil {
		p.accounts.harmless(l.account, l.fingerprint)
		if errors.Is(err, errLost) {
			return p.reload(ctx)
		}
		return err
	}
	p.handled = p.requested()

	issued := p.now()
	spend, cancel := p.detached(ctx)
	defer cancel()
	grant, err := server.Authenticate(spend, l.credentials)
	p.metrics.grant(session.Password, err, p.now().Sub(issued))
	if err != nil {
		return p.loginFailed(ctx, err)
	}
	p.accounts.succeeded(l.account)
	return p.keep(ctx, p.state.stored.loggedIn(grant, issued, p.wanted, serverURL(p.session), l.fingerprint))
}

// reconsider asks again about the account, now that no other session can change it: one of them may have been refused
// since the credentials were read. It reports whether the answer changed.
func (p *pass) reconsider(ctx context.Context) (bool, error) {
	l := p.login
	if err := p.recall(ctx, l.account); err != nil {
		return false, err
	}
	refusedAt, heldUntil := p.accounts.verdict(l.account, serverURL(p.session), l.credentials, p.now())
	changed := refusedAt.After(l.refusedAt) || heldUntil.After(l.heldUntil)
	l.refusedAt, l.heldUntil = refusedAt, heldUntil
	return changed, nil
}

// loginFailed notes a refusal where no restart forgets it.
func (p *pass) loginFailed(ctx context.Context, err error) error {
	l := p.login
	var failed *secretserver.Error
	if !errors.As(err, &failed) {
		return fmt.Errorf("password grant: %w", err)
	}
	switch failed.Kind {
	case secretserver.Refused:
		now := p.now()
		p.accounts.refused(l.account, l.fingerprint, now)
		p.login.refusedAt = now
		p.rejected(now)
		return p.noteRefusal(ctx, now)
	case secretserver.Ambiguous:
		// It may have counted as a bad login, unless these credentials are known to be good.
		if l.same {
			p.accounts.harmless(l.account, l.fingerprint)
		}
	case secretserver.NotSent, secretserver.Throttled, secretserver.Unavailable, secretserver.Protocol, secretserver.InvalidCA:
		p.accounts.harmless(l.account, l.fingerprint)
	}
	p.failed(session.Password, failed)
	return nil
}

// keep holds a new grant and stores it.
func (p *pass) keep(ctx context.Context, next stored) error {
	p.grant = &newGrant{session: p.session.UID, stored: next, claimed: p.state.record}
	p.memory.hold(p.name(), p.grant)
	p.failure = failure{}
	p.login = nil
	return p.store(ctx)
}

// failed notes a failure of Secret Server or of the way to it. It is never an error of the pass: the queue's own
// retries are far too quick for a server in trouble.
func (p *pass) failed(grant session.GrantType, e *secretserver.Error) {
	now := p.now()
	count := p.failure.count + 1
	wait := max(session.Backoff(int(count), string(p.session.UID)), e.RetryAfter)
	p.failure = failure{
		count:   count,
		at:      now,
		reason:  reasonOf(grant, e.Kind),
		message: p.explain(grant, e),
		// The status keeps whole seconds; round up, so that a retry never comes before its time.
		retryAt: now.Add(wait).Truncate(time.Second).Add(time.Second),
	}
}

// rejected notes that the credentials are refused; time alone does not bring them back soon.
func (p *pass) rejected(at time.Time) {
	p.failure = failure{count: p.failure.count + 1, at: at, reason: api.ReasonCredentialsRejected}
}

// detached is a context that outlives the pass: a grant that was asked for is waited for and stored, also while the
// operator shuts down.
func (p *pass) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), p.timeout()+time.Second)
}

func (p *pass) timeout() time.Duration {
	return time.Duration(p.session.Spec.Endpoint.TimeoutSeconds) * time.Second
}

// refreshed is the session after a refresh grant.
func (s stored) refreshed(g secretserver.Grant, issued time.Time) stored {
	s.accept(g, issued)
	s.Grant = session.RefreshToken
	s.RefreshesSinceLogin++
	s.Refreshes++
	s.LastRefreshAt = issued
	if g.RefreshToken == "" {
		s.Refresh = session.LimitReached
	}
	return s
}

// loggedIn is the session after a password grant.
func (s stored) loggedIn(g secretserver.Grant, issued time.Time, id session.Identity, url string, f fingerprint) stored {
	s.accept(g, issued)
	s.Grant = session.Password
	s.RefreshesSinceLogin = 0
	s.Logins++
	s.LastLoginAt = issued
	if g.RefreshToken == "" {
		s.Refresh = session.NotIssued
	}
	s.Identity = id
	s.ServerURL = url
	s.Fingerprint = f
	s.Attempt, s.Attempted = nil, nil
	return s
}

// accept takes over what both grants bring. Times count from just before the request was sent, so that a slow answer
// shortens a lifetime and never stretches it.
func (s *stored) accept(g secretserver.Grant, issued time.Time) {
	lifetime := g.ExpiresIn
	if lifetime <= 0 {
		lifetime = session.AssumedLifetime
	}
	s.AccessToken = g.AccessToken
	s.RefreshToken = g.RefreshToken
	s.IssuedAt = issued.UTC()
	s.ExpiresAt = s.IssuedAt.Add(lifetime)
	s.Refresh = session.Held
	s.RefreshExpiresAt = s.ExpiresAt.Add(session.RefreshGrace)
}
