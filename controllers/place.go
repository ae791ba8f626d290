package controllers

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// place is one in each of some rooms. It is one pass's, or kept for one.
type place struct {
	gate  *gate
	rooms []room
}

// extend adds an account to the place of who, instead of any other. If somebody else has it, the place is given up, who will be woken
// when there is one in all the rooms, and the result is false.
func (p *place) extend(who types.NamespacedName, neededBy time.Time, account room) bool {
	g := p.gate
	freed := p.rooms
	wanted := slices.DeleteFunc(slices.Clone(p.rooms), func(r room) bool { return r.kind == ofAccount })
	wanted = append(wanted, account)
	p.rooms = nil
	g.mu.Lock()
	g.vacate(freed)
	if g.admits(wanted) {
		g.take(wanted)
		p.rooms = wanted
	} else {
		g.wait(errand{NamespacedName: who}, neededBy, wanted)
	}
	g.wakeUnlock(g.fill(freed))
	return p.rooms != nil
}

// add takes a place in one room more, if there is one. What is waited for never counts it; see extend.
func (p *place) add(r room) {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if more := []room{r}; !p.has(r) && g.admits(more) {
		g.take(more)
		p.rooms = append(slices.Clone(p.rooms), r)
	}
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
