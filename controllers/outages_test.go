package controllers

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

var (
	atVault = vantage{url: "https://vault.example.com:443", timeout: 30 * time.Second}
	refused = &secretserver.Error{Kind: secretserver.Refused, Cause: secretserver.ErrorStatus, Status: 401}
	broken  = &secretserver.Error{Kind: secretserver.NotSent, Cause: secretserver.ConnectionRefused}
)

// ward is a set of outages with a clock and a queue that the test works by hand.
type ward struct {
	*outages

	now    *clocktesting.FakePassiveClock
	woken  []string                 // at once, in order
	wakeAt map[string]time.Duration // of who is to be woken: how long after noon
}

func newWard() *ward {
	w := &ward{now: clocktesting.NewFakePassiveClock(noon), wakeAt: map[string]time.Duration{}}
	w.outages = newOutages(w.now, logr.Discard(), w)
	return w
}

func (w *ward) wakeLater(name types.NamespacedName, after time.Duration) {
	w.wakeAt[name.Name] = w.now.Now().Add(max(after, 0)).Sub(noon)
}

func (w *ward) wakeAll(names []types.NamespacedName) {
	for _, name := range names {
		w.woken = append(w.woken, name.Name)
	}
}

func (w *ward) advance(d time.Duration) { w.now.SetTime(w.now.Now().Add(d)) }

// expiring is a session whose token expires so many minutes after noon, as its name says.
func expiring(name string) time.Time {
	minutes, err := strconv.Atoi(strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz"))
	if err != nil {
		return time.Time{}
	}
	return noon.Add(time.Duration(minutes) * time.Minute)
}

func (w *ward) enters(name string) permission {
	return w.enter(atVault, named(name), expiring(name))
}

// asks makes a session ask, as its pass would.
func (w *ward) asks(t *testing.T, name string, e *secretserver.Error) {
	t.Helper()
	if p := w.enters(name); p != mayAsk && p != mayProbe {
		t.Fatalf("%s may not ask", name)
	}
	w.begin(atVault, named(name))
	w.heard(atVault, named(name), expiring(name), e)
	w.settle(named(name), false)
}

// breakDown makes Secret Server known to be down.
func (w *ward) breakDown(t *testing.T) {
	t.Helper()
	for _, name := range []string{"x1", "x2", "x3"} {
		w.asks(t, name, broken)
		w.advance(suspicion)
	}
	if w.count() != 1 {
		t.Fatalf("not known to be down after %d failures in a row", outageAfter)
	}
}

// waits expects a session to be held, and ends its pass.
func (w *ward) waits(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if p := w.enters(name); p != waitLong {
			t.Fatalf("%s is not held: permission %d", name, p)
		}
		w.settle(named(name), false)
	}
}

func TestWhatAnAnswerSaysOfSecretServer(t *testing.T) {
	for name, tt := range map[string]struct {
		err  *secretserver.Error
		want standing
	}{
		"a grant":                  {nil, answering},
		"a refusal":                {refused, answering},
		"a refresh met by a 404":   {&secretserver.Error{Kind: secretserver.Refused, Cause: secretserver.ErrorStatus, Status: 404}, confused},
		"no connection":            {broken, silent},
		"no name":                  {&secretserver.Error{Kind: secretserver.NotSent, Cause: secretserver.NameNotResolved}, silent},
		"an unknown CA":            {&secretserver.Error{Kind: secretserver.NotSent, Cause: secretserver.UnknownAuthority}, silent},
		"a timeout":                {&secretserver.Error{Kind: secretserver.Ambiguous, Cause: secretserver.TimedOut}, silent},
		"a lost connection":        {&secretserver.Error{Kind: secretserver.Ambiguous, Cause: secretserver.ConnectionLost}, silent},
		"a 502":                    {&secretserver.Error{Kind: secretserver.Unavailable, Cause: secretserver.ErrorStatus, Status: 502}, silent},
		"a 429":                    {&secretserver.Error{Kind: secretserver.Throttled, Cause: secretserver.ErrorStatus, Status: 429}, silent},
		"a web page":               {&secretserver.Error{Kind: secretserver.Protocol, Cause: secretserver.HTMLAnswer, Status: 200}, confused},
		"the operator that stops":  {&secretserver.Error{Kind: secretserver.Ambiguous, Cause: secretserver.Canceled}, unheard},
		"a URL that is none":       {&secretserver.Error{Kind: secretserver.NotSent, Cause: secretserver.InvalidURL}, unheard},
		"one that was not sent":    {&secretserver.Error{Kind: secretserver.NotSent, Cause: secretserver.Withheld}, unheard},
		"a CA that is no PEM text": {&secretserver.Error{Kind: secretserver.InvalidCA, Cause: secretserver.NotPEM}, unheard},
	} {
		if got := standingOf(tt.err); got != tt.want {
			t.Errorf("%s: standing %d, want %d", name, got, tt.want)
		}
	}
}

