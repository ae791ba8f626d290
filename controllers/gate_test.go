package controllers

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "n", Name: name}
}

func TestGateTurnsAwayWhoFindsNoPlaceAndWakesThemInOrder(t *testing.T) {
	var woken []string
	g := newGate(1, func(n types.NamespacedName) { woken = append(woken, n.Name) })

	leave, ok := g.enter("account", named("a"), time.Time{})
	if !ok {
		t.Fatal("an empty gate turned the first one away")
	}
	for _, late := range []string{"b", "c", "b"} {
		if _, ok := g.enter("account", named(late), time.Time{}); ok {
			t.Fatalf("%s entered a full gate", late)
		}
	}
	leave()
	if want := []string{"b"}; !slices.Equal(woken, want) {
		t.Fatalf("woken %v, want %v: one place, one wake-up, longest waiter first", woken, want)
	}
	leave, ok = g.enter("account", named("b"), time.Time{})
	if !ok {
		t.Fatal("the woken one found no place")
	}
	leave()
	if want := []string{"b", "c"}; !slices.Equal(woken, want) {
		t.Fatalf("woken %v, want %v", woken, want)
	}
}

func TestGateWakesTheNearestExpiryFirst(t *testing.T) {
	var woken []string
	g := newGate(1, func(n types.NamespacedName) { woken = append(woken, n.Name) })
	leave, _ := g.enter("key", named("inside"), noon)
	for _, w := range []struct {
		name    string
		expires time.Time
	}{
		{"late", noon.Add(time.Hour)}, {"soon", noon.Add(time.Minute)}, {"expired", noon.Add(-time.Minute)},
		{"none", time.Time{}}, {"soon too", noon.Add(time.Minute)}, {"none either", time.Time{}},
	} {
		if _, ok := g.enter("key", named(w.name), w.expires); ok {
			t.Fatalf("%s entered a full gate", w.name)
		}
	}
	want := []string{"none", "none either", "expired", "soon", "soon too", "late"}
	for _, name := range want {
		leave()
		leave, _ = g.enter("key", named(name), noon)
	}
	leave()
	if !slices.Equal(woken, want) {
		t.Errorf("woken %q, want %q: who has no token first, among equals who came first", woken, want)
	}
}

func TestGateKeepsKeysApart(t *testing.T) {
	g := newGate(1, func(types.NamespacedName) {})
	if _, ok := g.enter("one", named("a"), time.Time{}); !ok {
		t.Fatal("first key full")
	}
	if _, ok := g.enter("two", named("b"), time.Time{}); !ok {
		t.Error("another key's holder was counted")
	}
}

func TestGateForgetsKeysThatNobodyUses(t *testing.T) {
	g := newGate(2, func(types.NamespacedName) {})
	for _, key := range []string{"x", "y"} {
		leave, _ := g.enter(key, named("a"), time.Time{})
		leave()
	}
	if len(g.rooms) != 0 {
		t.Errorf("%d rooms kept for keys that nobody uses: memory grows with each account that ever was", len(g.rooms))
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
	g := newGate(capacity, func(n types.NamespacedName) { wake <- n })
	visit := func(n types.NamespacedName) bool {
		leave, ok := g.enter("key", n, time.Time{})
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
