package controllers

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

const (
	// lockoutWindow is how long a bad login counts against an account: Secret Server's default lockout of an hour, and
	// some minutes for clocks that differ.
	lockoutWindow = 65 * time.Minute
	// lockoutBudget is how many bad logins the operator may cause in that time. Secret Server locks an account at the
	// fifth by default.
	lockoutBudget = 4
	// doubtfulAfter so many logins without an answer, another is made only after Secret Server has answered something
	// harmless: a gateway that swallows answers must not use the budget up.
	doubtfulAfter = 2
)

// accounts is the guard against locking an account out. It remembers, for each account, which credentials were refused
// and how many logins may have counted as bad ones, over all sessions that share the account. What a restart must not
// forget, and other shards must know, stands in the sessions' records; recall takes it over.
type accounts struct {
	refusedRetry time.Duration

	mu    sync.Mutex
	known map[string]*account
}

type account struct {
	bad      []badLogin // of this process, within the window, oldest first
	refusals []refusal
	recalled tally
	// taken are the attempts in state Secrets that are counted already, this process's own included.
	taken map[types.UID]time.Time
	// begun is when this process began logins, within the window, oldest first. What it has written of them may stand in
	// a state Secret that it does not know to be there, because the answer to the write was lost.
	begun []time.Time
}

// badLogin may have counted as a bad login: it was refused, or its answer is not known.
type badLogin struct {
	login   fingerprint
	at      time.Time
	refused bool
}

type refusal struct {
	login fingerprint
	at    time.Time
}

// tally is what other processes counted, as far as it still matters.
type tally struct {
	count      int
	unanswered bool
	at         time.Time
}

// verdict is what is known of a login before it is made.
type verdict struct {
	refusedAt time.Time // Secret Server refused this login then; zero: it did not
	heldUntil time.Time // the account must be left alone until then; zero: it need not
	doubtful  bool      // ask something harmless first
}

func newAccounts(refusedRetry time.Duration) *accounts {
	return &accounts{refusedRetry: refusedRetry, known: map[string]*account{}}
}

// verdict judges a login.
func (a *accounts) verdict(name, serverURL string, c secretserver.Credentials, now time.Time) verdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[name]
	if known == nil {
		return verdict{}
	}
	known.prune(now, a.refusedRetry)
	v := verdict{doubtful: known.unanswered() >= doubtfulAfter}
	if r := known.refusalOf(serverURL, c); r != nil {
		v.refusedAt = r.at
	}
	if times := known.times(); len(times) >= lockoutBudget {
		// The account is free again when so many of the oldest have left the window that the rest is within the budget.
		v.heldUntil = times[len(times)-lockoutBudget].Add(lockoutWindow)
	}
	return v
}

// refusalOf returns the fingerprint under which the refusal of this login is known; nil if there is none. Sessions that
// share a refusal store the same bytes, so that it is one refusal.
func (a *accounts) refusalOf(name, serverURL string, c secretserver.Credentials) fingerprint {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.known[name]; known != nil {
		if r := known.refusalOf(serverURL, c); r != nil {
			return r.login
		}
	}
	return nil
}

// begin counts a login that is about to be made as bad, and returns how many of the account's are.
func (a *accounts) begin(name string, login fingerprint, now time.Time) (bad int) {
	return a.change(name, now, func(known *account) {
		known.bad = append(known.bad, badLogin{login: login, at: now})
		known.begun = append(known.begun, now.UTC())
	})
}

// refused turns the begun login into a refusal, and returns how many of the account's logins are bad.
func (a *accounts) refused(name string, state types.UID, login fingerprint, now time.Time) (bad int) {
	return a.change(name, now, func(known *account) {
		known.drop(login)
		known.bad = append(known.bad, badLogin{login: login, at: now, refused: true})
		known.refusals = append(known.refusals, refusal{login, now})
		known.taken[state] = now.UTC()
	})
}

// harmless forgets the begun login, since it cannot have counted as a bad one, and returns how many of the account's
// are.
func (a *accounts) harmless(name string, login fingerprint, now time.Time) (bad int) {
	return a.change(name, now, func(known *account) { known.drop(login) })
}

// succeeded forgets the account's bad logins, as Secret Server does. Which attempts were counted stays known: they came
// before, also where the clock was set back since and their times say otherwise.
func (a *accounts) succeeded(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.known[name]; known != nil {
		a.known[name] = &account{taken: known.taken, begun: known.begun}
	}
}

// wants reports whether an attempt that a state Secret tells of is not counted yet.
func (a *accounts) wants(name string, state types.UID, attempt *session.Attempt) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[name]
	return known == nil || !known.taken[state].Equal(attempt.At) && !slices.ContainsFunc(known.begun, attempt.At.Equal) &&
		(!attempt.Refused || !known.knows(attempt.At))
}