func TestASecretServerThatAnswersIsAskedByAllAtOnce(t *testing.T) {
	w := newWard()
	for range 100 {
		if w.enters("a") != mayAsk || w.enters("b") != mayAsk {
			t.Fatal("held although nothing has failed")
		}
	}
	if w.proven(atVault) {
		t.Error("proven without an answer")
	}
	w.asks(t, "a", nil)
	if !w.proven(atVault) {
		t.Error("not proven by an answer")
	}
}

func TestAfterTheFirstFailureSessionsAskOneAfterTheOther(t *testing.T) {
	w := newWard()
	w.asks(t, "a", broken)
	if p := w.enters("b"); p != waitShort {
		t.Fatalf("at once: permission %d", p)
	}
	w.settle(named("b"), true)
	if at := w.wakeAt["b"]; at != suspicion {
		t.Errorf("woken at %v, want %v", at, suspicion)
	}
	w.advance(suspicion)
	if p := w.enters("c"); p != waitShort {
		t.Errorf("it is b's turn, and c has permission %d", p)
	}
	w.asks(t, "b", nil)
	if want := []string{"c"}; !slices.Equal(w.woken, want) {
		t.Errorf("woken %v, want %v: who failed may have a trouble of its own, and keeps its backoff", w.woken, want)
	}
}

func TestOnlyFailuresInARowOpenAnOutage(t *testing.T) {
	w := newWard()
	for range 10 {
		for _, e := range []*secretserver.Error{broken, broken, refused} {
			w.asks(t, "a", e)
			w.advance(suspicion)
		}
	}
	if w.count() != 0 {
		t.Error("held as down although it answers now and then")
	}
}

func TestWhileItIsDownOneAsksForAllAndSoonAfterwardsAnother(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	w.waits(t, "a30", "b10", "c20")
	w.advance(time.Second)
	if p := w.enters("b10"); p == mayProbe {
		t.Fatal("b10 asks although it is another's turn")
	}
	turn := w.known[atVault].turn.Name
	w.asks(t, turn, broken)
	next := w.known[atVault].turn.Name
	if next == turn {
		t.Errorf("%s asks twice, and others have not yet", turn)
	}
	if wait := w.wakeAt[next] - w.now.Now().Sub(noon); wait < 2*time.Second || wait > 2500*time.Millisecond {
		t.Errorf("the second probe comes %v after the first, want 2 s and up to a quarter more", wait)
	}
}

func TestTheTurnGoesRoundTheNamespaces(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	one, other := types.NamespacedName{Namespace: "n", Name: "a"}, types.NamespacedName{Namespace: "other", Name: "b"}
	w.waits(t, "a", "c", "d", "e")
	w.enter(atVault, other, noon.Add(time.Hour))
	asked := map[string]int{}
	for range 8 {
		w.advance(time.Minute)
		turn := w.known[atVault].turn
		asked[turn.Namespace]++
		w.enter(atVault, turn, noon)
		w.begin(atVault, turn)
		w.heard(atVault, turn, noon, broken)
		w.settle(turn, false)
	}
	if asked[other.Namespace] < 4 {
		t.Errorf("%v probes: seven sessions of %q leave fewer than half to %q", asked, one.Namespace, other.Namespace)
	}
}

