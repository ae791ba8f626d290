package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// betweenReactions keeps one from the next.
	betweenReactions = 20 * time.Millisecond
	// reactionPatience bounds the wait for one.
	reactionPatience = time.Minute
)

// react edits and deletes targets, and changes credentials.
func (x *scaling) react(ctx context.Context) error {
	size := x.fleet.size
	x.say("reaction: %d targets are deleted, and as many edited; credentials change", x.reactions)
	deleted, err := x.disturb(ctx, x.deleteTarget)
	if err != nil {
		return err
	}
	edited, err := x.disturb(ctx, x.editTarget)
	if err != nil {
		return err
	}
	logins, err := x.changeCredentials(ctx)
	if err != nil {
		return err
	}
	for _, reaction := range []struct {
		to    string
		times []time.Duration
	}{{"a target is deleted", deleted}, {"a target is edited", edited}, {"credentials change: a login", logins}} {
		p50, p99, most := quantiles(reaction.times)
		x.tell(partReaction, size, figure{What: reaction.to + ": repaired after, p99", Value: float64(p99) / float64(x.bare.alone), Unit: ratio}.timed().with(
			"p50 %.0f ms, p99 %.0f ms, max %.0f ms of %d; bare client's refresh %.1f ms", ms(p50), ms(p99), ms(most), len(reaction.times), ms(x.bare.alone)))
	}
	return nil
}

// disturb does something to the targets of sessions spread over the fleet, and returns how long each stayed so.
func (x *scaling) disturb(ctx context.Context, do func(context.Context, *corev1.Secret) (func(target) bool, error)) ([]time.Duration, error) {
	var times []time.Duration
	count := min(x.reactions, x.fleet.size)
	for i := range count {
		name := x.fleet.name(x.fleet.nth(i, count))
		begun := time.Now()
		repaired, err := do(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}})
		if err != nil {
			return nil, err
		}
		at, err := receive(ctx, name, x.observer.expect(name, func(o *observer) (time.Time, bool) {
			t, ok := o.targets[name]
			return t.at, ok && repaired(t)
		}))
		if err != nil {
			return nil, err
		}
		times = append(times, at.Sub(begun))
		if err := pause(ctx, betweenReactions); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// receive waits for a moment, within bounds.
func receive(ctx context.Context, name types.NamespacedName, moment <-chan time.Time) (time.Time, error) {
	timer := time.NewTimer(reactionPatience)
	defer timer.Stop()
	select {
	case at := <-moment:
		return at, nil
	case <-timer.C:
		return time.Time{}, fmt.Errorf("nothing was done about %s within %v", name, reactionPatience)
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// deleteTarget deletes a target; it is repaired once there is another one.
func (x *scaling) deleteTarget(ctx context.Context, secret *corev1.Secret) (repaired func(target) bool, err error) {
	key := client.ObjectKeyFromObject(secret)
	x.observer.mu.Lock()
	old := x.observer.targets[key].meta.UID
	x.observer.mu.Unlock()
	return func(t target) bool { return t.meta.UID != old }, x.admin.Delete(ctx, secret)
}

// editTarget changes a target's token; it is repaired once it is written again.
func (x *scaling) editTarget(ctx context.Context, secret *corev1.Secret) (repaired func(target) bool, err error) {
	x.observer.mu.Lock()
	old := x.observer.targets[client.ObjectKeyFromObject(secret)].meta.ResourceVersion
	x.observer.mu.Unlock()
	err = x.admin.Patch(ctx, secret, client.RawPatch(types.MergePatchType, []byte(`{"data":{"token":"ZWRpdGVk"}}`)))
	edited := secret.ResourceVersion
	return func(t target) bool { return t.meta.ResourceVersion != old && t.meta.ResourceVersion != edited }, err
}

// changeCredentials gives some accounts new passwords, and returns how long each of their sessions takes to log in.
func (x *scaling) changeCredentials(ctx context.Context) ([]time.Duration, error) {
	var times []time.Duration
	changes := min(max(x.reactions/sharing, 1), accounts(x.fleet.size))
	for a := range changes {
		var waiting []<-chan time.Time
		var names []types.NamespacedName
		for i := range x.fleet.size {
			if account(i) != a {
				continue
			}
			name := x.fleet.name(i)
			x.observer.mu.Lock()
			before := x.observer.logins[name].count
			x.observer.mu.Unlock()
			names = append(names, name)
			waiting = append(waiting, x.observer.expect(name, func(o *observer) (time.Time, bool) {
				return o.logins[name].at, o.logins[name].count > before
			}))
		}
		if err := x.vault.setPassword(ctx, a, 1); err != nil {
			return nil, err
		}
		begun := time.Now()
		if err := x.admin.Update(ctx, x.fleet.credential(a, 1)); err != nil {
			return nil, err
		}
		for i, login := range waiting {
			at, err := receive(ctx, names[i], login)
			if err != nil {
				return nil, err
			}
			times = append(times, at.Sub(begun))
		}
	}
	return times, nil
}
