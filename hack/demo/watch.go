package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// A watcher turns what happens to the sessions and targets of a namespace into observations.
type watcher struct {
	namespace    string
	grantOf      func(token) grant
	observations chan<- observation
}

// start watches until the context ends; it returns when all that exists is observed. wait returns when nothing is observed
// any more.
func (w *watcher) start(ctx context.Context, c *cluster) (wait func() error, err error) {
	// The Secrets that hold the operator's state, refresh tokens among it, are nobody's business.
	targets := fields.OneTermNotEqualSelector("type", api.StateSecretType)
	informers, err := cache.New(c.Config(), cache.Options{
		Scheme:            c.scheme,
		DefaultNamespaces: map[string]cache.Config{w.namespace: {}},
		ByObject:          map[client.Object]cache.ByObject{&corev1.Secret{}: {Field: targets}},
	})
	if err != nil {
		return nil, err
	}
	for _, kind := range []client.Object{&corev1.Secret{}, &api.SecretServerSession{}} {
		informer, err := informers.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, err
		}
		if _, err := informer.AddEventHandler(w.handler(ctx)); err != nil {
			return nil, err
		}
	}
	done := make(chan error, 1)
	go func() { done <- informers.Start(ctx) }()
	if !informers.WaitForCacheSync(ctx) {
		return nil, fmt.Errorf("watch namespace %s: %w", w.namespace, context.Cause(ctx))
	}
	return func() error { return <-done }, nil
}

func (w *watcher) handler(ctx context.Context) toolscache.ResourceEventHandler {
	observe := func(o observation, ok bool) {
		if !ok {
			return
		}
		select {
		case w.observations <- o:
		case <-ctx.Done():
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { observe(w.seen(object)) },
		UpdateFunc: func(_, object any) { observe(w.seen(object)) },
		DeleteFunc: func(object any) {
			if last, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			observe(w.gone(object))
		},
	}
}

// seen observes an object as it is now; not ok: it does not concern the story.
func (w *watcher) seen(object any) (o observation, ok bool) {
	now := moment(time.Now())
	switch object := object.(type) {
	case *corev1.Secret:
		owner, ok := sessionOf(object)
		if !ok {
			return nil, false
		}
		held := newToken(string(object.Data[api.TargetKeyToken]))
		seen := targetSeen{
			moment: now, session: owner, secret: object.Name, uid: object.UID,
			token: held, grant: w.grantOf(held),
		}
		if expires, err := time.Parse(time.RFC3339, string(object.Data[api.TargetKeyExpiresAt])); err == nil {
			seen.expires = expires
		}
		return seen, true
	case *api.SecretServerSession:
		seen := sessionSeen{moment: now, session: object.Name}
		if ready := meta.FindStatusCondition(object.Status.Conditions, api.ConditionReady); ready != nil {
			seen.ready, seen.reason = string(ready.Status), ready.Reason
		}
		if next := object.Status.NextRefreshAt; next != nil {
			seen.renewal = next.Time
		}
		return seen, true
	}
	return nil, false
}

func (*watcher) gone(object any) (o observation, ok bool) {
	now := moment(time.Now())
	switch object := object.(type) {
	case *corev1.Secret:
		owner, ok := sessionOf(object)
		return targetGone{moment: now, session: owner, secret: object.Name}, ok
	case *api.SecretServerSession:
		return sessionGone{moment: now, session: object.Name}, true
	}
	return nil, false
}

// sessionOf is the session that controls a Secret.
func sessionOf(secret *corev1.Secret) (name string, ok bool) {
	owner := metav1.GetControllerOf(secret)
	if owner == nil || owner.Kind != api.Kind {
		return "", false
	}
	return owner.Name, true
}
