package controllers

import (
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// outages is what the sessions know of their Secret Servers from each other, so that not each has to find out for
// itself that one is down, and all learn at once that it is back. It holds no secret, and a restart forgets it: each
// session has its own stored backoff.
type outages struct {
	clock clock.PassiveClock
	log   logr.Logger
	queue sleepers

	mu     sync.Mutex
	known  map[vantage]*outage
	places map[types.NamespacedName]vantage // where a session waits or was released
}

// sleepers are who waits for a Secret Server.
type sleepers interface {
	wakeLater(name types.NamespacedName, after time.Duration)
	wakeAll(names []types.NamespacedName)
}

func newOutages(c clock.PassiveClock, log logr.Logger, queue sleepers) *outages {
	return &outages{clock: c, log: log, queue: queue, known: map[vantage]*outage{}, places: map[types.NamespacedName]vantage{}}
}

// permission is what a session may do.
type permission uint8

const (
	mayAsk    permission = iota // as if nothing were known
	mayProbe                    // as the one who asks for all
	waitShort                   // it will be woken in a moment
	waitLong                    // Secret Server is down
)

// mostKnown bounds the memory: endpoints are users' input.
const mostKnown = 1024

func (o *outages) at(v vantage) *outage {
	known := o.known[v]
	if known == nil {
		if len(o.known) >= mostKnown {
			for v, other := range o.known {
				if other.unmissed() {
					delete(o.known, v)
				}
			}
		}
		known = newOutage()
		o.known[v] = known
	}
	return known
}

// move takes a session out of where it waited before its endpoint changed.
func (o *outages) move(who types.NamespacedName, to vantage) {
	if from, ok := o.places[who]; ok && from != to {
		o.remove(from, who)
	}
	o.places[who] = to
}

// enter asks for leave to make a request. Who is kept waiting will be woken.
func (o *outages) enter(v vantage, who types.NamespacedName, expires time.Time) permission {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.at(v)
	if !known.suspected() {
		return mayAsk
	}
	o.move(who, v)
	if k := known.wait(who, expires); !known.down() {
		k.failed = false // its own backoff is over
	}
	if now := o.clock.Now(); !now.Before(known.due(now)) && (known.turn == who || known.free()) {
		known.turn = who
		if known.down() {
			return mayProbe
		}
		return mayAsk
	}
	o.designate(known)
	if known.down() {
		return waitLong
	}
	return waitShort
}

// designate sees to it that somebody will ask.
func (o *outages) designate(known *outage) {
	if next, ok := known.next(); ok {
		now := o.clock.Now()
		o.queue.wakeLater(next, known.due(now).Sub(now))
	}
}

// verify asks for leave to ask whether a token is alive, and begins to. A Secret Server that is down is asked that by
// nobody but who has the turn. If nobody waits for a grant, it falls to who verifies to find out that it is back: else
// no token would be verified before the next grant is due, which may be hours.
func (o *outages) verify(v vantage, who types.NamespacedName) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.known[v]
	if known == nil || !known.down() {
		return true
	}
	now := o.clock.Now()
	if !known.free() || now.Before(known.due(now)) {
		return false
	}
	o.move(who, v)
	known.turn, known.idle = who, true
	known.begin(who, now)
	return true
}

// verifies reports whether who asks in the place of a grant that nobody waits for.
func (o *outages) verifies(v vantage, who types.NamespacedName) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.known[v]
	return known != nil && known.idle && known.turn == who
}

// begin notes that who, which may ask, does so now.
func (o *outages) begin(v vantage, who types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at(v).begin(who, o.clock.Now())
}

// patience is how long the harmless question of a probe may take.
func (o *outages) patience(v vantage) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at(v).patience(v.timeout)
}

// insist reports whether a probe goes on to the grant though something answers that may not be Secret Server.
func (o *outages) insist(v vantage) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at(v).insist()
}

// keep has a session woken when its Secret Server answers again, if it is known to be down.
func (o *outages) keep(v vantage, who types.NamespacedName, expires time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known := o.known[v]; known != nil && known.down() {
		o.move(who, v)
		known.wait(who, expires).failed = true
		o.designate(known)
	}
}

// heard takes what came of a request: e is nil if it succeeded. It reports whether the Secret Server is proven now, and was not before.
func (o *outages) heard(v vantage, who types.NamespacedName, expires time.Time, e *secretserver.Error) (proven bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, now := o.at(v), o.clock.Now()
	before := known.answered
	defer func() { proven = known.answered && !before }()
	switch standingOf(e) {
	case confused:
		if known.down() {
			return false // a page that says "maintenance", perhaps: nothing that anybody can use
		}
		fallthrough
	case answering:
		since, down := known.since, known.down()
		delete(known.released, who)
		if !known.suspected() {
			known.answered = true
			return true
		}
		names := known.end()
		delete(known.released, who)
		if down {
			o.log.Info("Secret Server answers again", "url", v.url, "after", now.Sub(since).Round(time.Second).String(), "sessions", len(names))
		}
		o.queue.wakeAll(slices.DeleteFunc(names, func(n types.NamespacedName) bool { return n == who }))
	case silent:
		o.move(who, v)
		if known.fail(who, expires, now, e, v.url) {
			o.log.Info("Secret Server does not answer; one session at a time asks for all of it",
				"url", v.url, "kind", e.Kind.String(), "cause", e.Cause.String())
		}
		o.designate(known)
	case unheard:
	}
	return false
}

// settle ends the pass of a session. If it had the turn to ask and did not, and does not wait for a free place to do so,
// then somebody else gets it.
func (o *outages) settle(who types.NamespacedName, busy bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, ok := o.places[who]
	if !ok {
		return
	}
	known := o.known[v]
	if known == nil || !known.suspected() || known.turn != who {
		return
	}
	now := o.clock.Now()
	switch {
	case known.asking:
		known.pass(now, v.url) // without an answer that counts
	case now.Before(known.due(now)):
		// Something else woke it, and that may have been instead of its time.
		o.queue.wakeLater(who, known.due(now).Sub(now))
		return
	case busy:
		return
	default:
		known.turn = types.NamespacedName{}
		delete(known.waiting, who) // should it still want something, it comes again
	}
	o.designate(known)
}

// forget drops a session that is gone.
func (o *outages) forget(who types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if v, ok := o.places[who]; ok {
		o.remove(v, who)
	}
}

func (o *outages) remove(v vantage, who types.NamespacedName) {
	delete(o.places, who)
	known := o.known[v]
	if known == nil {
		return
	}
	delete(known.waiting, who)
	delete(known.released, who)
	if known.turn == who && !known.asking {
		known.turn = types.NamespacedName{}
		o.designate(known)
	}
}

// urgent reports whether a session need not wait for its own backoff: it is its turn to ask for all, or Secret Server
// has answered somebody since it failed.
func (o *outages) urgent(v vantage, who types.NamespacedName) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.known[v]
	if known == nil {
		return false
	}
	r, released := known.released[who]
	return (released && !r.again) || (known.down() && known.turn == who)
}

// proven reports whether the Secret Server has answered in this process, and not failed since.
func (o *outages) proven(v vantage) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.known[v]
	return known != nil && known.answered
}

// throttled reports whether it was Secret Server itself that asked for fewer requests when it was last heard.
func (o *outages) throttled(v vantage) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.known[v]
	return known != nil && known.last == secretserver.Throttled
}

// count is how many Secret Servers keep sessions waiting because they are down.
func (o *outages) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, known := range o.known {
		if known.down() && len(known.waiting) > 0 {
			n++
		}
	}
	return n
}
