package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Priorities in the queue. They are few: the queue keeps a metric for each, and within one it is first come, first
// served.
const (
	// ordinary is what events and the passing of time bring.
	ordinary = 0
	// recovered are those that a Secret Server kept waiting that answers again.
	recovered = 1
	// admitted are those for whom a place is kept, and whose turn it is to ask for all.
	admitted = 2
)

// wakeableQueue lets those who keep sessions waiting bring them back.
type wakeableQueue struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// start takes the controller's queue; it is a source of no events of its own.
func (w *wakeableQueue) start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = queue
	return nil
}

// due is how many sessions could be worked on now, and wait for a worker.
func (w *wakeableQueue) due() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queue == nil {
		return 0
	}
	return w.queue.Len()
}

// look brings one that something may have happened to.
func (w *wakeableQueue) look(name types.NamespacedName) { w.add(ordinary, 0, name) }

// admit wakes one for whom a place is free.
func (w *wakeableQueue) admit(name types.NamespacedName) { w.add(admitted, 0, name) }

// wakeAll wakes them in this order.
func (w *wakeableQueue) wakeAll(names []types.NamespacedName) { w.add(recovered, 0, names...) }

// wakeLater wakes the one whose turn it will be to ask.
func (w *wakeableQueue) wakeLater(name types.NamespacedName, after time.Duration) {
	w.add(admitted, max(after, 0), name)
}

func (w *wakeableQueue) add(priority int, after time.Duration, names ...types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	requests := make([]reconcile.Request, 0, len(names))
	for _, name := range names {
		requests = append(requests, reconcile.Request{NamespacedName: name})
	}
	if queue, ok := w.queue.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		queue.AddWithOpts(priorityqueue.AddOpts{Priority: &priority, After: after}, requests...)
		return
	}
	for _, request := range requests {
		w.queue.AddAfter(request, after)
	}
}
