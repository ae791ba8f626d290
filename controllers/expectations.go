package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
)

// patience bounds how long a pass waits for the watch to show its own last write. After that the watch is believed:
// a restored API server may have gone back in time.
const patience = 5 * time.Second

// expectations know which of our own writes the watch has not shown yet. A pass that trusted a cache older than its
// own writes would do its work again.
type expectations struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	pending map[object]expectation
}

// object names one that the operator writes.
type object struct {
	kind objectKind
	types.NamespacedName
}

type objectKind uint8

const (
	sessionObject objectKind = iota
	secretObject
)

type expectation struct {
	version string
	since   time.Time
}

func newExpectations(c clock.PassiveClock) *expectations {
	return &expectations{clock: c, pending: map[object]expectation{}}
}

// wrote notes a write. cached returns the version that the cache has by now: the watch may have been faster than the
// answer.
func (e *expectations) wrote(o object, version string, cached func() string) {
	e.mu.Lock()
	e.pending[o] = expectation{version: version, since: e.clock.Now()}
	e.mu.Unlock()
	e.observed(o, cached())
}

// observed notes a version that the watch has shown, and reports whether it is our own last write.
func (e *expectations) observed(o object, version string) (own bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	expected, ok := e.pending[o]
	if !ok {
		return false
	}
	if !older(version, expected.version) {
		delete(e.pending, o)
	}
	return version == expected.version
}

// deleted notes that the watch has shown the object's deletion.
func (e *expectations) deleted(o object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.pending, o)
}

// behind reports whether the cache still lacks our last write of any of the objects.
func (e *expectations) behind(objects ...object) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range objects {
		expected, ok := e.pending[o]
		switch {
		case !ok:
		case e.clock.Since(expected.since) > patience:
			delete(e.pending, o)
		default:
			return true
		}
	}
	return false
}

// older compares resource versions. One that is no number, as of an object that is not there, is older than any.
func older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err != nil || order < 0
}
