package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/session"
)

// failures remember what each session's last attempt was made with, so that a change of it ends the wait for the next
// one. In memory alone: after a restart a wait that was begun before is waited out, five minutes at most.
type failures struct {
	mu    sync.Mutex
	known map[types.NamespacedName]failedWith
}

// failedWith is the session and the identity that it had when its last attempt failed.
type failedWith struct {
	session types.UID
	wanted  session.Identity
}

func newFailures() *failures { return &failures{known: map[types.NamespacedName]failedWith{}} }

// note notes an attempt that failed.
func (f *failures) note(name types.NamespacedName, with failedWith) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[name] = with
}

// outdated reports whether the session is known to want something else by now.
func (f *failures) outdated(name types.NamespacedName, now failedWith) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.known[name]
	return ok && known != now
}

func (f *failures) forget(name types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, name)
}
