package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// ending is what became of one token that is no longer needed.
type ending struct {
	token  string // its key; empty if nothing is known of it
	result string
	note   string
}

// revoke makes one attempt for each token of a session on its way out. The outcome is told when the session is let go.
func (p *pass) revoke(ctx context.Context) error {
	defer p.leavePlace()
	if live := p.liveTokens(); len(live) > 0 && !p.reserveRevocation(live[0].url) {
		p.busy = true
		return nil
	}
	if err := p.load(ctx); err != nil && !errors.Is(err, errLost) && !apierrors.IsForbidden(err) {
		return err // it is tried again, until the session is let go
	}
	for _, t := range p.liveTokens() {
		ended, err := p.endToken(ctx, t)
		if err != nil || ended == nil {
			p.busy = err == nil
			return err
		}
		p.departure.ended = append(p.departure.ended, *ended)
	}
	if len(p.departure.ended) == 0 {
		p.departure.ended = append(p.departure.ended, p.lost())
	}
	p.departure.concluded = true
	return nil
}

// concludeDeparture says why no attempt was made, if none was and a token may be valid.
func (p *pass) concludeDeparture() {
	d := p.departure
	if d == nil || d.concluded {
		return
	}
	d.concluded = true
	if p.session.Spec.DeletionPolicy != api.DeletionRevoke {
		return
	}
	why := "its turn did not come in time"
	if p.session.Spec.Suspend {
		why = "spec.suspend is true, so no call was made"
	}
	for _, t := range p.liveTokens() {
		d.ended = append(d.ended, p.skipped(t, why))
	}
	if len(d.ended) == 0 && p.missing() {
		d.ended = append(d.ended, p.lost())
	}
}

// missing reports whether the session had a token that may be valid yet, and of which nothing is known any more.
func (p *pass) missing() bool {
	status := p.session.Status
	return !p.state.record.HasToken() && status.LoginCount > 0 &&
		(status.TokenExpiresAt == nil || p.now().Before(status.TokenExpiresAt.Time))
}

// endToken makes one attempt to revoke a token, or says why it makes none. It returns nil if there is no free place now.
func (p *pass) endToken(ctx context.Context, t liveToken) (*ending, error) {
	origin := originOf(t.url)
	skipped := func(why string) (*ending, error) {
		e := p.skipped(t, why)
		return &e, nil
	}
	switch {
	case t.access == "":
		return skipped(unreadable)
	case !p.options.AllowedEndpoints.Allow(t.url):
		return skipped("the operator's --allowed-endpoints does not cover the URL")
	case p.revocations.isSilent(origin, p.now()):
		return skipped("it did not answer another revocation a moment ago")
	}
	endpoint, fault, err := p.endpoint(ctx, t.url, revokeTimeout)
	switch {
	case fault != nil, apierrors.IsForbidden(err):
		return skipped("the CA bundle that spec.endpoint.caBundleRef names cannot be used")
	case err != nil:
		return nil, err
	}
	if !p.takeRevocation(origin) {
		return nil, nil //nolint:nilnil // there is no free place
	}
	err = p.attempt(ctx, endpoint, t.access)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("revoke a token: %w", ctx.Err()) // the next operator does it; twice does no harm
	}
	e := p.attempted(t, err)
	return &e, nil
}

// takeRevocation takes a place among the revocations, and among the requests to the Secret Server of a token. The pass may have it
// already.
func (p *pass) takeRevocation(origin string) bool {
	server := room{ofServer, origin}
	if p.place != nil && p.place.has(server) && p.place.has(room{kind: ofRevocation}) {
		return true
	}
	p.leavePlace()
	p.place = p.places.enter(p.name(), p.neededBy(), room{kind: ofRevocation}, server, room{ofNamespace, p.session.Namespace})
	return p.place != nil
}

// reserveRevocation takes that place before the token is read, if one will be needed: who finds none need not have read it.
func (p *pass) reserveRevocation(url string) bool {
	origin := originOf(url)
	return !p.options.AllowedEndpoints.Allow(url) || p.revocations.isSilent(origin, p.now()) || p.takeRevocation(origin)
}

