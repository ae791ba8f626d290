package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	server, err := p.connect(ctx, session.RefreshToken)
	if err != nil || server == nil {
		return err
	}
	probing, ok := p.admit()
	if !ok {
		return nil
	}
	defer p.leavePlace()
	if probing {
		if answered, err := p.probe(ctx, server); !answered {
			return err
		}
	}
	if err := p.mayGrant(ctx); err != nil {
		return err
	}
	refreshToken, err := p.claim(context.WithoutCancel(ctx))
	if errors.Is(err, errLost) {
		return p.reload(ctx)
	}
	if err != nil {
		return err
	}

	issued := p.now()
	// From here on the token may be spent: what happens to it must be known, whatever happens to this pass.
	spend, cancel := p.detached(ctx)
	defer cancel()
	grant, err := server.Refresh(spend, refreshToken)
	p.leaveServer()
	p.metrics.grant(session.RefreshToken, err, p.now().Sub(issued))
	if err != nil {
		return p.refreshFailed(ctx, err)
	}
	next := p.state.stored.refreshed(grant, issued)
	return p.keep(ctx, next)
}

// refreshFailed tells a token that is back where it was from one that must not be sent again.
func (p *pass) refreshFailed(ctx context.Context, err error) error {
	failed, ok := errors.AsType[*secretserver.Error](err)
	if !ok {
		return fmt.Errorf("refresh grant: %w", err)
	}
	if failed.Cause == secretserver.Withheld {
		return p.withheld(ctx, session.RefreshToken)
	}
	switch failed.Kind {
	case secretserver.NotSent:
		if err := p.putBack(ctx); err != nil {
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
	server, err := p.connect(ctx, session.Password)
	if err != nil || server == nil {
		return err
	}
	defer p.leavePlace()
	if !p.takePlace(l.account) {
		return nil
	}
	if changed, err := p.reconsider(ctx); changed || err != nil {
		return err
	}
	probing, ok := p.admit()
	if !ok {
		return nil
	}
	if probing || l.doubtful {
		if answered, err := p.probe(ctx, server); !answered {
			return err
		}
	}
	return p.sendLogin(ctx, server)
}

// sendLogin announces the login in the state Secret, makes it, and stores what comes of it. It leaves its place at Secret
// Server as soon as that has answered.
func (p *pass) sendLogin(ctx context.Context, server SecretServer) error {
	l := p.login
	if ready, err := p.prepareCode(ctx, server); !ready || err != nil {
		return err
	}
	if err := p.mayGrant(ctx); err != nil {
		return err
	}
	if err := p.intend(context.WithoutCancel(ctx)); err != nil {
		p.accounts.harmless(l.account, l.fingerprint, p.now())
		if errors.Is(err, errLost) {
			return p.reload(ctx)
		}
		return err
	}
	if !p.useCode() {
		return p.withdraw(ctx, session.Password)
	}

	issued := p.now()
	spend, cancel := p.detached(ctx)
	defer cancel()
	grant, err := server.Authenticate(spend, l.credentials)
	p.leaveServer()
	p.metrics.grant(session.Password, err, p.now().Sub(issued))
	if err != nil {
		return p.loginFailed(ctx, err)
	}
	p.accounts.succeeded(l.account)
	p.tellOfEnd()
	return p.keep(ctx, p.state.stored.loggedIn(grant, issued, p.wanted, serverURL(p.session), l))
}

// ownToken is the stored access token if it belongs to the server that the spec names now; a token is shown to no other.
func (p *pass) ownToken() string {
	if canonical(p.state.stored.ServerURL) != canonical(serverURL(p.session)) {
		return ""
	}
	return p.state.stored.AccessToken
}

// answered reports whether Secret Server itself was heard: it took the token, or said that it does not.
func answered(err error) bool {
	failed, ok := errors.AsType[*secretserver.Error](err)
	return err == nil || (ok && failed.Kind == secretserver.Refused)
}

// reconsider asks again about the account, now that no other session can change it: one of them may have been refused
// since the credentials were read. It reports whether the answer changed.
func (p *pass) reconsider(ctx context.Context) (bool, error) {
	l := p.login
	if err := p.recall(ctx, l.account); err != nil {
		return false, err
	}
	before := l.verdict
	l.verdict = p.accounts.verdict(l.account, serverURL(p.session), l.credentials, p.now())
	return l.refusedAt.After(before.refusedAt) || l.heldUntil.After(before.heldUntil), nil
}

// loginFailed notes what the login may have done to the account, where no restart forgets it.
func (p *pass) loginFailed(ctx context.Context, err error) error {
	failed, ok := errors.AsType[*secretserver.Error](err)
	if !ok {
		return fmt.Errorf("password grant: %w", err)
	}
	l, now := p.login, p.now()
	attempt := p.state.record.Attempt
	switch {
	case failed.Cause == secretserver.Withheld:
		return p.withheld(ctx, session.Password)
	case failed.Operation != secretserver.PasswordGrant:
		// Secret Server was asked something harmless, and no login was made.
	case failed.Kind == secretserver.Refused:
		l.refusedAt = now
		p.rejected(now)
		return p.note(ctx, session.Attempt{
			Identity: attempt.Identity, Account: l.account, At: now.UTC(), Refused: true,
			Bad: p.accounts.refused(l.account, p.state.meta.UID, l.fingerprint, now),
		})
	case mayHaveCounted(failed):
		// It stays counted, as intend has stored it.
	default:
		if err := p.acquit(ctx); err != nil {
			return err
		}
	}
	p.failed(session.Password, failed)
	return nil
}

// acquit notes that the login of intend cannot have counted as a bad one.
func (p *pass) acquit(ctx context.Context) error {
	settled := *p.state.record.Attempt
	settled.Bad = p.accounts.harmless(p.login.account, p.login.fingerprint, p.now())
	return p.note(ctx, settled)
}

// mayHaveCounted reports whether a login that failed so may have counted as a bad one: its answer was lost on the way,
// perhaps by a gateway. Secret Server itself answers a bad login with a refusal.
func mayHaveCounted(e *secretserver.Error) bool {
	switch e.Kind {
	case secretserver.Ambiguous:
		return true
	case secretserver.Unavailable:
		return e.Status == http.StatusRequestTimeout || e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
	case secretserver.NotSent, secretserver.Throttled, secretserver.Refused, secretserver.Protocol, secretserver.InvalidCA:
	}
	return false
}

// keep holds a new grant and stores it.
func (p *pass) keep(ctx context.Context, next stored) error {
	if next.Grant == session.Password {
		p.keepFormer(ctx, &next)
	}
	p.metrics.renewal(next.Grant, p.state.record, p.now())
	p.grant = &newGrant{session: p.session.UID, stored: next, claimed: p.state.record}
	p.memory.hold(p.name(), p.grant)
	p.failure = failure{}
	p.login = nil
	return p.store(ctx)
}

// failed notes a failure of Secret Server or of the way to it. It is never an error of the pass: the queue's own
// retries are far too quick for a server in trouble.
func (p *pass) failed(grant session.GrantType, e *secretserver.Error) {
	p.tried = true
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

// detached is a context for a request to Secret Server that outlives the pass: a grant that was asked for is waited for,
// also while the operator shuts down.
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
	s.LastRefreshAt = s.IssuedAt
	if g.RefreshToken == "" {
		s.Refresh = session.LimitReached
	}
	return s
}

// loggedIn is the session after a password grant.
func (s stored) loggedIn(g secretserver.Grant, issued time.Time, id session.Identity, url string, l *login) stored {
	s.accept(g, issued)
	s.Grant = session.Password
	s.RefreshesSinceLogin = 0
	s.Logins++
	s.LastLoginAt = s.IssuedAt
	if g.RefreshToken == "" {
		s.Refresh = session.NotIssued
	}
	s.Identity = id
	s.ServerURL = url
	s.Account = l.account
	s.Fingerprint = l.fingerprint
	s.Username, s.Domain = l.credentials.Username, l.credentials.Domain
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
	s.AccessToken, s.Token = g.AccessToken, shortDigest(g.AccessToken)
	s.RefreshToken = g.RefreshToken
	s.IssuedAt = issued.UTC()
	s.ExpiresAt = s.IssuedAt.Add(lifetime)
	s.EndedAt = time.Time{}
	s.Refresh = session.Held
	s.RefreshExpiresAt = s.ExpiresAt.Add(session.RefreshGrace)
}
