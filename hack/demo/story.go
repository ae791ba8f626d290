package main

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// A story makes of what is observed the lines to show, the promises kept, and what the demo itself does next. It is pure:
// the same observations give the same story.
//
// What it says of logins and refreshes comes from the two ends, the Secret that pods mount and the books of the server
// that issued the token in it, and not from what the operator says of itself.
type story struct {
	promises *promises
	sessions map[string]*chapter
	acts     []act
	deleted  bool // the demo has deleted a target, or is about to
}

// A chapter is the story of one session.
type chapter struct {
	secret    string    // the target
	uid       types.UID // of the target
	token     token     // the last in it that the server had issued
	logins    int
	refreshes int       // since the last login
	lost      time.Time // when the target was deleted or altered; zero while it is in order
	deleted   types.UID // of the target that was lost; "" if it was altered
	ready     string    // condition and reason last told
}

// An act is something that the demo does itself.
type act struct {
	deed            deed
	session, secret string
	token           token
}

type deed string

const (
	tryToken     deed = "try" // use the token at Secret Server, as a pod would
	deleteTarget deed = "delete"
)

func newStory(p *promises) *story {
	return &story{promises: p, sessions: map[string]*chapter{}}
}

// next is what is to be done now, once; false: nothing.
func (s *story) next() (act, bool) {
	if len(s.acts) == 0 {
		return act{}, false
	}
	a := s.acts[0]
	s.acts = s.acts[1:]
	return a, true
}

// tell returns the lines that an observation is worth, often none.
func (s *story) tell(o observation) []line {
	switch o := o.(type) {
	case targetSeen:
		return s.target(o)
	case targetGone:
		return s.gone(o)
	case targetDeletion:
		s.chapter(o.session).lose(o.when())
		return []line{{o.when(), o.session, "delete", "the demo deletes Secret " + o.secret, notable}}
	case sessionSeen:
		return s.status(o)
	case sessionGone:
		delete(s.sessions, o.session)
		return []line{{o.when(), o.session, "deleted", "somebody deleted the session; its Secrets go with it", notable}}
	case tokenTried:
		return s.tried(o)
	}
	return nil
}

func (s *story) chapter(session string) *chapter {
	c := s.sessions[session]
	if c == nil {
		c = &chapter{}
		s.sessions[session] = c
	}
	return c
}

// lose notes that the target is deleted, or about to be.
func (c *chapter) lose(at time.Time) { c.lost, c.deleted = at, c.uid }

func (s *story) target(o targetSeen) []line {
	c := s.chapter(o.session)
	if !c.lost.IsZero() && o.uid == c.deleted {
		return nil // what was seen on the way to its end
	}
	c.secret, c.uid = o.secret, o.uid
	if !o.grant.known() {
		if c.lost.IsZero() {
			c.lost = o.when()
		}
		return []line{{o.when(), o.session, "altered", "somebody put another token into Secret " + o.secret, notable}}
	}
	var lines []line
	if !c.lost.IsZero() {
		lines = append(lines, s.repaired(c, o))
	}
	if o.token.fingerprint != c.token.fingerprint {
		lines = append(lines, s.granted(c, o))
		s.acts = append(s.acts, act{deed: tryToken, session: o.session, secret: o.secret, token: o.token})
	}
	return lines
}

func (s *story) repaired(c *chapter, o targetSeen) line {
	after := o.when().Sub(c.lost)
	which := "the same token " + o.token.String()
	if o.token.fingerprint != c.token.fingerprint {
		which = "a new token"
	}
	detail := fmt.Sprintf("Secret %s is back after %.2f s, with %s", o.secret, after.Seconds(), which)
	if c.deleted != "" {
		s.promises.keep(repair, o.session, o.when(), fmt.Sprintf("after %.2f s", after.Seconds()))
	}
	c.lost, c.deleted = time.Time{}, ""
	return line{o.when(), o.session, "repaired", detail, good}
}

// granted tells of a token that is new in the target.
func (s *story) granted(c *chapter, o targetSeen) line {
	change := "token " + o.token.String()
	if c.token.fingerprint != "" {
		change = fmt.Sprintf("token %s -> %s", c.token, o.token)
	}
	if !o.expires.IsZero() {
		change += ", good for " + seconds(o.expires.Sub(o.when()))
	}
	c.token = o.token
	if o.grant.by == secretservertest.Refresh {
		c.refreshes++
		if c.refreshes == refreshLimit {
			s.promises.keep(refreshes, o.session, o.when(), "")
		}
		return line{o.when(), o.session, "refresh", fmt.Sprintf("%d of %d: %s", c.refreshes, refreshLimit, change), plain}
	}
	c.logins++
	s.promises.keep(login, o.session, o.when(), "")
	what := line{o.when(), o.session, "login", fmt.Sprintf("%s with the password: %s", ordinal(c.logins), change), plain}
	if o.grant.refused == secretservertest.LimitReached && c.refreshes == refreshLimit {
		s.promises.keep(fallBack, o.session, o.when(), "")
		what.event, what.tone = "fall-back", notable
		what.detail = fmt.Sprintf("limit of %d refreshes reached, %s login: %s", refreshLimit, ordinal(c.logins), change)
	}
	c.refreshes = 0
	return what
}

func (s *story) gone(o targetGone) []line {
	c := s.chapter(o.session)
	if !c.lost.IsZero() || o.secret != c.secret {
		return nil // told already, or of a session that is gone, or after a change of target.name
	}
	c.lose(o.when())
	return []line{{o.when(), o.session, "deleted", "somebody deleted Secret " + o.secret, notable}}
}

func (s *story) status(o sessionSeen) []line {
	c := s.chapter(o.session)
	now := o.ready + " " + o.reason
	if o.ready == "" || now == c.ready {
		return nil
	}
	c.ready = now
	if o.ready != "True" {
		return []line{{o.when(), o.session, "not ready", fmt.Sprintf("Ready is %s (%s)", o.ready, o.reason), bad}}
	}
	detail := fmt.Sprintf("Ready is True (%s)", o.reason)
	if !o.renewal.IsZero() {
		detail += ", next renewal in " + seconds(o.renewal.Sub(o.when()))
	}
	return []line{{o.when(), o.session, "ready", detail, good}}
}

// tried tells whether a token is any good. The first one that a refresh has brought is also the one whose target the demo
// deletes: its renewal is the farthest away then.
func (s *story) tried(o tokenTried) []line {
	s.promises.try(o.session, o.when(), o.ok)
	if !o.ok {
		return []line{{o.when(), o.session, "refused", fmt.Sprintf("Secret Server does not accept %s: %s", o.token, o.answer), bad}}
	}
	if c := s.chapter(o.session); c.refreshes == 1 && c.lost.IsZero() && !s.deleted {
		s.deleted = true
		s.acts = append(s.acts, act{deed: deleteTarget, session: o.session, secret: c.secret})
	}
	return []line{{o.when(), o.session, "valid", fmt.Sprintf("Secret Server accepts %s: %s", o.token, o.answer), good}}
}

// seconds is a duration to the second, as the status has its times.
func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n, suffix)
}