func TestOnReturnAllAreWokenTheNearestExpiryFirst(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	w.waits(t, "a30", "b10", "c20", "none")
	w.advance(time.Minute)
	turn := w.known[atVault].turn.Name
	w.asks(t, turn, nil)
	want := slices.DeleteFunc([]string{"none", "x1", "x2", "x3", "b10", "c20", "a30"}, func(n string) bool { return n == turn })
	if !slices.Equal(w.woken, want) {
		t.Errorf("woken %v, want %v", w.woken, want)
	}
	for _, failed := range []string{"x1", "x2", "x3"} {
		if urgent := w.urgent(atVault, named(failed)); urgent != (failed != turn) {
			t.Errorf("%s, which failed in the outage, is urgent: %t", failed, urgent)
		}
	}
	if w.count() != 0 || !w.proven(atVault) {
		t.Error("still held as down")
	}
}

func TestAWebPageDoesNotEndAnOutage(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	w.waits(t, "a1")
	w.advance(time.Minute)
	w.asks(t, w.known[atVault].turn.Name, &secretserver.Error{Kind: secretserver.Protocol, Cause: secretserver.HTMLAnswer, Status: 200})
	if w.count() != 1 || len(w.woken) > 0 {
		t.Error("a maintenance page woke all sessions")
	}
	if w.known[atVault].free() {
		t.Error("nobody has the turn")
	}
}

func TestSecretServerDecidesWhenItIsAskedAgain(t *testing.T) {
	w := newWard()
	for _, name := range []string{"x1", "x2", "x3"} {
		w.asks(t, name, &secretserver.Error{Kind: secretserver.Throttled, Status: 503, RetryAfter: 2 * time.Minute})
		w.advance(suspicion)
	}
	w.waits(t, "a")
	w.advance(2*time.Minute - 3*suspicion)
	if p := w.enter(atVault, w.known[atVault].turn, noon); p != waitLong {
		t.Errorf("permission %d before Retry-After is over", p)
	}
	if !w.throttled(atVault) {
		t.Error("it is not told that Secret Server asks for fewer requests")
	}
	w.advance(3 * suspicion)
	if p := w.enter(atVault, w.known[atVault].turn, noon); p != mayProbe {
		t.Errorf("permission %d after Retry-After", p)
	}
}

func TestWhoDoesNotUseItsTurnLosesIt(t *testing.T) {
	for name, tt := range map[string]struct {
		pass func(*ward, types.NamespacedName)
		lost bool
	}{
		"suspended meanwhile":        {func(w *ward, who types.NamespacedName) { w.settle(who, false) }, true},
		"deleted meanwhile":          {func(w *ward, who types.NamespacedName) { w.forget(who); w.settle(who, false) }, true},
		"moved to another endpoint":  {func(w *ward, who types.NamespacedName) { w.move(who, vantage{url: "elsewhere"}); w.settle(who, false) }, true},
		"waiting for a place to ask": {func(w *ward, who types.NamespacedName) { w.settle(who, true) }, false},
		"asking, and the operator ends": {func(w *ward, who types.NamespacedName) {
			w.enter(atVault, who, noon)
			w.begin(atVault, who)
			w.settle(who, false)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard()
			w.breakDown(t)
			w.waits(t, "a", "b")
			w.advance(time.Minute)
			before := w.known[atVault].turn
			clear(w.wakeAt)
			tt.pass(w, before)
			after := w.known[atVault].turn
			if lost := after != before; lost != tt.lost {
				t.Fatalf("the turn of %s is now that of %s", before, after)
			}
			if _, woken := w.wakeAt[after.Name]; tt.lost && !woken {
				t.Errorf("%s is not woken for its turn", after)
			}
		})
	}
}

func TestWhoeverIsWokenTooEarlyIsWokenAgainInTime(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	turn := w.known[atVault].turn
	due := w.known[atVault].due(w.now.Now()).Sub(noon)
	clear(w.wakeAt)
	w.settle(turn, false) // something else brought it to the queue
	if at, ok := w.wakeAt[turn.Name]; !ok || at != due {
		t.Errorf("woken at %v, want %v", at, due)
	}
}

func TestAnOutageThatNobodyWaitsForIsEndedByTheNextToCome(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	for _, name := range []string{"x1", "x2", "x3"} {
		w.forget(named(name))
	}
	if w.count() != 0 {
		t.Error("the metric tells of a Secret Server that keeps nobody waiting")
	}
	w.advance(time.Minute)
	w.asks(t, "new", nil)
	if p := w.enters("a"); p != mayAsk {
		t.Errorf("permission %d", p)
	}
}

