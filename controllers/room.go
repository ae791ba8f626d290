package controllers

import "slices"

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

// occupancy is who is in a room, those included for whom a place is kept, and the lines of those who want one.
type occupancy struct {
	inside, capacity int
	lines            []*line
}

func (o *occupancy) full() bool { return o.inside >= o.capacity }

// admits reports whether there is a place in all of these rooms.
func (g *gate) admits(rooms []room) bool {
	return !slices.ContainsFunc(rooms, func(r room) bool {
		o := g.rooms[r]
		return o != nil && o.full()
	})
}

// take takes a place in each of these rooms, where there is one.
func (g *gate) take(rooms []room) {
	for _, r := range rooms {
		g.at(r).inside++
	}
}

// vacate gives it up. Who does that fills the rooms again; see fill.
func (g *gate) vacate(rooms []room) {
	for _, r := range rooms {
		g.rooms[r].inside--
	}
}

// at is who is in a room.
func (g *gate) at(r room) *occupancy {
	o := g.rooms[r]
	if o == nil {
		o = &occupancy{capacity: g.capacity[r.kind]}
		g.rooms[r] = o
	}
	return o
}

// tidy forgets a room where nobody is, and which nobody waits for.
func (g *gate) tidy(r room) {
	if o := g.rooms[r]; o != nil && o.inside == 0 && len(o.lines) == 0 {
		delete(g.rooms, r)
	}
}
