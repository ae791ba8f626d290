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
	leave, ok := g.enter(named("a"), noon, ofOne("x"))
	if !ok {
		t.Fatal("an empty gate turned the first one away")
	}
	for _, late := range []string{"b", "c", "b"} {
		if _, ok := g.enter(named(late), noon, ofOne("x")); ok {
			t.Fatalf("%s entered a full gate", late)
		}
	}
	leave()
	if want := []string{"b"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v: one place, one wake-up, longest waiter first", *woken, want)
	}
	leave, ok = g.enter(named("b"), noon, ofOne("x"))
	if !ok {
		t.Fatal("the woken one found no place")
	}
	leave()
	if want := []string{"b", "c"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v", *woken, want)
	}
}

func TestGateWakesFirstWhoNeedsATokenFirst(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	leave, _ := g.enter(named("inside"), noon, ofOne("x"))
	for _, w := range []struct {
		name     string
		neededBy time.Time
	}{
		{"late", noon.Add(time.Hour)}, {"soon", noon.Add(time.Minute)}, {"expired", noon.Add(-time.Minute)}, {"soon too", noon.Add(time.Minute)},
	} {
		if _, ok := g.enter(named(w.name), w.neededBy, ofOne("x")); ok {
			t.Fatalf("%s entered a full gate", w.name)
		}
	}
	want := []string{"expired", "soon", "soon too", "late"}
	for _, name := range want {
		leave()
		leave, _ = g.enter(named(name), noon, ofOne("x"))
	}
	leave()
	if !slices.Equal(*woken, want) {
		t.Errorf("woken %q, want %q: among equals who came first", *woken, want)
	}
}

func TestGateKeepsAPlaceForWhoIsWoken(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	leave, _ := g.enter(named("a"), noon, ofOne("x"))
	g.enter(named("b"), noon, ofOne("x"))
	leave()
	if _, ok := g.enter(named("hasty"), noon.Add(-time.Hour), ofOne("x")); ok {
		t.Fatal("somebody took the place of who was woken")
	}
	if leave, ok := g.enter(named("b"), noon, ofOne("x")); !ok {
		t.Fatal("who was woken found no place")
	} else {
		leave()
	}
	if want := []string{"b", "hasty"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v", *woken, want)
	}
}

func TestGatePassesOnAPlaceThatAPassDidNotTake(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	leave, _ := g.enter(named("a"), noon, ofOne("x"))
	for _, name := range []string{"b", "c"} {
		g.enter(named(name), noon, ofOne("x"))
	}
	leave()
	g.turn(named("b"))() // it was suspended, perhaps
	if want := []string{"b", "c"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v", *woken, want)
	}
}

// A pass that is turned away has a status to write yet, and its turn may come meanwhile.
func TestGateKeepsAPlaceThatBecameFreeDuringThePass(t *testing.T) {
	g, woken := newTestGate(1, 0, 0)
	leave, _ := g.enter(named("a"), noon, ofOne("x"))
	end := g.turn(named("b"))
	g.enter(named("b"), noon, ofOne("x"))
	g.enter(named("c"), noon, ofOne("x"))
	leave()
	end()
	if want := []string{"b"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v: b has not had the pass for which it was woken", *woken, want)
	}
	end = g.turn(named("b"))
	defer end()
	if _, ok := g.enter(named("b"), noon, ofOne("x")); !ok {
		t.Error("the pass for which b was woken found no place")
	}
}

func TestGateWakesNobodyForWhomOneOfItsRoomsIsFull(t *testing.T) {
	here, there, tenant := room{ofServer, "here"}, room{ofServer, "there"}, room{ofNamespace, "n"}
	g, woken := newTestGate(0, 1, 2)
	leaveHere, _ := g.enter(named("here"), noon, here, tenant)
	leaveThere, _ := g.enter(named("there"), noon, there, tenant)
	g.enter(named("first"), noon, here, tenant)
	g.enter(named("second"), noon.Add(time.Minute), there, tenant)
	leaveThere()
	if want := []string{"second"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v: the server of the first has no place", *woken, want)
	}
	leaveHere()
	if want := []string{"second", "first"}; !slices.Equal(*woken, want) {
		t.Fatalf("woken %v, want %v", *woken, want)
	}
	for name, server := range map[string]room{"first": here, "second": there} {
		if _, ok := g.enter(named(name), noon, server, tenant); !ok {
			t.Errorf("%s was woken and found no place", name)
		}
	}
}