func (p *pass) attempt(ctx context.Context, endpoint secretserver.Endpoint, accessToken string) error {
	bounded, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	server, err := p.dial(endpoint)
	if err != nil {
		return err
	}
	return server.Revoke(bounded, accessToken)
}

// attempted is the outcome of an attempt.
func (p *pass) attempted(t liveToken, err error) ending {
	failed, _ := errors.AsType[*secretserver.Error](err)
	p.revocations.heard(originOf(t.url), failed, p.now())
	if err == nil {
		return p.ending(t, resultSucceeded, fmt.Sprintf("%s was revoked at %s.", t.what, t.url))
	}
	why := "no usable answer"
	if failed != nil {
		why = failed.Cause.String()
		if failed.Status != 0 {
			why = fmt.Sprintf("%s (HTTP status %d)", why, failed.Status)
		}
	}
	return p.ending(t, resultFailed, t.remains(why))
}

// skipped is the outcome for a token that Secret Server is not asked to end.
func (p *pass) skipped(t liveToken, why string) ending {
	return p.ending(t, resultSkipped, t.remains(why))
}

// lost is the outcome for a session whose tokens are not known any more.
func (p *pass) lost() ending {
	t := liveToken{what: "The access token", url: serverURL(p.session), expires: timeOf(p.session.Status.TokenExpiresAt)}
	return p.skipped(t, unreadable)
}

const unreadable = "the state Secret that held it is gone or cannot be read"

func (p *pass) ending(t liveToken, result, note string) ending {
	p.metrics.revocation(result)
	return ending{t.key(), result, note}
}

// tellEnded tells what became of tokens: one event, which warns if any of them is left. The log has it too, since no event
// can be written in a namespace that is going away.
func (p *pass) tellEnded(ctx context.Context, all ...ending) {
	if len(all) == 0 {
		return
	}
	told := transition{corev1.EventTypeNormal, api.EventRevoked, "Revoke", all[0].note}
	if i := slices.IndexFunc(all, func(e ending) bool { return e.result != resultSucceeded }); i >= 0 {
		told = transition{corev1.EventTypeWarning, api.EventRevokeFailed, "Revoke", all[i].note}
	}
	p.tell(ctx, told)
}

// liveToken is an access token with time left.
type liveToken struct {
	what    string // for people
	access  string // empty if the record alone was read
	url     string
	expires time.Time // zero: not known
}

// remains says what is left of a token that was not revoked, and what to do.
func (t liveToken) remains(why string) string {
	until := "it expires"
	if !t.expires.IsZero() {
		until = t.expires.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s was not revoked at %s: %s. It stays valid there until %s. If that is too long, end the sessions of the account in "+
		"Secret Server.", t.what, t.url, why, until)
}

// key tells tokens apart without knowing them.
func (t liveToken) key() string { return t.url + " " + t.expires.UTC().Format(time.RFC3339Nano) }

// liveTokens are the tokens that are known and were not dealt with yet, each once: a grant that could not be stored has its
// predecessor beside it.
func (p *pass) liveTokens() []liveToken {
	known := []stored{p.state.stored}
	known[0].Record = p.state.record
	if p.grant != nil {
		known = append(known, p.grant.stored)
	}
	var tokens []liveToken
	for _, s := range known {
		if s.Alive(p.now()) {
			tokens = append(tokens, s.current())
		}
		if s.Former != nil {
			tokens = append(tokens, s.former())
		}
	}
	seen := map[string]bool{}
	for _, e := range p.departure.ended {
		seen[e.token] = true
	}
	return slices.DeleteFunc(tokens, func(t liveToken) bool {
		useless := seen[t.key()] || !p.now().Before(t.expires)
		seen[t.key()] = true
		return useless
	})
}

func (s stored) current() liveToken {
	return liveToken{"The access token", s.AccessToken, s.ServerURL, s.ExpiresAt}
}

func (s stored) former() liveToken {
	return liveToken{"The former access token", s.FormerToken, s.Former.ServerURL, s.Former.ExpiresAt}
}
