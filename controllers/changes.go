package controllers

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

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