// A Secret Server may be proven meanwhile, or the session's endpoint be another.
func TestGateLetsWhoWasWokenAskForOtherRooms(t *testing.T) {
	here, there, unproven := room{ofServer, "here"}, room{ofServer, "there"}, room{ofNamespace, "unproven"}
	g, woken := newTestGate(0, 1, 1)
	leave, _ := g.enter(named("a"), noon, here, unproven)
	g.enter(named("b"), noon, here, unproven)
	g.enter(named("c"), noon, here)
	g.enter(named("d"), noon, room{ofServer, "elsewhere"}, unproven)
	leave()
	if _, ok := g.enter(named("b"), noon, there); !ok {
		t.Fatal("another room had a place")
	}
	if want := []string{"b", "c", "d"}; !slices.Equal(*woken, want) {
		t.Errorf("woken %v, want %v: what was kept for b is free", *woken, want)
	}
}

func TestGateKeepsKeysApart(t *testing.T) {
	g, _ := newTestGate(1, 0, 0)
	if _, ok := g.enter(named("a"), noon, ofOne("one")); !ok {
		t.Fatal("first key full")
	}
	if _, ok := g.enter(named("b"), noon, ofOne("two")); !ok {
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
		leave, ok := g.enter(n, noon, ofOne("x"))
		if !ok {
			return false
		}
		mu.Lock()
		inside++
		most = max(most, inside)
		mu.Unlock()
		mu.Lock()
		inside--
		mu.Unlock()
		leave()
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
		if g := c.gate; len(g.rooms)+len(g.waiting)+len(g.kept) > 0 {
			t.Errorf("%d rooms, %d who wait and %d places are kept for nobody", len(g.rooms), len(g.waiting), len(g.kept))
		}
	})
}

// crowd is who comes to a gate of servers and namespaces.
type crowd struct {
	gate   *gate
	wants  map[types.NamespacedName][]room
	queue  []types.NamespacedName // for a pass
	inside map[types.NamespacedName]func()
	been   map[types.NamespacedName]bool // inside, or not interested any more
}

func newCrowd(t *rapid.T) *crowd {
	c := &crowd{wants: map[types.NamespacedName][]room{}, inside: map[types.NamespacedName]func(){}, been: map[types.NamespacedName]bool{}}
	few := rapid.IntRange(1, 3)
	c.gate = newGate(map[roomKind]int{ofServer: few.Draw(t, "servers' places"), ofNamespace: few.Draw(t, "namespaces' places")},
		func(n types.NamespacedName) { c.queue = append(c.queue, n) })
	for i := range rapid.IntRange(1, 12).Draw(t, "sessions") {
		n := named(strconv.Itoa(i))
		c.wants[n] = []room{
			{ofServer, rapid.StringMatching("[ab]").Draw(t, "server")},
			{ofNamespace, rapid.StringMatching("[xy]").Draw(t, "namespace")},
		}
		c.queue = append(c.queue, n)
	}
	return c
}

func (c *crowd) leave(t *rapid.T) {
	names := slices.SortedFunc(maps.Keys(c.inside), func(a, b types.NamespacedName) int { return strings.Compare(a.Name, b.Name) })
	who := rapid.SampledFrom(names).Draw(t, "who leaves")
	leave := c.inside[who]
	delete(c.inside, who)
	leave()
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
	_, promised := c.gate.kept[who]
	neededBy := noon.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "needed after minutes")) * time.Minute)
	leave, ok := c.gate.enter(who, neededBy, c.wants[who]...)
	if ok {
		c.inside[who], c.been[who] = leave, true
	} else if promised {
		t.Fatalf("%s was woken and found no place", who.Name)
	}
}

func (c *crowd) check(t *rapid.T) {
	count := map[room]int{}
	for who := range c.inside {
		for _, r := range c.wants[who] {
			count[r]++
		}
	}
	for r, n := range count {
		if most := c.gate.capacity[r.kind]; n > most {
			t.Fatalf("%d in %v, which holds %d", n, r, most)
		}
	}
	for who, w := range c.gate.waiting {
		if c.gate.admits(w.rooms) {
			t.Fatalf("%s waits, and there is a place in all its rooms", who.Name)
		}
	}
}
