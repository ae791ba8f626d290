package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// memoryCache is a manager's cache of kubernetes: what its two watches have delivered so far, stripped as the real one
// strips it.
type memoryCache struct {
	kubernetes *kubernetes
	seen       map[objectKind]int // how much of the history each watch has delivered
	secrets    map[types.NamespacedName]*metav1.PartialObjectMetadata
	sessions   map[types.NamespacedName]*api.SecretServerSession
}

// newMemoryCache is up to date.
func newMemoryCache(k *kubernetes) *memoryCache {
	c := &memoryCache{
		kubernetes: k,
		seen:       map[objectKind]int{sessionObject: len(k.history), secretObject: len(k.history)},
		secrets:    map[types.NamespacedName]*metav1.PartialObjectMetadata{},
		sessions:   map[types.NamespacedName]*api.SecretServerSession{},
	}
	last := map[object]change{}
	for _, seen := range k.history {
		last[object{seen.kind, seen.name}] = seen
	}
	for _, seen := range last {
		c.take(seen)
	}
	return c
}

// take puts a change into the cache and returns what was there and what is.
func (c *memoryCache) take(seen change) (before, after client.Object) {
	if seen.kind == sessionObject {
		if old := c.sessions[seen.name]; old != nil {
			before = old
		}
		delete(c.sessions, seen.name)
		if seen.session != nil {
			stripped, err := newStripper(nil).session(seen.session.DeepCopy())
			if err != nil {
				panic(err)
			}
			s := stripped.(*api.SecretServerSession) //nolint:forcetypeassert // so it went in
			c.sessions[seen.name], after = s, s
		}
		return before, after
	}
	if old := c.secrets[seen.name]; old != nil {
		before = old
	}
	delete(c.secrets, seen.name)
	if seen.secret != nil {
		meta := seen.secret.metadata()
		c.secrets[seen.name], after = meta, meta
	}
	return before, after
}

// metadata is what a watch of metadata alone delivers of a Secret, stripped.
func (h *heldSecret) metadata() *metav1.PartialObjectMetadata {
	meta := &metav1.PartialObjectMetadata{ObjectMeta: *h.ObjectMeta.DeepCopy()}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(secretKind))
	meta.ManagedFields = h.owners.entries()
	if _, err := newStripper(nil).secret(meta); err != nil {
		panic(err)
	}
	return meta
}

// deliver takes the next change of a kind, and tells hear about it.
func (c *memoryCache) deliver(kind objectKind, hear func(objectKind, any)) bool {
	for c.seen[kind] < len(c.kubernetes.history) {
		next := c.kubernetes.history[c.seen[kind]]
		c.seen[kind]++
		if next.kind == kind {
			c.announce(next, hear)
			return true
		}
	}
	return false
}

// behind reports whether there is anything that a watch has not delivered.
func (c *memoryCache) behind() bool {
	for kind, seen := range c.seen {
		for _, next := range c.kubernetes.history[seen:] {
			if next.kind == kind {
				return true
			}
		}
	}
	return false
}

// relist is a watch that was broken and begins anew: what happened in between is seen by its outcome alone.
func (c *memoryCache) relist(kind objectKind, hear func(objectKind, any)) {
	last := map[types.NamespacedName]change{}
	for _, missed := range c.kubernetes.history[c.seen[kind]:] {
		if missed.kind == kind {
			last[missed.name] = missed
		}
	}
	c.seen[kind] = len(c.kubernetes.history)
	for _, name := range slices.SortedFunc(maps.Keys(last), byName) {
		c.announce(last[name], hear)
	}
}

// announce takes a change and says what event it is.
func (c *memoryCache) announce(seen change, hear func(objectKind, any)) {
	switch before, after := c.take(seen); {
	case before == nil && after == nil: // came and went between two lists
	case before == nil:
		hear(seen.kind, event.CreateEvent{Object: after})
	case after == nil:
		hear(seen.kind, event.DeleteEvent{Object: before})
	default:
		hear(seen.kind, event.UpdateEvent{ObjectOld: before, ObjectNew: after})
	}
}

func (c *memoryCache) Get(_ context.Context, name client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	switch into := o.(type) {
	case *api.SecretServerSession:
		if s := c.sessions[name]; s != nil {
			s.DeepCopyInto(into)
			return nil
		}
		return apierrors.NewNotFound(sessionResource, name.Name)
	case *metav1.PartialObjectMetadata:
		if into.Kind != secretKind {
			return fmt.Errorf("get the metadata of %s: %w", into.Kind, errNotModelled)
		}
		if secret := c.secrets[name]; secret != nil {
			secret.DeepCopyInto(into)
			return nil
		}
		return apierrors.NewNotFound(secretResource, name.Name)
	}
	return fmt.Errorf("get %T from the cache: %w", o, errNotModelled)
}

// indexed reports whether a Secret is found by the index that a list names.
func indexed(secret *metav1.PartialObjectMetadata, o *client.ListOptions) bool {
	values := map[string]func(metav1.Object) []string{indexAccount: accountsOf, indexOwner: ownerOf}
	for _, r := range o.FieldSelector.Requirements() {
		if !slices.Contains(values[r.Field](secret), r.Value) {
			return false
		}
	}
	return true
}

func (c *memoryCache) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(options)
	switch into := list.(type) {
	case *api.SecretServerSessionList:
		for _, name := range slices.SortedFunc(maps.Keys(c.sessions), byName) {
			s := c.sessions[name]
			if o.FieldSelector != nil && !slices.Contains(secretsOf(s), o.FieldSelector.Requirements()[0].Value) {
				continue
			}
			into.Items = append(into.Items, *s.DeepCopy())
		}
		return nil
	case *metav1.PartialObjectMetadataList:
		for _, name := range slices.SortedFunc(maps.Keys(c.secrets), byName) {
			if secret := c.secrets[name]; o.FieldSelector == nil || indexed(secret, o) {
				into.Items = append(into.Items, *secret.DeepCopy())
			}
		}
		return nil
	}
	return fmt.Errorf("list %T from the cache: %w", list, errNotModelled)
}
