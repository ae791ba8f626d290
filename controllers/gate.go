package controllers

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// gate lets a bounded number of passes through per key at a time: one login per account, so that a wrong password
// costs one bad login and not one per session; a few requests per Secret Server. Nobody waits inside: who is turned
// away leaves its worker to others and is woken when a place is free. Whose token expires first goes first, and among
// equals who came first. As an expiry is a fixed time, everybody's turn comes.
type gate struct {
	capacity int
	wake     func(types.NamespacedName)

	mu    sync.Mutex
	rooms map[string]*room
	// woken are those who were woken and have not entered yet, by what they waited for.
	woken map[types.NamespacedName]string
}

type room struct {
	inside  int
	waiting []waiter // in the order of their turns
	known   map[types.NamespacedName]bool
}

// waiter is who waits at a gate.
type waiter struct {
	name    types.NamespacedName
	expires time.Time // of the token in its target; zero: it has none
}

func newGate(capacity int, wake func(types.NamespacedName)) *gate {
	return &gate{capacity: capacity, wake: wake, rooms: map[string]*room{}, woken: map[types.NamespacedName]string{}}
}

// enter reports whether who, whose token expires then, may pass. If so, leave must be called once; if not, who will be
// woken.
func (g *gate) enter(key string, who types.NamespacedName, expires time.Time) (leave func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rooms[key]
	if r == nil {
		r = &room{known: map[types.NamespacedName]bool{}}
		g.rooms[key] = r
	}
	if r.inside >= g.capacity {
		r.wait(waiter{who, expires})
		return nil, false
	}
	r.forget(who)
	if g.woken[who] == key {
		delete(g.woken, who)
	}
	r.inside++
	return func() { g.leave(key) }, true
}

// wait keeps a place in the order of the turns.
func (r *room) wait(w waiter) {
	if r.known[w.name] {
		return
	}
	r.known[w.name] = true
	at, _ := slices.BinarySearchFunc(r.waiting, w, func(other, w waiter) int {
		if other.expires.After(w.expires) {
			return 1
		}
		return -1 // also of the same time: behind those who came before
	})
	r.waiting = slices.Insert(r.waiting, at, w)
}

func (r *room) forget(who types.NamespacedName) {
	if r.known[who] {
		delete(r.known, who)
		r.waiting = slices.DeleteFunc(r.waiting, func(w waiter) bool { return w.name == who })
	}
}

func (g *gate) leave(key string) {
	g.mu.Lock()
	g.rooms[key].inside--
	g.mu.Unlock()
	g.wakeNext(key)
}

// settle ends the turn of who: if it was woken and did not enter after all, the next one is woken.
func (g *gate) settle(who types.NamespacedName) {
	g.mu.Lock()
	key, ok := g.woken[who]
	delete(g.woken, who)
	g.mu.Unlock()
	if ok {
		g.wakeNext(key)
	}
}

// wakeNext wakes the one whose turn it is, if there is a place.
func (g *gate) wakeNext(key string) {
	if next, ok := g.next(key); ok {
		g.wake(next)
	}
}

func (g *gate) next(key string) (types.NamespacedName, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rooms[key]
	if r == nil || r.inside >= g.capacity {
		return types.NamespacedName{}, false
	}
	if len(r.waiting) == 0 {
		if r.inside == 0 {
			delete(g.rooms, key)
		}
		return types.NamespacedName{}, false
	}
	next := r.waiting[0].name
	r.waiting = r.waiting[1:]
	delete(r.known, next)
	g.woken[next] = key
	return next, true
}
