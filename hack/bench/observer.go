package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// An observer sees, as anybody could, when sessions become Ready, when tokens are stored, and when targets change. It watches the
// same kinds in the same encoding as the operator, so that the API server encodes nothing more for it. The moment of a change is
// that of its arrival here.
type observer struct {
	stop context.CancelFunc
	done chan error

	mu       sync.Mutex
	ready    map[types.NamespacedName]time.Time      // since when a session is Ready
	logins   map[types.NamespacedName]login          // the last one, by status
	records  map[types.NamespacedName]session.Record // of the state Secrets, by session
	targets  map[types.NamespacedName]target
	renewed  map[types.NamespacedName]int // refreshes seen, by session
	lateness []time.Duration
	percent  int
	waiting  []*awaited
}

// login and target are what a session or a Secret said last, and since when.
type (
	login struct {
		count int64
		at    time.Time
	}
	target struct {
		meta metav1.ObjectMeta
		at   time.Time
	}
)

// awaited is somebody who waits for a change of an object.
type awaited struct {
	name  types.NamespacedName
	holds func(*observer) (since time.Time, ok bool)
	at    chan time.Time
}

// observe begins to watch sessions that renew after a percentage of the lifetime.
func (w *world) observe(ctx context.Context, percent int) (*observer, error) {
	managed, err := labels.Parse(api.LabelManagedBy + "=" + api.ManagedBy)
	if err != nil {
		return nil, err
	}
	secrets := &metav1.PartialObjectMetadata{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	config := w.plane.Config()
	config.DisableCompression = true // as the operator has it: the API server compresses each event for each watch anew
	watching, err := cache.New(config, cache.Options{
		Scheme:   w.admin.Scheme(),
		ByObject: map[client.Object]cache.ByObject{&corev1.Secret{}: {Label: managed, Transform: cache.TransformStripManagedFields()}},
	})
	if err != nil {
		return nil, err
	}
	o := &observer{
		done: make(chan error, 1), percent: percent,
		ready: map[types.NamespacedName]time.Time{}, logins: map[types.NamespacedName]login{},
		records: map[types.NamespacedName]session.Record{}, targets: map[types.NamespacedName]target{},
		renewed: map[types.NamespacedName]int{},
	}
	ctx, o.stop = context.WithCancel(ctx)
	for object, see := range map[client.Object]func(any){&api.SecretServerSession{}: o.seeSession, secrets: o.seeSecret} {
		informer, err := watching.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err == nil {
			_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
				AddFunc: see, UpdateFunc: func(_, now any) { see(now) }, DeleteFunc: o.seeDeletion,
			})
		}
		if err != nil {
			o.stop()
			return nil, err
		}
	}
	go func() { o.done <- watching.Start(ctx) }()
	if !watching.WaitForCacheSync(ctx) {
		o.stop()
		return nil, errors.Join(errors.New("the observer's watches do not come to be"), <-o.done)
	}
	return o, nil
}

// close ends the watches.
func (o *observer) close() error {
	o.stop()
	return <-o.done
}

func (o *observer) seeSession(object any) {
	now := time.Now()
	s, ok := object.(*api.SecretServerSession)
	if !ok {
		return
	}
	name := client.ObjectKeyFromObject(s)
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.Status.LoginCount != o.logins[name].count {
		o.logins[name] = login{s.Status.LoginCount, now}
	}
	if _, known := o.ready[name]; !known && meta.IsStatusConditionTrue(s.Status.Conditions, api.ConditionReady) {
		o.ready[name] = now
	}
	o.wake(name)
}

func (o *observer) seeSecret(object any) {
	now := time.Now()
	secret, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return
	}
	name := client.ObjectKeyFromObject(secret)
	o.mu.Lock()
	defer o.mu.Unlock()
	of, isState := strings.CutSuffix(name.Name, "-session")
	if !isState {
		o.targets[name] = target{secret.ObjectMeta, now}
		o.wake(name)
		return
	}
	record, err := session.Decode(secret.Annotations[annotationRecord])
	if err != nil {
		return
	}
	name.Name = of
	before, known := o.records[name]
	o.records[name] = record
	if owner := metav1.GetControllerOf(secret); known && owner != nil && record.Refreshes == before.Refreshes+1 {
		o.renewed[name]++
		planned := session.RefreshAt(before.IssuedAt, before.ExpiresAt, o.percent, string(owner.UID))
		o.lateness = append(o.lateness, now.Sub(planned))
	}
}

func (o *observer) seeDeletion(object any) {
	if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if secret, ok := object.(*metav1.PartialObjectMetadata); ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.targets, client.ObjectKeyFromObject(secret))
	}
}

// wake tells those who wait for this. The lock is held.
func (o *observer) wake(name types.NamespacedName) {
	o.waiting = slices.DeleteFunc(o.waiting, func(w *awaited) bool {
		if w.name != name {
			return false
		}
		since, ok := w.holds(o)
		if ok {
			w.at <- since
		}
		return ok
	})
}

// expect returns the moment since which something about an object holds, now or later. It is asked at each change of the
// object, with the lock held.
func (o *observer) expect(name types.NamespacedName, holds func(*observer) (since time.Time, ok bool)) <-chan time.Time {
	w := &awaited{name: name, holds: holds, at: make(chan time.Time, 1)}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, w)
	o.wake(name)
	return w.at
}

// forget starts to count refreshes and their lateness anew.
func (o *observer) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lateness, o.renewed = nil, map[types.NamespacedName]int{}
}

// claimed is how many sessions of a fleet have a refresh token that is claimed.
func (o *observer) claimed(f *fleet) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := 0
	for i := range f.size {
		if o.records[f.name(i)].Refresh == session.Claimed {
			count++
		}
	}
	return count
}

// late are the times from plan to storing of the refreshes seen since forget.
func (o *observer) late() []time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lateness)
}

// readiness is when the first and the last session of a fleet, from the given one on, became Ready. It waits for that. None is looked
// for again once it is: to look at thousands ten times a second would take a tenth of the machine that is measured.
func (o *observer) readiness(ctx context.Context, f *fleet, from int, most time.Duration) (first, last time.Time, err error) {
	next := from
	err = await(ctx, most, fmt.Sprintf("%d sessions are Ready", f.size-from), func(context.Context) (bool, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for ; next < f.size; next++ {
			at, ok := o.ready[f.name(next)]
			if !ok {
				return false, nil
			}
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
		}
		return true, nil
	})
	if err != nil {
		err = fmt.Errorf("%w (%s is not, and maybe others)", err, f.name(next))
	}
	return first, last, err
}

// allRenewed waits until so many sessions, spread over a fleet, were each refreshed since forget.
func (o *observer) allRenewed(ctx context.Context, f *fleet, count int, most time.Duration) error {
	next := 0
	return await(ctx, most, fmt.Sprintf("%d sessions are renewed", count), func(context.Context) (bool, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for ; next < count; next++ {
			if o.renewed[f.name(f.nth(next, count))] == 0 {
				return false, nil
			}
		}
		return true, nil
	})
}
