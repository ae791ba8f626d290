package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/session"
)

// verifications remember when each session's token was verified last. In memory alone: it costs an idle session no
// write, and a new process, which waits for the next planned moment, needs none of it.
type verifications struct {
	mu    sync.Mutex
	known map[types.NamespacedName]*verification
}

// verification is what is known of the token of one session.
type verification struct {
	tokenOf

	// after is the moment that the next one is planned from, notedAt when that was noted.
	after, notedAt time.Time
	// dead is how many tokens in a row were found dead.
	dead int
}

// tokenOf names a token of a session, which may not be the only one of its name.
type tokenOf struct {
	session types.UID
	digest  string
}

func newVerifications() *verifications {
	return &verifications{known: map[types.NamespacedName]*verification{}}
}

// plan returns how often to verify a token, given how often the spec wants it, and the moment to count from. A token
// that is seen for the first time counts from now.
func (v *verifications) plan(name types.NamespacedName, token tokenOf, wanted time.Duration, now time.Time) (interval time.Duration, after time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.known[name]
	if known == nil || known.session != token.session {
		known = &verification{}
		v.known[name] = known
	}
	// A clock that was set back begins anew, or the next verification would be that much later.
	if known.tokenOf != token || known.notedAt.After(now.UTC()) {
		known.tokenOf = token
		known.note(now, 0)
	}
	return session.VerifyInterval(wanted, known.dead), known.after
}

// alive notes that Secret Server takes the token.
func (v *verifications) alive(name types.NamespacedName, now time.Time) {
	v.change(name, func(known *verification) {
		known.note(now, 0)
		known.dead = 0
	})
}

// unknown notes a verification without a usable answer, and how long Secret Server asks to be left alone.
func (v *verifications) unknown(name types.NamespacedName, now time.Time, pause time.Duration) {
	v.change(name, func(known *verification) { known.note(now, pause) })
}

// dead notes that Secret Server does not take the token, and returns how many in a row it did not.
func (v *verifications) dead(name types.NamespacedName, now time.Time) (row int) {
	v.change(name, func(known *verification) {
		known.note(now, 0)
		known.dead++
		row = known.dead
	})
	return row
}

func (v *verifications) forget(name types.NamespacedName) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.known, name)
}

func (v *verifications) change(name types.NamespacedName, do func(*verification)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if known := v.known[name]; known != nil {
		do(known)
	}
}

// note keeps wall-clock times: those of the grid that they are compared with are read from the record.
func (v *verification) note(now time.Time, pause time.Duration) {
	v.notedAt = now.UTC()
	v.after = v.notedAt.Add(pause)
}
