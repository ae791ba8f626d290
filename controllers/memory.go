package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// memory holds grants that Secret Server gave and the API server did not take yet. Each is the only copy of a token.
type memory struct {
	mu     sync.Mutex
	grants map[types.NamespacedName]*newGrant
}

func newMemory() *memory { return &memory{grants: map[types.NamespacedName]*newGrant{}} }

// grant returns what is held for a session. A grant of an earlier object of the same name, or one that has expired, is
// of no use.
func (m *memory) grant(name types.NamespacedName, uid types.UID, now time.Time) *newGrant {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.grants[name]
	if g == nil {
		return nil
	}
	if g.session != uid || !now.Before(g.stored.ExpiresAt) {
		delete(m.grants, name)
		return nil
	}
	return g
}

func (m *memory) hold(name types.NamespacedName, g *newGrant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.grants[name] = g
}

func (m *memory) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.grants, name)
}
