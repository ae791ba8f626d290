package controllers

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

const (
	// outageAfter so many failures in a row, with no answer between them, a Secret Server counts as down.
	outageAfter = 3
	// suspicion is how long the sessions of a Secret Server leave between two requests from the first failure on, so
	// that many that fall due at a time do not find out each for itself.
	suspicion = 500 * time.Millisecond
	// probePatience bounds a probe: of a server that hung, the return is seen by the next request and not by the one that
	// hangs. Every patientProbe-th has the session's own timeout, as a slow server is better than none.
	probePatience = 10 * time.Second
	patientProbe  = 5
	// insistentProbe is how often a probe asks for the grant although the harmless question met a 4xx: Secret Servers before
	// 10.9 do not know that question, and some proxies let nothing but grants through. From a proxy that has lost its
	// Secret Server, a 404 may cost the refresh token; so it is not every time.
	insistentProbe = 5
	// shortestPause lies between two probes, however long they take.
	shortestPause = time.Second
)

// vantage is a way to look at a Secret Server. What fails for one session fails for every other of the same vantage:
// they differ in account and tokens only. Whoever trusts another CA or waits less long has troubles of his own, and
// keeps nobody else waiting.
type vantage struct {
	url        string // canonical
	serverName string
	ca         string // digest; empty: the system's
	timeout    time.Duration
}

// standing is what a result says of the Secret Server.
type standing uint8

const (
	unheard   standing = iota // nothing: it was not asked, or not heard out
	answering                 // it granted or refused
	confused                  // something answers, but not as a Secret Server
	silent                    // no connection, no answer, or one that says that it is not available
)

// standingOf tells by kind and cause alone what the result of a request says.
func standingOf(e *secretserver.Error) standing {
	if e == nil {
		return answering
	}
	switch e.Kind {
	case secretserver.Refused:
		switch e.Status {
		case 0, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
			return answering
		}
		return confused // a refresh token that met a 404 is spent as well, but it was no Secret Server that took it
	case secretserver.Protocol:
		return confused
	case secretserver.Throttled, secretserver.Unavailable:
		return silent
	case secretserver.NotSent, secretserver.Ambiguous:
		switch e.Cause {
		case secretserver.Canceled, secretserver.InvalidURL, secretserver.Withheld:
		default:
			return silent
		}
	case secretserver.InvalidCA:
	}
	return unheard
}

// outage is what is known of a Secret Server that may be down. With the first failure its sessions ask one after the
// other; after outageAfter it is down: they wait for the one whose turn it is to ask for all.
type outage struct {
	answered bool // it has, and nothing failed since
	failures int  // in a row, of all sessions together
	since    time.Time
	last     secretserver.Kind // of failure
	probes   int               // that failed since it is down
	askAt    time.Time         // not before then
	askedFor time.Time         // what Secret Server itself said about that

	// turn is who may ask, and nobody else; the zero name: the next to come.
	turn   types.NamespacedName
	asking bool // and has begun to
	idle   bool // no more than whether a token is alive, since nobody waits for a grant
	begun  time.Time
	// waiting are all who wait for an answer, those who failed themselves included.
	waiting map[types.NamespacedName]*kept
	// turns counts the probes of each namespace, so that one tenant's sessions are not the only ones to ask.
	turns map[string]int
	// released are those whose failure was forgiven when Secret Server answered somebody else.
	released map[types.NamespacedName]release
}

// release is what became of a session after it was released. Who failed again has a trouble of its own, and its
// failures count for nobody else.
type release struct {
	expires time.Time
	again   bool
}

// kept is a session that waits.
type kept struct {
	expires time.Time
	failed  bool
	turns   int
}

func newOutage() *outage {
	return &outage{
		waiting:  map[types.NamespacedName]*kept{},
		turns:    map[string]int{},
		released: map[types.NamespacedName]release{},
	}
}

func (o *outage) suspected() bool { return o.failures > 0 }
func (o *outage) down() bool      { return !o.since.IsZero() }

// free reports that nobody has the turn.
func (o *outage) free() bool { return o.turn == types.NamespacedName{} }

// unmissed reports whether nobody would miss what is known.
func (o *outage) unmissed() bool { return len(o.waiting) == 0 && !o.asking && len(o.released) == 0 }

// longestSilence is above the longest pause between two probes, that for which Secret Server asks included.
const longestSilence = 6 * time.Minute

