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
// it until its next pass is over, so that nobody is woken for nothing. Of those with a place in all their rooms, who needs a token
// first goes first, and among equals who has waited in its line for longest. As that is a fixed time, everybody's turn comes, once all
// its rooms have a place at a time.
type gate struct {
	capacity map[roomKind]int
	wake     func(types.NamespacedName)

	mu    sync.Mutex
	rooms map[room]*occupancy
	lines map[[mostRooms]room]*line
	// waiting are those who were turned away, kept the places of those who were woken and have not entered yet.
	waiting map[errand]*waiter
	kept    map[errand]*place
	came    uint64 // to wait, ever
}

// errand is what a session comes for: a grant or a verification, or a revocation. It may wait for both, and while it is at a grant,
// for nothing else: that may take long, and what is kept for it meanwhile would stand empty.
type errand struct {
	types.NamespacedName

	revokes bool
}

func newGate(capacity map[roomKind]int, wake func(types.NamespacedName)) *gate {
	return &gate{
		capacity: capacity, wake: wake,
		rooms:   map[room]*occupancy{},
		lines:   map[[mostRooms]room]*line{},
		waiting: map[errand]*waiter{},
		kept:    map[errand]*place{},
	}
}

// waits is how many wait for a place.
func (g *gate) waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// enter takes a place in all of these rooms for who, which needs a token by then, and which must leave it. It returns nil if one of
// them is full: then who will be woken.
func (g *gate) enter(who types.NamespacedName, neededBy time.Time, rooms ...room) *place {
	e := errand{who, slices.Contains(rooms, room{kind: ofRevocation})}
	g.mu.Lock()
	var freed []room
	taken := g.kept[e]
	if taken != nil && slices.Equal(taken.rooms, rooms) {
		delete(g.kept, e)
	} else {
		freed = g.giveBack(e)
		taken = g.tryTake(e, neededBy, rooms)
	}
	if taken != nil && !e.revokes {
		other := errand{who, true}
		g.forget(other)
		freed = slices.Concat(freed, g.giveBack(other))
	}
	g.wakeUnlock(g.fill(freed))
	return taken
}

// tryTake takes a place in all of these rooms, or puts the errand into the line for them.
func (g *gate) tryTake(e errand, neededBy time.Time, rooms []room) *place {
	if !g.admits(rooms) {
		g.wait(e, neededBy, rooms)
		return nil
	}
	g.forget(e)
	g.take(rooms)
	return &place{g, rooms}
}

// turn begins a pass of who. The result ends it. The place that was kept for that pass, if it has not been taken, goes to the next;
// one that has been kept since will have a pass of its own, for which who was woken. And who waited and has not asked again
// does not wait any more.
func (g *gate) turn(who types.NamespacedName) (end func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ends := [...]func() []room{g.turnOf(errand{who, false}), g.turnOf(errand{who, true})}
	return func() {
		g.mu.Lock()
		var freed []room
		for _, end := range ends {
			freed = append(freed, end()...)
		}
		g.wakeUnlock(g.fill(freed))
	}
}

// turnOf is the turn of an errand. Its end returns the rooms that are free by that.
func (g *gate) turnOf(e errand) (end func() []room) {
	kept, waited := g.kept[e], g.waiting[e]
	asked := 0
	if waited != nil {
		asked = waited.asked
	}
	return func() []room {
		if waited != nil && g.waiting[e] == waited && waited.asked == asked {
			g.forget(e)
		}
		if kept != nil && g.kept[e] == kept {
			return g.giveBack(e)
		}
		return nil
	}
}

// giveBack ends the keeping of a place, and returns the rooms where it was.
func (g *gate) giveBack(e errand) []room {
	mine := g.kept[e]
	if mine == nil {
		return nil
	}
	delete(g.kept, e)
	g.vacate(mine.rooms)
	return mine.rooms
}

// fill keeps what is free in these rooms for those whose turn it is, and returns whom to wake for it.
func (g *gate) fill(rooms []room) (woken []types.NamespacedName) {
	for l := g.next(rooms); l != nil; l = g.next(rooms) {
		w := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		delete(g.waiting, w.errand)
		g.take(l.rooms)
		g.close(l)
		g.kept[w.errand] = &place{g, l.rooms}
		woken = append(woken, w.NamespacedName)
	}
	for _, r := range rooms {
		g.tidy(r)
	}
	return woken
}

// wakeUnlock wakes these once others may enter.
func (g *gate) wakeUnlock(names []types.NamespacedName) {
	g.mu.Unlock()
	for _, name := range names {
		g.wake(name)
	}
}
