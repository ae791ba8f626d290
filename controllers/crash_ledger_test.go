package controllers

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// cause is what makes one login more necessary to a session. Each counts once for each time that it befalls the
// session, and never for another one.
type cause string

const (
	// theBeginning: the object was made.
	theBeginning cause = "the beginning"
	// aCrash: a process was killed while it had the session's refresh token claimed, or held a token of it that was not
	// stored. A process that dies at any other moment costs nothing.
	aCrash cause = "a crash"
	// anAmbiguousAnswer: the answer to a claim, to a refresh or to a login that was granted did not arrive.
	anAmbiguousAnswer cause = "an ambiguous answer"
	// aRefusal: Secret Server, or what stands before it, answered a refresh with anything but a token; or the API server did
	// not take back a claim. A refresh that was not sent is none.
	aRefusal cause = "a refusal"
	// anExpiry: no refresh token was issued, or it expired; once for each access token. Or a token expired before the API
	// server took it.
	anExpiry cause = "an expiry"
	// twoLeaders: one that lost the lease, and does not know it yet, claimed or logged in; or had done so when another took
	// over.
	twoLeaders cause = "two leaders"
	// anInterference: somebody destroyed the state Secret, wrote another password into the credentials Secret, or named
	// another endpoint.
	anInterference cause = "an interference"
)

// ledger holds what logins cost against what made them necessary: at any moment, logins <= causes. A login is one that
// Secret Server granted; one that it refused is paid by the refusal. Causes do not pile up: what has not led to a login
// by the time that the session rests with nothing amiss, see settle, never will.
type ledger struct {
	logins, allowed map[types.UID]int
	granted         map[types.UID]int      // logins and refreshes whose answer arrived
	ends            map[string]bool        // chains whose end was allowed for, by their access token
	claims          map[types.UID]*process // who has the refresh token claimed, and has not heard what came of it
	unstored        map[holder]unstored
	failedLogin     time.Time // when the last login failed for whatever reason, or may have, as far as others can tell
}

// holder is one who holds a session's token in memory alone.
type holder struct {
	process *process
	session types.UID
}

type unstored struct {
	token   string
	expires time.Time // by the clock of the holder
}

func newLedger() ledger {
	return ledger{
		logins: map[types.UID]int{}, allowed: map[types.UID]int{}, granted: map[types.UID]int{},
		ends: map[string]bool{}, claims: map[types.UID]*process{}, unstored: map[holder]unstored{},
	}
}

func (tr *trial) allow(uid types.UID, why cause, what string) {
	tr.t.Logf("%s one login more is allowed to %s for %s: %s", tr.at(), uid, why, what)
	tr.figures.count("logins made necessary by " + string(why))
	tr.allowed[uid]++
}

// allowAll allows one for every session.
func (tr *trial) allowAll(why cause, what string) {
	for _, name := range tr.sessionNames() {
		tr.allow(tr.kubernetes.sessions[name].UID, why, what)
	}
}

// atStake are the sessions of which a process has something that nobody else has: a claimed token, or a new one.
func (tr *trial) atStake(p *process) []types.UID {
	var uids []types.UID
	for uid, by := range tr.claims {
		if by == p {
			uids = append(uids, uid)
		}
	}
	for _, held := range p.reconciler.memory.grants {
		if tr.claims[held.session] != p {
			uids = append(uids, held.session)
		}
	}
	return uids
}

// crash kills a process and allows for what it was about.
func (tr *trial) crash(p *process) {
	tr.figures.count("crashes")
	tr.doubt(p)
	for who := range tr.unstored {
		if who.process == p {
			tr.review(who)
		}
	}
	for _, uid := range tr.atStake(p) {
		tr.allow(uid, aCrash, "of "+p.name)
		delete(tr.claims, uid)
		delete(tr.unstored, holder{p, uid})
	}
	tr.kill(p)
}

// doubt notes that nobody but a process knows how its logins end: others take them for failed ones.
func (tr *trial) doubt(p *process) {
	if len(p.flights) > 0 || len(tr.atStake(p)) > 0 {
		tr.failedLogin = tr.truth
	}
}

// written notes a request to the API server that had its effect.
func (tr *trial) written(f *flight, request apiRequest, err error) {
	switch {
	case err != nil:
	case request.purpose() == claimPurpose:
		tr.claims[f.uid] = f.process
		if f.process.deposed != nil {
			tr.allow(f.uid, twoLeaders, "a claim")
		}
	case request.purpose() == putBackPurpose:
		delete(tr.claims, f.uid)
	}
}

