package controllers

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// sessionChanges lets through what users change of a session. The operator's own status writes are noted and dropped.
func (r *Reconciler) sessionChanges() predicate.Predicate {
	seen := func(o client.Object) (own bool) {
		return r.expectations.observed(object{sessionObject, client.ObjectKeyFromObject(o)}, o.GetResourceVersion())
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			seen(e.Object)
			return true
		},
		UpdateFunc: func(e event.UpdateEvent) bool {
			own := seen(e.ObjectNew)
			was, is := e.ObjectOld, e.ObjectNew
			return was.GetGeneration() != is.GetGeneration() ||
				was.GetUID() != is.GetUID() ||
				was.GetAnnotations()[api.AnnotationRefreshRequested] != is.GetAnnotations()[api.AnnotationRefreshRequested] ||
				(was.GetDeletionTimestamp() == nil) != (is.GetDeletionTimestamp() == nil) ||
				(!own && hasFinalizer(was) != hasFinalizer(is))
		},
		DeleteFunc: func(e event.DeleteEvent) bool {
			r.expectations.deleted(object{sessionObject, client.ObjectKeyFromObject(e.Object)})
			return true
		},
	}
}

// secretChanges lets through what others change of a Secret. The pass that wrote it knows of its own writes.
func (r *Reconciler) secretChanges() predicate.Predicate {
	own := func(o client.Object) bool {
		return r.expectations.observed(object{secretObject, client.ObjectKeyFromObject(o)}, o.GetResourceVersion())
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !own(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool { return !own(e.ObjectNew) && newVersion(e) },
		DeleteFunc: func(e event.DeleteEvent) bool {
			r.expectations.deleted(object{secretObject, client.ObjectKeyFromObject(e.Object)})
			return true
		},
	}
}

// versionChanges drops resyncs.
func versionChanges() predicate.Predicate { return predicate.Funcs{UpdateFunc: newVersion} }

func newVersion(e event.UpdateEvent) bool {
	return e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion()
}

// wakeableQueue lets the gates bring back those that they turned away.
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

func (w *wakeableQueue) wake(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue.Add(reconcile.Request{NamespacedName: name})
}