// A session that fails again after Secret Server has answered another one, such as one of a domain whose controller is
// down, must not hold up the rest over and over.
func TestASessionWithATroubleOfItsOwnKeepsItsBackoffAndCountsForNobodyElse(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	w.waits(t, "good")
	w.advance(time.Minute)
	for w.known[atVault].turn.Name != "good" {
		w.asks(t, w.known[atVault].turn.Name, broken)
		w.advance(time.Minute)
	}
	w.asks(t, "good", nil)
	for range 10 {
		for _, odd := range []string{"x1", "x2", "x3"} {
			w.asks(t, odd, broken)
			if w.urgent(atVault, named(odd)) {
				t.Fatalf("%s is tried again at once", odd)
			}
		}
		w.asks(t, "good", nil)
	}

	for _, name := range []string{"y1", "y2", "y3"} { // now it is down indeed
		w.asks(t, name, broken)
		w.advance(suspicion)
	}
	w.woken = nil
	w.advance(time.Minute)
	turn := w.known[atVault].turn.Name
	w.asks(t, turn, nil)
	for _, odd := range []string{"x1", "x2", "x3"} {
		if odd != turn && !slices.Contains(w.woken, odd) {
			t.Errorf("woken %v: not %s, for which this outage was no fault of its own", w.woken, odd)
		}
	}
}

func TestOtherWaysToLookAtASecretServerAreApart(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	for name, v := range map[string]vantage{
		"another URL":         {url: "https://vault.example.com:443/other", timeout: 30 * time.Second},
		"another CA":          {url: atVault.url, ca: "digest", timeout: 30 * time.Second},
		"another server name": {url: atVault.url, serverName: "elsewhere", timeout: 30 * time.Second},
		"less patience":       {url: atVault.url, timeout: time.Second},
	} {
		if p := w.enter(v, named("a"), noon); p != mayAsk {
			t.Errorf("%s: permission %d", name, p)
		}
	}
}

func TestMemoryOfSecretServersIsBounded(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	for i := range 3 * mostKnown {
		w.heard(vantage{url: strconv.Itoa(i)}, named("a"), noon, nil)
	}
	if len(w.known) > mostKnown+1 {
		t.Errorf("%d Secret Servers are remembered", len(w.known))
	}
	if w.count() != 1 {
		t.Error("one that keeps sessions waiting was forgotten")
	}
}

func TestClockSetBackDelaysNoProbe(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	w.now.SetTime(noon.Add(-24 * time.Hour))

	if got := w.enters(w.known[atVault].turn.Name); got != mayProbe {
		t.Errorf("permission %d after the clock was set back by a day, want a probe", got)
	}
}

func TestAProbeThatHangsDoesNotDelayTheNextForLong(t *testing.T) {
	w := newWard()
	w.breakDown(t)
	short, long := 0, 0
	for range 3 * patientProbe {
		w.advance(time.Minute)
		turn := w.known[atVault].turn
		w.enter(atVault, turn, noon)
		w.begin(atVault, turn)
		took := w.patience(atVault)
		if took == atVault.timeout {
			long++
		} else {
			short++
		}
		w.advance(took)
		w.heard(atVault, turn, noon, &secretserver.Error{Kind: secretserver.Ambiguous, Cause: secretserver.TimedOut})
		w.settle(turn, false)
		pause := w.known[atVault].due(w.now.Now()).Sub(w.now.Now())
		if pause < shortestPause || took+pause > max(took+shortestPause, 19*time.Second) {
			t.Errorf("the next probe comes %v after one that took %v", pause, took)
		}
	}
	if long != 3 || short != 3*(patientProbe-1) {
		t.Errorf("%d probes with the session's own timeout, %d with a shorter one", long, short)
	}
}