// spoiled notes a request to the API server whose answer was an error.
func (tr *trial) spoiled(f *flight, request apiRequest, v outcome) {
	switch {
	case request.purpose() == claimPurpose && v.acts:
		delete(tr.claims, f.uid)
		tr.allow(f.uid, anAmbiguousAnswer, "of a claim")
	case request.purpose() == putBackPurpose && !v.acts:
		delete(tr.claims, f.uid)
		tr.allow(f.uid, aRefusal, "of a put-back")
	case request.verb == getVerb && apierrors.IsForbidden(v.err):
		tr.lost[f.uid] = true
	}
}

// loginSent is told just before a login takes effect.
func (tr *trial) loginSent(f *flight) {
	if f.process.deposed != nil {
		tr.allow(f.uid, twoLeaders, "a login")
	}
	tr.review(holder{f.process, f.uid})
	s := tr.kubernetes.sessions[f.session]
	held := tr.kubernetes.secrets[in(stateOf(f.session))]
	if s == nil || s.UID != f.uid || held == nil {
		return
	}
	content, err := readState(held.Secret)
	if err != nil || tr.ends[content.AccessToken] {
		return
	}
	ended := content.Refresh == session.NotIssued || content.Refresh == session.LimitReached ||
		(content.Refresh == session.Held && !f.process.clock.Now().Before(content.RefreshExpiresAt))
	if ended {
		tr.ends[content.AccessToken] = true
		tr.allow(f.uid, anExpiry, "of the chain: "+string(content.Refresh))
	}
}

func (tr *trial) loginAnswered(f *flight, g secretserver.Grant, lost bool) {
	if lost || g.AccessToken == "" {
		tr.failedLogin = tr.truth
	}
	if g.AccessToken == "" {
		return
	}
	tr.figures.count("logins")
	tr.logins[f.uid]++
	if lost {
		tr.allow(f.uid, anAmbiguousAnswer, "of a login")
	} else {
		tr.received(f, g)
	}
	if tr.logins[f.uid] > tr.allowed[f.uid] {
		tr.complain("%s: %d logins, of which %d are accounted for", f.session.Name, tr.logins[f.uid], tr.allowed[f.uid])
	}
}

func (tr *trial) refreshed(f *flight, g secretserver.Grant, err error) {
	switch kind := kindOf(err); {
	case err == nil:
		tr.figures.count("refreshes")
		tr.received(f, g)
	case kind == secretserver.Ambiguous:
		delete(tr.claims, f.uid)
		tr.allow(f.uid, anAmbiguousAnswer, "of a refresh")
	case kind != secretserver.NotSent:
		delete(tr.claims, f.uid)
		tr.allow(f.uid, aRefusal, "of a refresh")
	}
}

// received is told of a token that the operator was given.
func (tr *trial) received(f *flight, g secretserver.Grant) {
	tr.granted[f.uid]++
	tr.issuedTo[g.AccessToken], f.received = f.uid, g.AccessToken
	if tr.claims[f.uid] == f.process {
		delete(tr.claims, f.uid) // it holds something else from now on
	}
	tr.unstored[holder{f.process, f.uid}] = unstored{g.AccessToken, f.process.clock.Now().Add(g.ExpiresIn)}
}

// review looks whether what a process held in memory expired there.
func (tr *trial) review(who holder) {
	token, waits := tr.unstored[who]
	if !waits {
		return
	}
	for _, held := range who.process.reconciler.memory.grants {
		if held.session == who.session {
			return
		}
	}
	delete(tr.unstored, who)
	if _, stored := tr.stored[token.token]; !stored && !who.process.clock.Now().Before(token.expires) {
		tr.allow(who.session, anExpiry, "of a token that was not stored")
	}
}

// settle closes the account of a session that rests with nothing amiss: one leader, and nothing of the session's in its
// hands; the stored refresh token unclaimed, if there is one; the credentials and the endpoint those of the chain.
func (tr *trial) settle(f *flight) {
	s, p := tr.kubernetes.sessions[f.session], f.process
	held, credentials := tr.kubernetes.secrets[in(stateOf(f.session))], tr.kubernetes.secrets[in(crashAccount)]
	switch {
	case s == nil || s.UID != f.uid || held == nil || credentials == nil || !metav1.IsControlledBy(held.Secret, s),
		len(tr.processes) != 1 || p.ctx.Err() != nil,
		p.flightOf(f.session) != nil || p.reconciler.memory.grants[f.session] != nil || tr.claims[f.uid] != nil:
		return
	}
	content, err := readState(held.Secret)
	chain := session.Identity{Source: sourceOf(s), Version: versionOf(credentials)}
	if err != nil || !content.HasToken() || content.Refresh == session.Claimed || content.Identity != chain {
		return
	}
	delete(tr.ends, content.AccessToken)
	tr.allowed[f.uid] = min(tr.allowed[f.uid], tr.logins[f.uid])
}
