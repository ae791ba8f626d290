package controllers

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// gate lets a bounded number of passes through per key at a time: one login per account, so that a wrong password
// costs one bad login and not one per session; a few requests per Secret Server. Nobody waits inside: who is turned
// away leaves its worker to others and is woken, in the order of arrival, when a place is free.
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
	waiting []types.NamespacedName
}

func newGate(capacity int, wake func(types.NamespacedName)) *gate {
	return &gate{capacity: capacity, wake: wake, rooms: map[string]*room{}, woken: map[types.NamespacedName]string{}}
}

// enter reports whether who may pass. If so, leave must be called once; if not, who will be woken.
func (g *gate) enter(key string, who types.NamespacedName) (leave func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rooms[key]
	if r == nil {
		r = &room{}
		g.rooms[key] = r
	}
	if r.inside >= g.capacity {
		if !slices.Contains(r.waiting, who) {
			r.waiting = append(r.waiting, who)
		}
		return nil, false
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(w types.NamespacedName) bool { return w == who })
	if g.woken[who] == key {
		delete(g.woken, who)
	}
	r.inside++
	return func() { g.leave(key) }, true
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

// wakeNext wakes the one who has waited longest, if there is a place.
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
	next := r.waiting[0]
	r.waiting = r.waiting[1:]
	g.woken[next] = key
	return next, true
}
