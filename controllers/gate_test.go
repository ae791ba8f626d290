package controllers

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"
)

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "n", Name: name}
}

// ofOne is a room of newTestGate for accounts.
func ofOne(key string) room { return room{ofAccount, key} }

// newTestGate has accounts, servers and namespaces of these capacities, and wakes whom it wakes into the result.
func newTestGate(accounts, servers, namespaces int) (*gate, *[]string) {
	var woken []string
	g := newGate(map[roomKind]int{ofAccount: accounts, ofServer: servers, ofNamespace: namespaces},
		func(n types.NamespacedName) { woken = append(woken, n.Name) })
	return g, &woken
}

func TestGateTurnsAwayWhoFindsNoPlaceAndWakesThemInOrder(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	inside := g.enter(named("a"), noon, ofOne("x"))
	if inside == nil {
		t.Fatal("an empty gate turned the first one away")
	}
	for _, late := range []string{"b", "c", "b"} {
		if g.enter(named(late), noon, ofOne("x")) != nil {
			t.Fatalf("%s entered a full gate", late)
		}
	}
	inside.leave()
	if want := []string{"b"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v: one place, one wake-up, longest waiter first", *woken, want)
	}
	inside = g.enter(named("b"), noon, ofOne("x"))
	if inside == nil {
		t.Fatal("the woken one found no place")
	}
	inside.leave()
	if want := []string{"b", "c"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v", *woken, want)
	}
}

func TestGateWakesFirstWhoNeedsATokenFirst(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	inside := g.enter(named("inside"), noon, ofOne("x"))
	for _, w := range []struct {
		name     string
		neededBy time.Time
	}{
		{"late", noon.Add(time.Hour)}, {"soon", noon.Add(time.Minute)}, {"expired", noon.Add(-time.Minute)}, {"soon too", noon.Add(time.Minute)},
	} {
		if g.enter(named(w.name), w.neededBy, ofOne("x")) != nil {
			t.Fatalf("%s entered a full gate", w.name)
		}
	}
	want := []string{"expired", "soon", "soon too", "late"}
	for _, name := range want {
		inside.leave()
		inside = g.enter(named(name), noon, ofOne("x"))
	}
	inside.leave()
	if !slices.Equal(*woken, want) {
		t.Errorf("woken %q, want %q: among equals who came first", *woken, want)
	}
}

func TestGateWakesAmongEqualsWhoCameFirstWhateverElseTheyWaitFor(t *testing.T) {
	server := room{ofServer, "here"}
	tenant := func(name string) room { return room{ofNamespace, name} }
	g, woken := newTestGate(0, 1, 1)
	inside := g.enter(named("inside"), noon, server, tenant("else"))
	var want []string
	for i := range 6 {
		name := strconv.Itoa(i)
		want = append(want, name)
		if g.enter(named(name), noon, server, tenant(strconv.Itoa(i%2))) != nil {
			t.Fatalf("%s entered a full gate", name)
		}
	}
	for i, name := range want {
		inside.leave()
		inside = g.enter(named(name), noon, server, tenant(strconv.Itoa(i%2)))
		if inside == nil {
			t.Fatalf("woken %q, want %s next", *woken, name)
		}
	}
	inside.leave()
	if !slices.Equal(*woken, want) {
		t.Errorf("woken %q, want %q", *woken, want)
	}
}

func TestGateCountsThoseWhoWait(t *testing.T) {
	g, _ := newTestGate(1, 0, 0)
	inside := g.enter(named("inside"), noon, ofOne("x"))
	for i, name := range []string{"a", "b", "a"} {
		g.enter(named(name), noon, ofOne("x"))
		if got, want := g.waits(), min(i+1, 2); got != want {
			t.Errorf("%d wait, want %d", got, want)
		}
	}
	inside.leave()
	if got := g.waits(); got != 1 {
		t.Errorf("%d wait once a place is kept for one, want 1", got)
	}
}

func TestGateKeepsAPlaceForWhoIsWoken(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	inside := g.enter(named("a"), noon, ofOne("x"))
	g.enter(named("b"), noon, ofOne("x"))
	inside.leave()
	if g.enter(named("hasty"), noon.Add(-time.Hour), ofOne("x")) != nil {
		t.Fatal("somebody took the place of who was woken")
	}
	inside = g.enter(named("b"), noon, ofOne("x"))
	if inside == nil {
		t.Fatal("who was woken found no place")
	}
	inside.leave()
	if want := []string{"b", "hasty"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v", *woken, want)
	}
}

