package controllers

import (
	"slices"
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
// own writes would do its work again. And they tell our own writes from those of others, which a session is to be looked at for:
// the watch may show a write before its answer is read.
type expectations struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	pending map[object]expectation
	writing map[object]*writing
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

// expectation is of our own writes that the watch has not shown, in their order.
type expectation struct {
	versions []string
	since    time.Time // of the last
}

// writing is what has become of an object since a pass began to write it: what it wrote, and what the watch has shown that was
// not known for that by then.
type writing struct {
	passes     int
	own, shown []string
}

func newExpectations(c clock.PassiveClock) *expectations {
	return &expectations{clock: c, pending: map[object]expectation{}, writing: map[object]*writing{}}
}

// begin holds back what the watch shows of an object, because a pass is about to write it.
func (e *expectations) begin(o object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.writing[o]
	if w == nil {
		w = &writing{}
		e.writing[o] = w
	}
	w.passes++
}

// end follows begin when the pass is over, and reports whether somebody else has written the object meanwhile.
func (e *expectations) end(o object) (foreign bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.writing[o]
	foreign = slices.ContainsFunc(w.shown, func(version string) bool { return !slices.Contains(w.own, version) })
	w.shown = nil
	w.passes--
	if w.passes == 0 {
		delete(e.writing, o)
	}
	return foreign
}

// wrote notes a write. cached returns the version that the cache has by now: the watch may have been faster than the
// answer.
func (e *expectations) wrote(o object, version string, cached func() string) {
	e.mu.Lock()
	e.pending[o] = expectation{versions: append(e.pending[o].versions, version), since: e.clock.Now()}
	if w := e.writing[o]; w != nil {
		w.own = append(w.own, version)
	}
	e.mu.Unlock()
	now := cached()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.show(o, now)
}

// observed notes a version that the watch has shown, and reports whether nobody need look at it: it is our own, or a pass that
// writes the object will see to it.
func (e *expectations) observed(o object, version string) (own bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	own = e.show(o, version)
	if w := e.writing[o]; w != nil && !own {
		w.shown = append(w.shown, version)
		return true
	}
	return own
}

// show notes that the watch has come to a version, and reports whether that is a write of ours that it had not shown.
func (e *expectations) show(o object, version string) (own bool) {
	expected, ok := e.pending[o]
	if !ok {
		return false
	}
	own = slices.Contains(expected.versions, version)
	expected.versions = slices.DeleteFunc(expected.versions, func(ours string) bool { return !older(version, ours) })
	if len(expected.versions) == 0 {
		delete(e.pending, o)
		return own
	}
	e.pending[o] = expected
	return own
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
