package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

const (
	// revokeTimeout bounds one attempt to revoke a token, connection included, whatever the session's timeoutSeconds.
	revokeTimeout = 10 * time.Second
	// letGoAfter is how long a session on its way out waits for its turn to revoke. With revokeTimeout it bounds how long
	// any number of them can hold up the deletion of a namespace, whatever their Secret Servers do.
	letGoAfter = 45 * time.Second
	// silenceHolds is how long a Secret Server that did not answer a revocation is not asked for another.
	silenceHolds = 30 * time.Second
	// mostSilent bounds the memory: URLs are users' input.
	mostSilent = 1024
)

// revocations is the guard against revocations that take long.
type revocations struct {
	mu sync.Mutex
	// silent are the Secret Servers that did not answer, since when.
	silent map[string]time.Time
	// departures are of the sessions on their way out.
	departures map[types.NamespacedName]*departure
}

// departure is what this process knows of a session on its way out. Only the session's own passes use it.
type departure struct {
	uid     types.UID
	letGoAt time.Time
	// ended are the outcomes so far; concluded means that there will be no others.
	ended     []ending
	concluded bool
}

func newRevocations() *revocations {
	return &revocations{silent: map[string]time.Time{}, departures: map[types.NamespacedName]*departure{}}
}

// departure returns the departure of a session, which begins with the first call.
func (r *revocations) departure(name types.NamespacedName, uid types.UID, now time.Time) *departure {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.departures[name]
	if d == nil || d.uid != uid {
		d = &departure{uid: uid, letGoAt: now.Add(letGoAfter)}
		r.departures[name] = d
	}
	return d
}

func (r *revocations) departed(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.departures, name)
}

// isSilent reports whether a Secret Server left a revocation without an answer lately.
func (r *revocations) isSilent(origin string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, ok := r.silent[origin]
	return ok && !since.After(now) && now.Before(since.Add(silenceHolds))
}

// heard notes what a revocation met: an answer of any kind, or none.
func (r *revocations) heard(origin string, err *secretserver.Error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil || !unanswered(err.Cause) {
		delete(r.silent, origin)
		return
	}
	if len(r.silent) >= mostSilent {
		clear(r.silent) // each costs one more attempt
	}
	r.silent[origin] = now
}

// unanswered reports whether a failure is the server's silence. A certificate that one session does not accept says nothing of
// the others.
func unanswered(cause secretserver.Cause) bool {
	switch cause {
	case secretserver.TimedOut, secretserver.ConnectionLost, secretserver.ConnectionRefused, secretserver.Unreachable,
		secretserver.NotConnected, secretserver.NameNotResolved, secretserver.ProxyUnreachable, secretserver.ProxyRefused:
		return true
	default:
		return false
	}
}