func TestGatePassesOnAPlaceThatAPassDidNotTake(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	inside := g.enter(named("a"), noon, ofOne("x"))
	for _, name := range []string{"b", "c"} {
		g.enter(named(name), noon, ofOne("x"))
	}
	inside.leave()
	g.turn(named("b"))() // it was suspended, perhaps
	if want := []string{"b", "c"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v", *woken, want)
	}
}

// A pass that is turned away has a status to write yet, and its turn may come meanwhile.
func TestGateKeepsAPlaceThatBecameFreeDuringThePass(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	inside := g.enter(named("a"), noon, ofOne("x"))
	end := g.turn(named("b"))
	g.enter(named("b"), noon, ofOne("x"))
	g.enter(named("c"), noon, ofOne("x"))
	inside.leave()
	end()
	if want := []string{"b"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v: b has not had the pass for which it was woken", *woken, want)
	}
	end = g.turn(named("b"))
	defer end()
	if g.enter(named("b"), noon, ofOne("x")) == nil {
		t.Error("the pass for which b was woken found no place")
	}
}

func TestGateWakesNobodyForWhomOneOfItsRoomsIsFull(t *testing.T) {
	here, there, tenant := room{ofServer, "here"}, room{ofServer, "there"}, room{ofNamespace, "n"}
	g, woken := newTestGate(0, 1, 2)
	inHere := g.enter(named("here"), noon, here, tenant)
	inThere := g.enter(named("there"), noon, there, tenant)
	g.enter(named("first"), noon, here, tenant)
	g.enter(named("second"), noon.Add(time.Minute), there, tenant)
	inThere.leave()
	if want := []string{"second"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v: the server of the first has no place", *woken, want)
	}
	inHere.leave()
	if want := []string{"second", "first"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v", *woken, want)
	}
	for name, server := range map[string]room{"first": here, "second": there} {
		if g.enter(named(name), noon, server, tenant) == nil {
			t.Errorf("%s was woken and found no place", name)
		}
	}
}

// A Secret Server may be proven meanwhile, or the session's endpoint be another.
func TestGateLetsWhoWasWokenAskForOtherRooms(t *testing.T) {
	here, there, unproven := room{ofServer, "here"}, room{ofServer, "there"}, room{ofNamespace, "unproven"}
	g, woken := newTestGate(0, 1, 1)
	inside := g.enter(named("a"), noon, here, unproven)
	g.enter(named("b"), noon, here, unproven)
	g.enter(named("c"), noon, here)
	g.enter(named("d"), noon, room{ofServer, "elsewhere"}, unproven)
	inside.leave()
	if g.enter(named("b"), noon, there) == nil {
		t.Fatal("another room had a place")
	}
	if want := []string{"b", "c", "d"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v: what was kept for b is free", *woken, want)
	}
}

// Who waits for a Secret Server that has never answered waits also for one of the few workers that such servers may hold. As soon as
// it answers, others that hang do not concern it any more.
func TestWhoWaitsIsRelievedOfARoomThatItNeedsNoMore(t *testing.T) {
	here, there, unproven := room{ofServer, "here"}, room{ofServer, "there"}, room{ofNamespace, "unproven"}
	g, woken := newTestGate(0, 2, 1)
	if g.enter(named("hangs"), noon, there, unproven) == nil {
		t.Fatal("an empty gate turned the first one away")
	}
	for name, needed := range map[string]time.Duration{"soon": time.Minute, "late": time.Hour, "last": 2 * time.Hour} {
		g.enter(named(name), noon.Add(needed), here, unproven)
	}
	g.enter(named("elsewhere"), noon, room{ofServer, "elsewhere"}, unproven)
	g.relieve(here, unproven)
	if want := []string{"soon", "late"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v: two may ask here at a time", *woken, want)
	}
	inside := g.enter(named("soon"), noon.Add(time.Minute), here)
	if inside == nil {
		t.Fatal("who was woken found no place")
	}
	inside.leave()
	if want := []string{"soon", "late", "last"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v: it waits in turn, and for the server alone", *woken, want)
	}
}