// due is when the next request may go out. What lies farther ahead than any pause is long was set down before the clock
// was set back.
func (o *outage) due(now time.Time) time.Time {
	due := o.askAt
	if o.down() && o.askedFor.After(o.askAt) {
		due = o.askedFor
	}
	if due.After(now.Add(longestSilence)) {
		return now
	}
	return due
}

func (o *outage) wait(who types.NamespacedName, expires time.Time) *kept {
	k := o.waiting[who]
	if k == nil {
		k = &kept{}
		o.waiting[who] = k
	}
	k.expires = expires
	return k
}

// begin notes that who is about to ask.
func (o *outage) begin(who types.NamespacedName, now time.Time) {
	if !o.suspected() || o.turn != who {
		return
	}
	o.asking, o.begun = true, now
	o.turns[who.Namespace]++
	if k := o.waiting[who]; k != nil {
		k.turns++
	}
}

// fail notes a failure and reports whether it opened the outage.
func (o *outage) fail(who types.NamespacedName, expires, now time.Time, e *secretserver.Error, seed string) (opened bool) {
	if _, forgiven := o.released[who]; forgiven && !o.down() {
		o.released[who] = release{expires, true}
		return false
	}
	o.answered = false
	o.failures++
	o.last = e.Kind
	if until := now.Add(e.RetryAfter); e.RetryAfter > 0 && until.After(o.askedFor) {
		o.askedFor = until
	}
	o.wait(who, expires).failed = true
	if !o.down() && o.failures >= outageAfter {
		opened = true
		o.since = now
		for name, r := range o.released {
			// From here on it is like all others.
			o.wait(name, r.expires).failed = true
		}
		clear(o.released)
	}
	if o.free() || o.turn == who || (opened && !o.asking) {
		o.pass(now, seed)
	}
	return opened
}

// pass ends a turn.
func (o *outage) pass(now time.Time, seed string) {
	o.askAt = now.Add(suspicion)
	if o.down() {
		from := now
		if o.asking {
			from = o.begun
		}
		o.askAt = from.Add(session.ProbeWait(o.probes, seed))
		if soonest := now.Add(shortestPause); o.askAt.Before(soonest) {
			o.askAt = soonest
		}
		o.probes++
	}
	o.turn, o.asking, o.idle = types.NamespacedName{}, false, false
}

// patience is how long a question may take that is asked for all, by a session that would wait for timeout.
func (o *outage) patience(timeout time.Duration) time.Duration {
	if !o.down() || o.probes%patientProbe == 0 {
		return timeout
	}
	return min(timeout, probePatience)
}

// insist reports whether the grant is asked for in spite of a 4xx.
func (o *outage) insist() bool { return !o.down() || o.probes%insistentProbe == 0 }

// next gives the turn to one of those who wait, if nobody has it: of the namespace that asked least, the session that asked
// least, and among equals the one whose token expires first. While Secret Server is not known to be down, who failed
// waits for its own time.
func (o *outage) next() (types.NamespacedName, bool) {
	if !o.suspected() || !o.free() {
		return types.NamespacedName{}, false
	}
	for name, k := range o.waiting {
		if !o.down() && k.failed {
			continue
		}
		if o.free() || o.before(name, o.turn) {
			o.turn = name
		}
	}
	return o.turn, !o.free()
}

func (o *outage) before(a, b types.NamespacedName) bool {
	return cmp.Or(
		cmp.Compare(o.turns[a.Namespace], o.turns[b.Namespace]),
		cmp.Compare(o.waiting[a].turns, o.waiting[b].turns),
		o.order(a, b),
	) < 0
}

// order is by expiry, and then by name, so that it is one order.
func (o *outage) order(a, b types.NamespacedName) int {
	return cmp.Or(o.waiting[a].expires.Compare(o.waiting[b].expires), cmp.Compare(a.String(), b.String()))
}

// end forgets the outage, and returns who waited for that, the nearest expiry first. What a session met while nothing was
// more than suspected may be its own trouble, and it keeps its own backoff.
func (o *outage) end() []types.NamespacedName {
	names := make([]types.NamespacedName, 0, len(o.waiting))
	for name, k := range o.waiting {
		switch {
		case !k.failed:
		case !o.down():
			continue
		default:
			o.released[name] = release{expires: k.expires}
		}
		names = append(names, name)
	}
	slices.SortFunc(names, o.order)
	*o = outage{answered: true, waiting: map[types.NamespacedName]*kept{}, turns: map[string]int{}, released: o.released}
	return names
}
