package controllers

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// gate lets a bounded number of passes at a time into each of its rooms: one login per account, so that a wrong password
// costs one bad login and not one per session; a few requests per Secret Server. Nobody waits inside: who is turned away
// leaves its worker to others, and is woken when there is a place in all the rooms that it asked for. That place is kept for
// it until its next pass is over, so that nobody is woken for nothing. Who needs a token first goes first, and among equals who
// came first. As that is a fixed time, everybody's turn comes. Who needs several rooms must ask for all at once: of two who have
// one each and wait for the other's, none would ever have both.
type gate struct {
	capacity map[roomKind]int
	wake     func(types.NamespacedName)

	mu    sync.Mutex
	rooms map[room]*occupancy
	// waiting are those who were turned away, kept the places of those who were woken and have not entered yet.
	waiting map[types.NamespacedName]waiter
	kept    map[types.NamespacedName]*place
}

// room is where passes of one kind meet: at an account, at a Secret Server.
type room struct {
	kind roomKind
	key  string
}

type roomKind uint8

const (
	ofAccount    roomKind = iota // logins
	ofServer                     // requests to one Secret Server
	ofNamespace                  // requests of one namespace's sessions
	ofUnproven                   // requests to all Secret Servers that are not known to answer
	ofRevocation                 // revocations everywhere
)

// occupancy is who is in a room, those included for whom a place is kept, and who waits for it. As long as there is a place,
// nobody waits.
type occupancy struct {
	inside  int
	waiting []waiter // in the order of their turns
}

// waiter is who waits at a gate. It stands before one room that is full, whichever others it asked for.
type waiter struct {
	name     types.NamespacedName
	neededBy time.Time
	rooms    []room
	before   room
}

// place is one in each of some rooms. It is one pass's, or kept for one.
type place struct {
	gate  *gate
	rooms []room
}

func newGate(capacity map[roomKind]int, wake func(types.NamespacedName)) *gate {
	return &gate{
		capacity: capacity, wake: wake,
		rooms:   map[room]*occupancy{},
		waiting: map[types.NamespacedName]waiter{},
		kept:    map[types.NamespacedName]*place{},
	}
}

// enter takes a place in all of these rooms for who, which needs a token by then, and which must leave it. It returns nil if one of
// them is full: then who will be woken.
func (g *gate) enter(who types.NamespacedName, neededBy time.Time, rooms ...room) *place {
	g.mu.Lock()
	freed := g.giveBack(who)
	var taken *place
	if g.admits(rooms) {
		g.forget(who)
		g.take(rooms)
		taken = &place{g, rooms}
	} else {
		g.wait(waiter{name: who, neededBy: neededBy, rooms: rooms})
	}
	g.wakeUnlock(g.fill(freed))
	return taken
}

// extend adds a room to the place of who. If it is full, the place is given up, who will be woken when there is one in all of them,
// and the result is false.
func (p *place) extend(who types.NamespacedName, neededBy time.Time, r room) bool {
	g, before := p.gate, p.rooms
	all := append(slices.Clone(before), r)
	g.mu.Lock()
	if !g.full(r) {
		g.take([]room{r})
		p.rooms = all
		g.mu.Unlock()
		return true
	}
	p.rooms = nil
	g.vacate(before)
	g.wait(waiter{name: who, neededBy: neededBy, rooms: all})
	g.wakeUnlock(g.fill(before))
	return false
}

// has reports whether the place is one in this room too.
func (p *place) has(r room) bool { return slices.Contains(p.rooms, r) }

// leave gives the place up, but in rooms of the kinds that are named. To leave twice does no harm.
func (p *place) leave(but ...roomKind) {
	var left, stays []room
	for _, r := range p.rooms {
		if slices.Contains(but, r.kind) {
			stays = append(stays, r)
		} else {
			left = append(left, r)
		}
	}
	p.rooms = stays
	g := p.gate
	g.mu.Lock()
	g.vacate(left)
	g.wakeUnlock(g.fill(left))
}

// turn begins a pass of who. The result ends it: the place that was kept for that pass, if it has not been taken, goes to the next.
// One that has been kept since will have a pass of its own, for which who was woken.
func (g *gate) turn(who types.NamespacedName) (end func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mine := g.kept[who]
	if mine == nil {
		return func() {}
	}
	return func() {
		g.mu.Lock()
		var freed []room
		if g.kept[who] == mine {
			freed = g.giveBack(who)
		}
		g.wakeUnlock(g.fill(freed))
	}
}

// wakeUnlock wakes these once others may enter.
func (g *gate) wakeUnlock(names []types.NamespacedName) {
	g.mu.Unlock()
	for _, name := range names {
		g.wake(name)
	}
}

// giveBack ends the keeping of who's place, and returns the rooms where it was.
func (g *gate) giveBack(who types.NamespacedName) []room {
	mine := g.kept[who]
	if mine == nil {
		return nil
	}
	delete(g.kept, who)
	g.vacate(mine.rooms)
	return mine.rooms
}

func (g *gate) full(r room) bool {
	o := g.rooms[r]
	return o != nil && o.inside >= g.capacity[r.kind]
}

func (g *gate) admits(rooms []room) bool { return !slices.ContainsFunc(rooms, g.full) }

func (g *gate) take(rooms []room) {
	for _, r := range rooms {
		g.at(r).inside++
	}
}

func (g *gate) vacate(rooms []room) {
	for _, r := range rooms {
		g.rooms[r].inside--
	}
}

func (g *gate) at(r room) *occupancy {
	o := g.rooms[r]
	if o == nil {
		o = &occupancy{}
		g.rooms[r] = o
	}
	return o
}

// wait puts w before the first of its rooms that is full. Who waits already keeps its place in the order.
func (g *gate) wait(w waiter) {
	if was, ok := g.waiting[w.name]; ok {
		if was.neededBy.Equal(w.neededBy) && slices.Equal(was.rooms, w.rooms) {
			return
		}
		g.forget(w.name)
	}
	w.before = w.rooms[slices.IndexFunc(w.rooms, g.full)]
	g.waiting[w.name] = w
	o := g.at(w.before)
	at, _ := slices.BinarySearchFunc(o.waiting, w, func(other, w waiter) int {
		if other.neededBy.After(w.neededBy) {
			return 1
		}
		return -1 // also of the same time: behind those who came before
	})
	o.waiting = slices.Insert(o.waiting, at, w)
}

// forget ends the waiting of who.
func (g *gate) forget(who types.NamespacedName) {
	if w, ok := g.waiting[who]; ok {
		delete(g.waiting, who)
		o := g.rooms[w.before]
		o.waiting = slices.DeleteFunc(o.waiting, func(w waiter) bool { return w.name == who })
	}
}

// fill keeps what is free in these rooms for those whose turn it is, and returns them.
func (g *gate) fill(rooms []room) (woken []types.NamespacedName) {
	for _, r := range rooms {
		o := g.rooms[r]
		for o != nil && !g.full(r) && len(o.waiting) > 0 {
			next := o.waiting[0]
			o.waiting[0] = waiter{} // what it points to
			o.waiting = o.waiting[1:]
			delete(g.waiting, next.name)
			if !g.admits(next.rooms) {
				g.wait(next) // before another of its rooms
				continue
			}
			g.take(next.rooms)
			g.kept[next.name] = &place{g, next.rooms}
			woken = append(woken, next.name)
		}
		if o != nil && o.inside == 0 {
			delete(g.rooms, r)
		}
	}
	return woken
}
