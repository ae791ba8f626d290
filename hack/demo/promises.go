package main

import (
	"fmt"
	"strings"
	"time"
)

// A promise is something that the demo undertakes to show.
type promise int

const (
	login promise = iota
	refreshes
	fallBack
	repair
	acceptance
	numPromises
)

// promises keep what was promised beside what was seen.
type promises struct {
	start time.Time
	kept  [numPromises]sightings
	tries int // of tokens at Secret Server; kept[acceptance] counts those that it accepted
}

// sightings count how often something was seen, and hold the first of it.
type sightings struct {
	count   int
	session string
	at      time.Time
	remark  string
}

func newPromises(start time.Time) *promises { return &promises{start: start} }

func (p *promises) keep(what promise, session string, at time.Time, remark string) {
	k := &p.kept[what]
	if k.count == 0 {
		k.session, k.at, k.remark = session, at, remark
	}
	k.count++
}

// try counts a token that was used at Secret Server.
func (p *promises) try(session string, at time.Time, ok bool) {
	p.tries++
	if ok {
		p.keep(acceptance, session, at, "")
	}
}

// holds reports whether a promise is kept.
func (p *promises) holds(what promise) bool {
	return p.kept[what].count > 0 && (what != acceptance || p.kept[what].count == p.tries)
}

// open are the promises that are not kept, in words.
func (p *promises) open() []string {
	var open []string
	for what := range numPromises {
		if !p.holds(what) {
			open = append(open, what.text())
		}
	}
	return open
}

func (what promise) text() string {
	return [numPromises]string{
		login:      "a login with the password",
		refreshes:  fmt.Sprintf("%d refreshes after one login", refreshLimit),
		fallBack:   "a fall-back login at the refresh limit",
		repair:     "a deleted target that comes back",
		acceptance: "Secret Server accepts each token",
	}[what]
}

func (p *promises) seen(what promise) string {
	k := p.kept[what]
	switch {
	case what == acceptance:
		return fmt.Sprintf("%d of %d", k.count, p.tries)
	case k.count == 0:
		return ""
	}
	times := fmt.Sprintf("%d times, first", k.count)
	if k.count == 1 {
		times = "once,"
	}
	return strings.TrimSpace(fmt.Sprintf("%s at %.1f s (%s) %s", times, k.at.Sub(p.start).Seconds(), k.session, k.remark))
}

// table shows each promise beside what was seen.
func (p *promises) table() string {
	var table strings.Builder
	row := func(columns ...any) {
		table.WriteString(strings.TrimRight(fmt.Sprintf("%-39s  %-4s  %s", columns...), " ") + "\n")
	}
	row("PROMISE", "SEEN", "")
	for what := range numPromises {
		yes := "no"
		if p.holds(what) {
			yes = "yes"
		}
		row(what.text(), yes, p.seen(what))
	}
	return table.String()
}