// Who finds out the account of credentials keeps others from reading them until it has a place there, and lets nobody come between.
func TestAnAccountIsAddedToAPlaceWithoutGivingUpAnother(t *testing.T) {
	server, unread, account := room{ofServer, "here"}, ofOne("unread"), ofOne("x")
	g, woken := newTestGate(1, 4, 0)
	first := g.enter(named("first"), noon, server, unread)
	g.enter(named("second"), noon, server, unread)
	first.add(account)
	if !first.has(unread) || !first.has(account) || len(*woken) > 0 {
		t.Fatalf("in %v, and %v were woken", first.rooms, *woken)
	}
	other := g.enter(named("other"), noon, server)
	other.add(account)
	if other.has(account) {
		t.Fatal("two log in to the same account")
	}
	first.leave(ofAccount)
	if len(*woken) > 0 {
		t.Fatalf("%v were woken, though the outcome is not stored", *woken)
	}
	first.leave()
	if want := []string{"second"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v", *woken, want)
	}
	if g.enter(named("third"), noon, server, account) == nil {
		t.Error("the account is still taken")
	}
}

// A login is known to need an account once its credentials have been read.
func TestAPlaceIsExtendedOrGivenUpForOneInAllRooms(t *testing.T) {
	server, account := room{ofServer, "here"}, ofOne("x")
	g, woken := newTestGate(1, 2, 0)
	first, second := g.enter(named("first"), noon, server), g.enter(named("second"), noon, server)
	if !first.extend(named("first"), noon, account) {
		t.Fatal("an account that nobody logs in to was taken")
	}
	if second.extend(named("second"), noon, account) {
		t.Fatal("two log in to the same account")
	}
	third := g.enter(named("third"), noon, server)
	if third == nil {
		t.Fatal("who waits for the account keeps a place at its server")
	}
	first.leave(ofAccount)
	if len(*woken) > 0 {
		t.Fatalf("%v were woken, though the account is taken until the outcome is stored", *woken)
	}
	first.leave()
	if want := []string{"second"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v", *woken, want)
	}
	if g.enter(named("second"), noon, server, account) == nil {
		t.Error("who was woken found no place")
	}
	for range 2 {
		third.leave()
	}
	if at := g.rooms[server].inside; at != 1 {
		t.Errorf("%d at the server, want 1: to leave twice does no harm", at)
	}
}

// Else a namespace whose places are all taken could keep others from an account.
func TestNobodyHoldsARoomWhileItWaitsForAnother(t *testing.T) {
	server, full, account := room{ofServer, "here"}, room{ofNamespace, "full"}, ofOne("x")
	g, _ := newTestGate(1, 1, 1)
	g.enter(named("inside"), noon, room{ofServer, "there"}, full)
	if g.enter(named("waits"), noon, server, full, account) != nil {
		t.Fatal("entered a full namespace")
	}
	if g.enter(named("other"), noon, server, room{ofNamespace, "other"}, account) == nil {
		t.Error("who waits for its namespace keeps another from the account")
	}
}

func TestASessionWaitsForAGrantAndForARevocation(t *testing.T) {
	here, there := room{ofServer, "here"}, room{ofServer, "there"}
	g, woken := newTestGate(0, 1, 1)
	g.capacity[ofRevocation] = 1
	inHere, inThere := g.enter(named("a"), noon, here), g.enter(named("b"), noon, there)
	g.enter(named("session"), noon, here)
	g.enter(named("session"), noon, there, room{kind: ofRevocation})
	inHere.leave()
	inThere.leave()
	if want := []string{"session", "session"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v", *woken, want)
	}
	if g.enter(named("session"), noon, there, room{kind: ofRevocation}) == nil || g.enter(named("session"), noon, here) == nil {
		t.Error("one errand has cost the other its place")
	}
}

// A grant may hang until timeoutSeconds are over. The place of a revocation that waits for the same pass would stand empty.
func TestNothingIsKeptForARevocationWhileItsSessionIsAtAGrant(t *testing.T) {
	former, present := room{ofServer, "former"}, room{ofServer, "present"}
	revocation := []room{{kind: ofRevocation}, former}
	for name, kept := range map[string]bool{"it becomes free meanwhile": false, "it was free before": true} {
		t.Run(name, func(t *testing.T) {
			g, woken := newTestGate(0, 1, 0)
			g.capacity[ofRevocation] = 1
			inside := g.enter(named("a"), noon, former)
			end := g.turn(named("session"))
			g.enter(named("session"), noon, revocation...)
			g.enter(named("another"), noon, former)
			if kept {
				inside.leave()
			}
			if g.enter(named("session"), noon, present) == nil {
				t.Fatal("the grant found no place")
			}
			if !kept {
				inside.leave()
			}
			if !slices.Contains(*woken, "another") {
				t.Errorf("woken %v: the place at the former server is kept for who is at the present one", *woken)
			}
			end()
		})
	}
}

