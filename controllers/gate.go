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
}

type room struct {
	inside  int
	waiting []types.NamespacedName
}

func newGate(capacity int, wake func(types.NamespacedName)) *gate {
	return &gate{capacity: capacity, wake: wake, rooms: map[string]*room{}}
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
	r.inside++
	return func() { g.leave(key) }, true
}

func (g *gate) leave(key string) {
	next, ok := g.free(key)
	if ok {
		g.wake(next)
	}
}

// free gives a place back and names the one who has waited longest.
func (g *gate) free(key string) (types.NamespacedName, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rooms[key]
	r.inside--
	if len(r.waiting) > 0 {
		next := r.waiting[0]
		r.waiting = r.waiting[1:]
		return next, true
	}
	if r.inside == 0 {
		delete(g.rooms, key)
	}
	return types.NamespacedName{}, false
}
