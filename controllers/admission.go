package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// Of the workers, the requests to Secret Servers that are not known to answer hold half at most, and so do those of one
// namespace, and the revocations: some that hang must not keep the sessions of all others waiting. A Secret Server can answer
// until all its sessions are due, and hang then, so that the first bound alone would be none.
const workerShare = 2

// placesOf bounds the requests to Secret Servers, and the logins.
func placesOf(o Options) map[roomKind]int {
	part := max(o.MaxConcurrentReconciles/workerShare, 1)
	return map[roomKind]int{
		ofAccount:    1,
		ofServer:     o.EndpointConcurrency,
		ofNamespace:  part,
		ofUnproven:   part,
		ofRevocation: part,
	}
}

// takePlace takes a place among the requests to the session's Secret Server, and among the logins to an account if one is named. The
// pass may have it already. If there is none, the pass has noted that it waits for it.
func (p *pass) takePlace(account string) bool {
	login, unproven := room{ofAccount, account}, false
	switch {
	case p.place == nil:
		rooms := []room{{ofServer, p.origin()}, {ofNamespace, p.session.Namespace}}
		if unproven = !p.outages.proven(p.vantage); unproven {
			rooms = append(rooms, room{kind: ofUnproven})
		}
		if account != "" {
			rooms = append(rooms, login)
		}
		p.place = p.places.enter(p.name(), p.neededBy(), rooms...)
	case account != "" && !p.place.has(login):
		unproven = p.place.has(room{kind: ofUnproven})
		if !p.place.extend(p.name(), p.neededBy(), login) {
			p.place = nil
		}
	}
	if p.place == nil && unproven && p.outages.proven(p.vantage) {
		p.relieve() // the answer came just before it joined the line
	}
	p.busy = p.busy || p.place == nil
	return p.place != nil
}

// relieve lets those who wait for the session's Secret Server, which has answered, go on without the room of the unproven. It may be that some
// of them look at it in another way, by which it has not: they are turned away when they ask.
func (p *pass) relieve() { p.places.relieve(room{ofServer, p.origin()}, room{kind: ofUnproven}) }

// reserve takes that place before the credentials are read, if nothing but a login can follow: who finds none need not have read
// them, and would have to read them again. It reports whether to go on.
func (p *pass) reserve() bool {
	onlyLogin := !p.state.record.HasToken() || p.state.record.Identity == p.wanted
	if !onlyLogin || p.vantage == (vantage{}) {
		return true
	}
	account := p.identities.account(p.wanted)
	if account == "" {
		// One of those with these credentials finds out; the others need not read them to know for what they wait. Until there is a place
		// at the server they all wait for that: a line for each Secret would make the choice of the next one long.
		unread := fmt.Sprintf("of %s/%s %s", p.session.Namespace, p.wanted.Source, p.wanted.Version)
		if !p.takePlace("") || !p.takePlace(unread) {
			return false
		}
		account = p.identities.account(p.wanted) // another may have just found out
	}
	return account == "" || p.takePlace(account)
}

// leaveServer leaves the place among the requests as soon as the answer is there: what is left to do concerns the API server, and
// the account, alone.
func (p *pass) leaveServer() { p.place.leave(ofAccount) }

// leavePlace leaves the whole place, if there is one.
func (p *pass) leavePlace() {
	if p.place != nil {
		p.place.leave()
		p.place = nil
	}
}

// admit lets the pass ask its Secret Server for a grant; if probing, it asks something harmless first. If not, it has noted what
// it waits for, and has no place any more.
func (p *pass) admit() (probing, ok bool) {
	if !p.takePlace("") {
		return false, false
	}
	who := p.name()
	switch p.outages.enter(p.vantage, who, p.neededBy()) {
	case mayAsk:
		p.outages.begin(p.vantage, who)
		return false, true
	case mayProbe:
		p.outages.begin(p.vantage, who)
		return true, true
	case waitShort:
		p.busy, p.doubted = true, true
	case waitLong:
		p.endpointDown = p.downFault()
	}
	p.leavePlace()
	return false, false
}

// probe asks something that costs no refresh token and counts as no login: whether the server knows the access token. It
// need not be there, and one that another server issued is not shown. It reports whether Secret Server answered.
func (p *pass) probe(ctx context.Context, server SecretServer) (bool, error) {
	if err := p.load(ctx); err != nil {
		return false, err
	}
	bounded, cancel := context.WithTimeout(ctx, p.outages.patience(p.vantage))
	defer cancel()
	err := server.Verify(bounded, p.ownToken())
	if answered(err) {
		return true, nil
	}
	failed, ok := errors.AsType[*secretserver.Error](err)
	if !ok {
		return false, fmt.Errorf("ask whether Secret Server is back: %w", err)
	}
	if failed.Status/100 == 4 && failed.Kind == secretserver.Protocol && p.outages.insist(p.vantage) {
		return true, nil
	}
	p.failed(session.Password, failed) // whatever was to be had: nothing was spent
	return false, nil
}