// knows reports whether a refusal of that moment is known. Sessions that share the credentials note it for themselves with the
// same time, and those notes are no news, whichever of them the watch brings first.
func (k *account) knows(refusedAt time.Time) bool {
	return slices.ContainsFunc(k.refusals, func(r refusal) bool { return r.at.Equal(refusedAt) })
}

// noted says that a state Secret repeats what is counted here already, so that it is not counted again.
func (a *accounts) noted(name string, state types.UID, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known := a.known[name]; known != nil {
		known.taken[state] = at
	}
}

// recall takes over what a state Secret tells of another process: an earlier one, or another shard. Each stored the
// account's whole count, so the largest stands for all; a refusal that several stored is one. A time that lies ahead is
// not believed: it would hold the account for as long.
func (a *accounts) recall(name string, state types.UID, attempt *session.Attempt, login fingerprint, now time.Time) {
	a.change(name, now, func(known *account) {
		known.taken[state] = attempt.At
		at := attempt.At
		if at.After(now) {
			at = now
		}
		if attempt.Refused && !slices.ContainsFunc(known.refusals, func(r refusal) bool { return bytes.Equal(r.login, login) }) {
			known.refusals = append(known.refusals, refusal{login, at})
		}
		if at.Add(lockoutWindow).After(now) && attempt.Bad > 0 {
			known.recalled.count = max(known.recalled.count, min(attempt.Bad, lockoutBudget))
			known.recalled.unanswered = known.recalled.unanswered || !attempt.Refused
			if at.After(known.recalled.at) {
				known.recalled.at = at
			}
		}
	})
}

// bad returns how many of an account's logins may have counted as bad ones.
func (a *accounts) bad(name string, now time.Time) int {
	return a.change(name, now, func(*account) {})
}

// change works on an account, made if need be, and returns how many bad logins it then has.
func (a *accounts) change(name string, now time.Time, do func(*account)) (bad int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sweep(now)
	known := a.known[name]
	if known == nil {
		known = &account{taken: map[types.UID]time.Time{}}
		a.known[name] = known
	}
	do(known)
	known.prune(now, a.refusedRetry)
	return len(known.times())
}

// sweepAbove is how many accounts may be remembered before those of no more use are looked for.
const sweepAbove = 1024

// sweep drops accounts of which nothing matters any more. User names are users' input; their number must not grow for
// ever.
func (a *accounts) sweep(now time.Time) {
	if len(a.known) < sweepAbove {
		return
	}
	for name, known := range a.known {
		known.prune(now, a.refusedRetry)
		if len(known.bad) == 0 && len(known.refusals) == 0 && known.recalled.count == 0 {
			delete(a.known, name)
		}
	}
}

// mostRefusals bounds what one account can cost in memory; far above the budget.
const mostRefusals = 16

// prune drops what no longer matters. A bad login whose time lies ahead was made before the clock was set back; it counts
// from now, or it would hold the account until the clock has caught up.
func (k *account) prune(now time.Time, refusedRetry time.Duration) {
	for i := range k.bad {
		k.bad[i].at = earlier(k.bad[i].at, now)
	}
	k.recalled.at = earlier(k.recalled.at, now)
	k.bad = slices.DeleteFunc(k.bad, func(b badLogin) bool { return !b.at.Add(lockoutWindow).After(now) })
	k.begun = slices.DeleteFunc(k.begun, func(at time.Time) bool { return !at.Add(lockoutWindow).After(now) })
	if !k.recalled.at.Add(lockoutWindow).After(now) {
		k.recalled = tally{}
	}
	if refusedRetry > 0 {
		k.refusals = slices.DeleteFunc(k.refusals, func(r refusal) bool { return !r.at.Add(refusedRetry).After(now) })
	}
	if extra := len(k.refusals) - mostRefusals; extra > 0 {
		k.refusals = slices.Delete(k.refusals, 0, extra)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// times are when the account's bad logins happened, oldest first.
func (k *account) times() []time.Time {
	times := make([]time.Time, 0, len(k.bad)+k.recalled.count)
	for range k.recalled.count {
		times = append(times, k.recalled.at)
	}
	for _, b := range k.bad {
		times = append(times, b.at)
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

func (k *account) unanswered() int {
	n := 0
	if k.recalled.unanswered {
		n = k.recalled.count
	}
	for _, b := range k.bad {
		if !b.refused {
			n++
		}
	}
	return n
}

// refusalOf finds the newest refusal of a login.
func (k *account) refusalOf(serverURL string, c secretserver.Credentials) *refusal {
	for i := len(k.refusals) - 1; i >= 0; i-- {
		if k.refusals[i].login.matches(serverURL, c) {
			return &k.refusals[i]
		}
	}
	return nil
}

func (k *account) drop(login fingerprint) {
	k.bad = slices.DeleteFunc(k.bad, func(b badLogin) bool { return !b.refused && bytes.Equal(b.login, login) })
}
