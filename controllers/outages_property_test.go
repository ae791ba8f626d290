package controllers

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// town is a model of all that meets at the outages of one Secret Server: sessions that fall due, requests that take
// their time, a queue that wakes, a server that comes and goes.
type town struct {
	t   *rapid.T
	o   *outages
	now *clocktesting.FakePassiveClock
	up  bool

	wakes    map[types.NamespacedName]time.Time // the queue
	wants    map[types.NamespacedName]bool      // a grant is due
	failures map[types.NamespacedName]int
	expires  map[types.NamespacedName]time.Time
	under    map[types.NamespacedName]*request // under way
	ended    time.Time                         // the last probe, while the server is known to be down
}

type request struct {
	ends  time.Time
	probe bool
}

func newTown(t *rapid.T) *town {
	w := &town{
		t: t, now: clocktesting.NewFakePassiveClock(noon), up: true, wakes: map[types.NamespacedName]time.Time{},
		wants: map[types.NamespacedName]bool{}, failures: map[types.NamespacedName]int{},
		expires: map[types.NamespacedName]time.Time{}, under: map[types.NamespacedName]*request{},
	}
	for i := range 12 {
		name := types.NamespacedName{Namespace: string(rune('a' + i%3)), Name: strconv.Itoa(i)}
		w.expires[name] = noon.Add(time.Duration(i*7%12) * time.Minute)
	}
	w.o = newOutages(w.now, logr.Discard(), w)
	return w
}

func (w *town) wakeLater(name types.NamespacedName, after time.Duration) {
	at := w.now.Now().Add(max(after, 0))
	if known, ok := w.wakes[name]; !ok || at.Before(known) {
		w.wakes[name] = at
	}
}

func (w *town) wakeAll(names []types.NamespacedName) {
	if !slices.IsSortedFunc(names, func(a, b types.NamespacedName) int { return w.expires[a].Compare(w.expires[b]) }) {
		w.t.Errorf("woken in the order %v, which is not that of expiry", names)
	}
	for _, name := range names {
		w.wakeLater(name, 0)
	}
}

// names of all sessions, in one order.
func (w *town) names() []types.NamespacedName {
	var names []types.NamespacedName
	for name := range w.expires {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b types.NamespacedName) int { return w.expires[a].Compare(w.expires[b]) })
	return names
}

func (w *town) down() bool { return w.o.known[atVault] != nil && w.o.known[atVault].down() }

// pass is that of a session which is woken, as the reconciler makes it.
func (w *town) pass(who types.NamespacedName) {
	if w.under[who] != nil {
		w.wakeLater(who, w.under[who].ends.Sub(w.now.Now())) // the queue keeps it until its pass ends
		return
	}
	if !w.wants[who] {
		w.o.settle(who, false)
		return
	}
	switch w.o.enter(atVault, who, w.expires[who]) {
	case mayAsk:
		w.begin(who, false)
	case mayProbe:
		w.begin(who, true)
	case waitShort:
		w.o.settle(who, true)
		w.wakeLater(who, doubtTimeout)
	case waitLong:
		w.o.settle(who, false)
	}
}

func (w *town) begin(who types.NamespacedName, probe bool) {
	now := w.now.Now()
	if probe {
		for other, r := range w.under {
			if r.probe {
				w.t.Errorf("%s probes while %s does", who, other)
			}
		}
		if gap := now.Sub(w.ended); !w.ended.IsZero() && gap < time.Second {
			w.t.Errorf("a probe %v after the end of the last", gap)
		}
	} else if w.down() {
		w.t.Errorf("%s asks without a probe although the server is known to be down", who)
	}
	w.o.begin(atVault, who)
	takes := rapid.SampledFrom([]time.Duration{time.Millisecond, 100 * time.Millisecond, 30 * time.Second}).Draw(w.t, "takes")
	w.under[who] = &request{now.Add(takes), probe}
}