// The room that was named first is not filled first.
func TestAPlaceInASharedRoomGoesToWhoNeedsItFirst(t *testing.T) {
	server, other, namespace := room{ofServer, "here"}, room{ofServer, "there"}, room{ofNamespace, "n"}
	g, woken := newTestGate(0, 1, 1)
	inside := g.enter(named("inside"), noon, server, namespace)
	g.enter(named("late"), noon.Add(time.Hour), server, namespace)
	g.enter(named("soon"), noon, other, namespace)
	inside.leave()
	if want := []string{"soon"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v", *woken, want)
	}
}

func TestWhoDoesNotAskAgainWaitsNoMore(t *testing.T) {
	server, account := room{ofServer, "here"}, ofOne("x")
	for name, happens := range map[string]struct {
		pass  func(*gate)
		woken []string
	}{
		"it was suspended":                   {func(*gate) {}, []string{"next"}},
		"it asks again":                      {func(g *gate) { g.enter(named("asks"), noon, server, room{ofNamespace, "n"}, account) }, []string{"asks"}},
		"it needs no login, but a refresh":   {func(g *gate) { g.enter(named("asks"), noon.Add(time.Minute), server) }, []string{"next"}},
		"it waits for another server by now": {func(g *gate) { g.enter(named("asks"), noon, room{ofServer, "there"}) }, []string{"next"}},
	} {
		t.Run(name, func(t *testing.T) {
			g, woken := newTestGate(1, 1, 1)
			inside := g.enter(named("inside"), noon, server)
			g.enter(named("inside there"), noon, room{ofServer, "there"})
			g.enter(named("asks"), noon, server, room{ofNamespace, "n"}, account)
			g.enter(named("next"), noon, server, account)
			end := g.turn(named("asks"))
			happens.pass(g)
			end()
			inside.leave()
			if !slices.Equal(*woken, happens.woken) {
				t.Errorf("woken %v, want %v", *woken, happens.woken)
			}
			for r, o := range g.rooms {
				if o.inside == 0 && len(o.lines) == 0 {
					t.Errorf("%v is remembered for nobody", r)
				}
			}
		})
	}
}

func TestGateKeepsKeysApart(t *testing.T) {
	g, _ := newTestGate(1, 0, 0)
	if g.enter(named("a"), noon, ofOne("one")) == nil {
		t.Fatal("first key full")
	}
	if g.enter(named("b"), noon, ofOne("two")) == nil {
		t.Error("another key's holder was counted")
	}
}

func TestGateNeverHoldsMoreThanItsCapacity(t *testing.T) {
	const capacity, visitors = 3, 64
	var (
		mu           sync.Mutex
		inside, most int
		wg           sync.WaitGroup
	)
	wake := make(chan types.NamespacedName, visitors)
	g := newGate(map[roomKind]int{ofAccount: capacity}, func(n types.NamespacedName) { wake <- n })
	visit := func(n types.NamespacedName) bool {
		place := g.enter(n, noon, ofOne("x"))
		if place == nil {
			return false
		}
		mu.Lock()
		inside++
		most = max(most, inside)
		mu.Unlock()
		mu.Lock()
		inside--
		mu.Unlock()
		place.leave()
		return true
	}
	var visited sync.WaitGroup
	visited.Add(visitors)
	for i := range visitors {
		wg.Go(func() {
			if visit(named(strconv.Itoa(i))) {
				visited.Done()
			}
		})
	}
	done := make(chan struct{})
	go func() { visited.Wait(); close(done) }()
	for finished := false; !finished; {
		select {
		case n := <-wake:
			if visit(n) {
				visited.Done()
			}
		case <-done:
			finished = true
		}
	}
	wg.Wait()
	if most > capacity {
		t.Errorf("%d inside at a time, capacity %d", most, capacity)
	}
}

