package controllers

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

const (
	// lockoutWindow is how long a bad login counts against an account: Secret Server's default lockout of an hour, and
	// some minutes for clocks that differ.
	lockoutWindow = 65 * time.Minute
	// lockoutBudget is how many bad logins the operator may cause in that time. Secret Server locks an account at the
	// fifth by default.
	lockoutBudget = 4
)

// accounts is the guard against locking an account out. It remembers, for each account, which credentials were refused
// and how many logins may have counted as bad ones, over all sessions that share the account. It lives in memory; the
// state Secrets hold what a restart must not forget.
type accounts struct {
	mu       sync.Mutex
	failures map[string][]badLogin
}

// badLogin is a login that was refused, or whose answer is not known.
type badLogin struct {
	login   fingerprint
	at      time.Time
	refused bool
	// count is 1 for a refusal; for unanswered logins, how many there were.
	count int
}

func newAccounts() *accounts { return &accounts{failures: map[string][]badLogin{}} }

// verdict tells when Secret Server refused this login, and until when the account must be left alone; zero where
// neither holds.
func (a *accounts) verdict(account, serverURL string, c secretserver.Credentials, now time.Time) (refusedAt, heldUntil time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := 0
	// Newest first: the account is free again when so many of the oldest have left the window that the rest is
	// within the budget.
	for _, bad := range slices.Backward(a.failures[account]) {
		if bad.refused && refusedAt.IsZero() && bad.login.matches(serverURL, c) {
			refusedAt = bad.at
		}
		if until := bad.at.Add(lockoutWindow); until.After(now) {
			total += bad.count
			if total >= lockoutBudget && heldUntil.IsZero() {
				heldUntil = until
			}
		}
	}
	return refusedAt, heldUntil
}

// refusalOf returns the fingerprint under which the refusal of this login is known; nil if there is none. Sessions
// that share a refusal store the same bytes, so that it counts once after a restart.
func (a *accounts) refusalOf(account, serverURL string, c secretserver.Credentials) fingerprint {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, bad := range slices.Backward(a.failures[account]) {
		if bad.refused && bad.login.matches(serverURL, c) {
			return bad.login
		}
	}
	return nil
}

// begin counts a login that is about to be made as unanswered, and returns how many of the account's are.
func (a *accounts) begin(account string, login fingerprint, now time.Time) (unanswered int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(account, badLogin{login: login, at: now, count: 1}, now)
	for _, bad := range a.failures[account] {
		if !bad.refused && bad.at.Add(lockoutWindow).After(now) {
			unanswered += bad.count
		}
	}
	return unanswered
}

// succeeded forgets the account's bad logins, as Secret Server does.
func (a *accounts) succeeded(account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.failures, account)
}

// refused turns the begun login into a refusal.
func (a *accounts) refused(account string, login fingerprint, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(account, login)
	a.add(account, badLogin{login: login, at: now, refused: true, count: 1}, now)
}

// harmless forgets the begun login: it cannot have counted as a bad one.
func (a *accounts) harmless(account string, login fingerprint) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(account, login)
}

// recall takes over what a state Secret tells of an earlier process. Sessions store the account's whole count of
// unanswered logins, so the largest stands for all; a refusal that several store is one.
func (a *accounts) recall(account string, stored badLogin, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, known := range a.failures[account] {
		same := bytes.Equal(known.login, stored.login)
		if stored.refused && known.refused && same {
			return
		}
		if !stored.refused && !known.refused {
			if stored.count > known.count {
				a.failures[account][i] = stored
			}
			return
		}
	}
	a.add(account, stored, now)
}

// add keeps the failures in the order of their time, and only those that may still matter.
func (a *accounts) add(account string, bad badLogin, now time.Time) {
	failures := slices.DeleteFunc(a.failures[account], func(old badLogin) bool {
		return !old.refused && !old.at.Add(lockoutWindow).After(now)
	})
	failures = append(failures, bad)
	slices.SortStableFunc(failures, func(x, y badLogin) int { return x.at.Compare(y.at) })
	const most = 16 // far above the budget; bounds what an account can cost
	if len(failures) > most {
		failures = failures[len(failures)-most:]
	}
	a.failures[account] = failures
}

func (a *accounts) drop(account string, login fingerprint) {
	failures := slices.DeleteFunc(a.failures[account], func(bad badLogin) bool {
		return !bad.refused && bytes.Equal(bad.login, login)
	})
	if len(failures) == 0 {
		delete(a.failures, account)
		return
	}
	a.failures[account] = failures
}