// end is that of a request, and of its pass.
func (w *town) end(who types.NamespacedName) {
	probe := w.under[who].probe
	delete(w.under, who)
	switch {
	case rapid.SampledFrom([]bool{20: true}).Draw(w.t, "the API server has trouble"):
		w.wakeLater(who, firstRetry)
	case w.up:
		w.o.heard(atVault, who, w.expires[who], nil)
		w.wants[who], w.failures[who] = false, 0
		for _, r := range w.under {
			r.probe = false // the outage is over, and of the next one this is no probe
		}
	default:
		w.o.heard(atVault, who, w.expires[who], rapid.SampledFrom([]*secretserver.Error{
			broken, broken, {Kind: secretserver.Throttled, RetryAfter: 10 * time.Second}, {Kind: secretserver.Protocol, Cause: secretserver.HTMLAnswer},
		}).Draw(w.t, "failure"))
		w.failures[who]++
		w.wakeLater(who, session.Backoff(w.failures[who], who.Name))
		w.o.keep(atVault, who, w.expires[who])
	}
	w.o.settle(who, false)
	if w.ended = (time.Time{}); w.down() && probe {
		w.ended = w.now.Now()
	}
}

// live lets time pass, and everything happen at its time.
func (w *town) live(d time.Duration) {
	until := w.now.Now().Add(d)
	for {
		next, who, ends := until, types.NamespacedName{}, false
		for _, name := range w.names() {
			if at, ok := w.wakes[name]; ok && at.Before(next) {
				next, who, ends = at, name, false
			}
			if r := w.under[name]; r != nil && !r.ends.After(next) { // before any wake-up at the same time
				next, who, ends = r.ends, name, true
			}
		}
		if next.After(w.now.Now()) {
			w.now.SetTime(next)
		}
		switch {
		case who == types.NamespacedName{}:
			return
		case ends:
			w.end(who)
		default:
			delete(w.wakes, who)
			w.pass(who)
		}
		w.check()
	}
}

// check asserts what must hold at any time.
func (w *town) check() {
	known := w.o.known[atVault]
	if known == nil || !known.down() || len(known.waiting) == 0 {
		return
	}
	if known.free() {
		w.t.Fatalf("%d sessions wait, and nobody has the turn to ask", len(known.waiting))
	}
	turn := known.turn
	if w.under[turn] != nil {
		return
	}
	at, ok := w.wakes[turn]
	if !ok {
		w.t.Fatalf("it is the turn of %s, which nobody wakes", turn)
	}
	if at.After(w.now.Now().Add(25 * time.Second)) {
		w.t.Errorf("the next probe is only at %v", at)
	}
}

func TestLawSessionsOfASecretServerThatComesAndGoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTown(t)
		names := w.names()
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				w.live(time.Duration(rapid.IntRange(1, 60_000).Draw(t, "ms")) * time.Millisecond)
			},
			"some are due": func(t *rapid.T) {
				for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 6).Draw(t, "who") {
					w.wants[name] = true
					w.wakeLater(name, 0)
				}
			},
			"one is suspended": func(t *rapid.T) {
				name := rapid.SampledFrom(names).Draw(t, "who")
				w.wants[name] = false
				w.wakeLater(name, 0)
			},
			"one is deleted": func(t *rapid.T) {
				name := rapid.SampledFrom(names).Draw(t, "who")
				if w.under[name] == nil {
					w.wants[name] = false
					delete(w.wakes, name)
					w.o.forget(name)
				}
			},
			"the server comes or goes": func(t *rapid.T) { w.up = rapid.Bool().Draw(t, "up") },
			"":                         func(*rapid.T) { w.check() },
		})

		w.up = true
		w.live(2 * time.Minute)
		for _, name := range names {
			if w.wants[name] && w.failures[name] < 2 {
				t.Errorf("%s still waits two minutes after the server's return", name)
			}
		}
	})
}