// Whatever comes in whatever order: no room ever holds more than it may, nobody waits where there is a place in all its rooms, who
// is woken finds its place, and in the end everybody has been in and nothing is remembered.
func TestGateLetsEverybodyInAndNobodyTooMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCrowd(t)
		for len(c.queue) > 0 || len(c.inside) > 0 {
			if len(c.queue) == 0 || (len(c.inside) > 0 && rapid.Bool().Draw(t, "leaves")) {
				c.leave(t)
			} else {
				c.pass(t)
			}
			c.check(t)
		}
		for who := range c.wants {
			if !c.been[who] {
				t.Errorf("%s was never woken", who.Name)
			}
		}
		if g := c.gate; len(g.rooms)+len(g.lines)+len(g.waiting)+len(g.kept) > 0 {
			t.Errorf("%d rooms, %d lines, %d who wait and %d places are kept for nobody", len(g.rooms), len(g.lines), len(g.waiting), len(g.kept))
		}
	})
}

// crowd is who comes to a gate of servers, namespaces and accounts. Whose account it needs, each finds out only inside, and knows
// from then on.
type crowd struct {
	gate   *gate
	wants  map[types.NamespacedName][]room // the account last
	knows  map[types.NamespacedName]bool
	queue  []types.NamespacedName // for a pass
	inside map[types.NamespacedName]*place
	been   map[types.NamespacedName]bool // inside, or not interested any more
}

func newCrowd(t *rapid.T) *crowd {
	c := &crowd{wants: map[types.NamespacedName][]room{}, knows: map[types.NamespacedName]bool{}, inside: map[types.NamespacedName]*place{}, been: map[types.NamespacedName]bool{}}
	few := rapid.IntRange(1, 3)
	c.gate = newGate(map[roomKind]int{ofServer: few.Draw(t, "servers' places"), ofNamespace: few.Draw(t, "namespaces' places"), ofAccount: 1},
		func(n types.NamespacedName) { c.queue = append(c.queue, n) })
	for i := range rapid.IntRange(1, 12).Draw(t, "sessions") {
		n := named(strconv.Itoa(i))
		c.wants[n] = []room{
			{ofServer, rapid.StringMatching("[ab]").Draw(t, "server")},
			{ofNamespace, rapid.StringMatching("[xy]").Draw(t, "namespace")},
			{ofAccount, rapid.StringMatching("[pq]").Draw(t, "account")},
		}
		c.queue = append(c.queue, n)
	}
	return c
}

func (c *crowd) leave(t *rapid.T) {
	names := slices.SortedFunc(maps.Keys(c.inside), func(a, b types.NamespacedName) int { return strings.Compare(a.Name, b.Name) })
	who := rapid.SampledFrom(names).Draw(t, "who leaves")
	place := c.inside[who]
	place.leave(ofAccount)
	c.check(t)
	delete(c.inside, who)
	place.leave()
}

func (c *crowd) pass(t *rapid.T) {
	who := c.queue[0]
	c.queue = c.queue[1:]
	end := c.gate.turn(who)
	defer end()
	if c.been[who] || rapid.IntRange(0, 9).Draw(t, "interest") == 0 {
		c.been[who] = true
		return
	}
	_, promised := c.gate.kept[errand{NamespacedName: who}]
	neededBy := noon.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "needed after minutes")) * time.Minute)
	account := len(c.wants[who]) - 1
	rooms := c.wants[who][:account]
	if c.knows[who] {
		rooms = c.wants[who]
	}
	place := c.gate.enter(who, neededBy, rooms...)
	if place == nil && promised {
		t.Fatalf("%s was woken and found no place", who.Name)
	}
	login := c.wants[who][account]
	if place != nil && rapid.Bool().Draw(t, "adds it first") {
		place.add(login)
	}
	if place != nil && !place.has(login) && !place.extend(who, neededBy, login) {
		c.knows[who] = true
		return
	}
	if place != nil {
		c.inside[who], c.been[who] = place, true
	}
}

func (c *crowd) check(t *rapid.T) {
	count := map[room]int{}
	for _, place := range c.inside {
		for _, r := range place.rooms {
			count[r]++
		}
	}
	for r, n := range count {
		if most := c.gate.capacity[r.kind]; n > most {
			t.Fatalf("%d in %v, which holds %d", n, r, most)
		}
	}
	for who, w := range c.gate.waiting {
		if w.line.admitted() {
			t.Fatalf("%s waits, and there is a place in all the rooms that it waits for", who.Name)
		}
	}
}