// downFault says that the session waits for its Secret Server, in words that do not change while it does.
func (p *pass) downFault() *fault {
	url := serverURL(p.session)
	const rest = "One session at a time asks for all that wait; this one goes on by itself as soon as there is an answer."
	if p.outages.throttled(p.vantage) {
		return &fault{api.ReasonEndpointThrottled, fmt.Sprintf("%s asks for fewer requests. %s", url, rest)}
	}
	return &fault{api.ReasonEndpointUnavailable, fmt.Sprintf("%s did not answer several sessions in a row. %s", url, rest)}
}

// tokenExpiresAt is when the token in the target expires; zero: it holds none.
func (p *pass) tokenExpiresAt() time.Time {
	if p.published {
		return p.state.record.ExpiresAt
	}
	return p.targetExpiresAt()
}

// newcomersWait is for how long after its creation a session without a token lets those go first whose tokens expire before
// that is over. Their pods would be refused; those of a new session have not begun.
const newcomersWait = 10 * time.Minute

// neededBy is when the session needs another token, for the order in which sessions go: when the present one expires. One on its
// way out has its tokens revoked before it is let go.
func (p *pass) neededBy() time.Time {
	if p.departure != nil {
		return p.departure.letGoAt
	}
	if expires := p.tokenExpiresAt(); !expires.IsZero() {
		return expires
	}
	return p.session.CreationTimestamp.Add(newcomersWait)
}

// viewpoint is how the session looks at its Secret Server with a CA bundle.
func (p *pass) viewpoint(ca []byte) vantage {
	v := vantage{url: canonical(serverURL(p.session)), serverName: p.session.Spec.Endpoint.TLSServerName, timeout: p.timeout()}
	if ca != nil {
		digest := sha256.Sum256(ca)
		v.ca = hex.EncodeToString(digest[:])
	}
	return v
}

// observeVantage finds out how the session looks at its Secret Server, if the CA bundle is known without a request.
func (p *pass) observeVantage() {
	ref := p.session.Spec.Endpoint.CABundleRef
	if ref == nil {
		p.vantage = p.viewpoint(nil)
		return
	}
	if known, ok := p.bundles.get(bundleKey{p.session.Namespace, *ref}); ok && known.problem == "" {
		p.vantage = p.viewpoint(known.pem)
	}
}

// heeded tells the outages what came of each request.
type heeded struct {
	SecretServer

	heard func(grant bool, err error)
}

// heed makes a client that tells the outages.
func (p *pass) heed(server SecretServer) SecretServer {
	who, neededBy := p.name(), p.neededBy()
	return heeded{server, func(grant bool, err error) {
		if p.outages.told(p.vantage, who, neededBy, grant, err) {
			p.relieve()
		}
	}}
}

func (h heeded) Authenticate(ctx context.Context, c secretserver.Credentials) (secretserver.Grant, error) {
	grant, err := h.SecretServer.Authenticate(ctx, c)
	h.heard(true, err)
	return grant, err
}

func (h heeded) Refresh(ctx context.Context, refreshToken string) (secretserver.Grant, error) {
	grant, err := h.SecretServer.Refresh(ctx, refreshToken)
	h.heard(true, err)
	return grant, err
}

func (h heeded) Verify(ctx context.Context, accessToken string) error {
	err := h.SecretServer.Verify(ctx, accessToken)
	h.heard(false, err)
	return err
}

func (h heeded) Ahead(ctx context.Context) (time.Duration, error) {
	ahead, err := h.SecretServer.Ahead(ctx)
	h.heard(false, err)
	return ahead, err
}

// told sorts out what a request's result says of the Secret Server, and reports whether that is proven by it. That it can judge an access
// token is not enough to call it back while a grant is waited for.
func (o *outages) told(v vantage, who types.NamespacedName, neededBy time.Time, grant bool, err error) (proven bool) {
	failed, ok := errors.AsType[*secretserver.Error](err)
	switch {
	case err != nil && !ok:
		return false
	case !grant && standingOf(failed) != silent && (standingOf(failed) != answering || !o.verifies(v, who)):
		return false
	}
	return o.heard(v, who, neededBy, failed)
}