func TestAVerificationFindsOutThatItIsBackIfNobodyWaitsForAGrant(t *testing.T) {
	w := newWard()
	verifies := func(name string, e *secretserver.Error) bool {
		if !w.verify(atVault, named(name)) {
			return false
		}
		var err error
		if e != nil {
			err = e
		}
		w.told(atVault, named(name), expiring(name), false, err)
		w.settle(named(name), false)
		return true
	}
	for range outageAfter {
		verifies("a60", broken)
	}
	if verifies("a60", nil) {
		t.Fatal("asked before its time")
	}
	w.waits(t, "b30")
	w.advance(longestSilence)
	w.settle(named("a60"), false) // it was woken, and wants no grant
	if verifies("a60", nil) {
		t.Fatal("asked in the place of one that waits for a grant")
	}
	w.forget(named("b30"))
	w.forget(named("a60"))
	if !verifies("a60", broken) {
		t.Fatal("not asked although nobody else would")
	}
	w.advance(longestSilence)
	w.settle(named("a60"), false)
	if !verifies("a60", nil) || w.enters("b30") != mayAsk {
		t.Error("still down after an answer")
	}
}

// deafTo is a Secret Server that knows nothing but grants, or a proxy that lets nothing else through.
type deafTo struct {
	SecretServer

	status int
}

func (d deafTo) Verify(context.Context, string) error {
	return &secretserver.Error{Operation: secretserver.VerifyToken, Kind: secretserver.Protocol, Cause: secretserver.ErrorStatus, Status: d.status}
}

func TestAServerThatDoesNotKnowTheHarmlessQuestionIsNotDownForEver(t *testing.T) {
	for status, want := range map[int]int{http.StatusNotFound: 3, http.StatusOK: 0, http.StatusFound: 0} {
		w := newWard()
		w.breakDown(t)
		p := otpPass(newCodes(), noon)
		p.outages, p.vantage = w.outages, atVault
		server := p.heed(deafTo{status: status})
		grants := 0
		for range 3 * insistentProbe {
			w.advance(time.Minute)
			turn := w.known[atVault].turn
			w.enter(atVault, turn, noon)
			w.begin(atVault, turn)
			if asks, err := p.probe(t.Context(), server); err != nil {
				t.Fatal(err)
			} else if asks {
				grants++
			}
			w.settle(turn, false)
		}
		if grants != want {
			t.Errorf("%d: %d grants after %d probes, want %d", status, grants, 3*insistentProbe, want)
		}
	}
}

// granting is a Secret Server that answers.
type granting struct{ SecretServer }

func (granting) Refresh(context.Context, string) (secretserver.Grant, error) {
	return secretserver.Grant{}, nil
}

// Until it has answered once, its sessions share a few workers with those of all other Secret Servers of which nothing is known.
func TestTheFirstAnswerFreesWhoWaitsOfTheRoomOfTheUnproven(t *testing.T) {
	p := otpPass(newCodes(), noon)
	here := room{ofServer, p.origin()}
	g, woken := newTestGate(0, 1, 0)
	g.capacity[ofUnproven] = 1
	p.outages, p.vantage, p.places = newWard().outages, atVault, g
	g.enter(named("hangs"), noon, room{ofServer, "elsewhere"}, room{kind: ofUnproven})
	g.enter(named("waits"), noon, here, room{kind: ofUnproven})
	for range 2 {
		if _, err := p.heed(granting{}).Refresh(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"waits"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v", *woken, want)
	}
}

// A pass that holds a place was not in the line when the others were relieved.
func TestWhoJoinsTheLineAsItsSecretServerAnswersIsRelievedToo(t *testing.T) {
	p := otpPass(newCodes(), noon)
	w := newWard()
	g, woken := newTestGate(1, 2, 9)
	g.capacity[ofUnproven] = 2
	p.session.Name, p.session.Namespace = "waits", "n"
	p.outages, p.vantage, p.places = w.outages, atVault, g
	if !p.takePlace("") {
		t.Fatal("an empty gate turned the first one away")
	}
	g.enter(named("hangs"), noon, room{ofServer, "elsewhere"}, room{kind: ofUnproven})
	account := g.enter(named("logs in"), noon, room{ofServer, p.origin()}, ofOne(billing))
	g.enter(named("hangs too"), noon, room{ofServer, "elsewhere"}, room{kind: ofUnproven})
	w.asks(t, "a", nil)
	if p.takePlace(billing) {
		t.Fatal("two log in to one account")
	}
	account.leave()
	if !slices.Contains(*woken, "waits") {
		t.Errorf("woken %v: the session waits for a room that it does not need", *woken)
	}
}
