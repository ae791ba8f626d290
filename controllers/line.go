package controllers

import (
	"slices"
	"time"
)

// mostRooms is how many rooms somebody may need at a time.
const mostRooms = 4

// line is of those who wait for the same rooms. As long as there is a place in all of them, nobody does. Nobody holds one room
// while it waits for another, so no room stands empty for somebody who waits elsewhere.
type line struct {
	rooms   []room
	spaces  []*occupancy // of the rooms
	waiting []*waiter    // in the order of their turns
}

// waiter is who waits at a gate.
type waiter struct {
	errand

	neededBy time.Time
	number   uint64 // rises with each who comes
	line     *line
	asked    int // how often it was turned away since
}

// before reports whether it is this one's turn before the other's.
func (w *waiter) before(other *waiter) bool {
	if w.neededBy.Equal(other.neededBy) {
		return w.number < other.number
	}
	return w.neededBy.Before(other.neededBy)
}

// admitted reports whether there is a place in all rooms that the line is for.
func (l *line) admitted() bool { return !slices.ContainsFunc(l.spaces, (*occupancy).full) }

// wait puts an errand into the line for these rooms. Who is in it already keeps its place.
func (g *gate) wait(e errand, neededBy time.Time, rooms []room) {
	if was := g.waiting[e]; was != nil && was.neededBy.Equal(neededBy) && slices.Equal(was.line.rooms, rooms) {
		was.asked++
		return
	}
	g.forget(e)
	g.came++
	w := &waiter{errand: e, neededBy: neededBy, number: g.came}
	g.waiting[e] = w
	g.open(rooms).join(w)
}

// join puts a waiter where it belongs by its turn.
func (l *line) join(w *waiter) {
	at, _ := slices.BinarySearchFunc(l.waiting, w, func(other, w *waiter) int {
		if w.before(other) {
			return 1
		}
		return -1
	})
	l.waiting = slices.Insert(l.waiting, at, w)
	w.line = l
}

// relieve lets those who wait for a room go on without another, which it seems they do not need: else each would learn so no sooner than
// when it asks again. Who needs it all the same asks for it then.
func (g *gate) relieve(at, of room) {
	g.mu.Lock()
	if o := g.rooms[at]; o != nil {
		for _, l := range slices.Clone(o.lines) {
			if slices.Contains(l.rooms, of) {
				g.reroute(l, slices.DeleteFunc(slices.Clone(l.rooms), func(r room) bool { return r == of }))
			}
		}
	}
	g.wakeUnlock(g.fill([]room{at}))
}

// reroute has those in a line wait for these rooms.
func (g *gate) reroute(l *line, rooms []room) {
	waiting := l.waiting
	l.waiting = nil
	g.close(l)
	to := g.open(rooms)
	for _, w := range waiting {
		to.join(w)
	}
}

// forget ends the waiting of an errand.
func (g *gate) forget(e errand) {
	if w := g.waiting[e]; w != nil {
		delete(g.waiting, e)
		w.line.waiting = slices.DeleteFunc(w.line.waiting, func(other *waiter) bool { return other == w })
		g.close(w.line)
	}
}

// open returns the line for these rooms.
func (g *gate) open(rooms []room) *line {
	var key [mostRooms]room
	copy(key[:], rooms)
	l := g.lines[key]
	if l == nil {
		l = &line{rooms: rooms}
		g.lines[key] = l
		for _, r := range rooms {
			o := g.at(r)
			o.lines = append(o.lines, l)
			l.spaces = append(l.spaces, o)
		}
	}
	return l
}

// close forgets a line if nobody waits in it any more.
func (g *gate) close(l *line) {
	if len(l.waiting) > 0 {
		return
	}
	var key [mostRooms]room
	copy(key[:], l.rooms)
	delete(g.lines, key)
	for i, o := range l.spaces {
		o.lines = slices.DeleteFunc(o.lines, func(other *line) bool { return other == l })
		g.tidy(l.rooms[i])
	}
}

// next is the line to any of these rooms whose turn it is: of those with a place in all that they want, that of who needs a token
// first.
func (g *gate) next(rooms []room) *line {
	var first *line
	for _, r := range rooms {
		o := g.rooms[r]
		if o == nil || o.full() {
			continue
		}
		for _, l := range o.lines {
			if (first == nil || l.waiting[0].before(first.waiting[0])) && l.admitted() {
				first = l
			}
		}
	}
	return first
}
