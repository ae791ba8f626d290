package controllers

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"tokensync.dev/secret-server-operator/controllers/session"
)

// recollection is what earlier processes left in the state Secrets about logins that failed: where to look for each
// account, before its first login in this process. Without it, a restart would try a refused password again.
type recollection struct {
	mu   sync.Mutex
	done bool
	refs map[string][]types.NamespacedName // account -> state Secrets with an attempt
}

// recollect goes over the cached metadata once, before the first pass.
func (r *Reconciler) recollect(ctx context.Context) error {
	r.recollection.mu.Lock()
	defer r.recollection.mu.Unlock()
	if r.recollection.done {
		return nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := r.cache.List(ctx, list); err != nil {
		return fmt.Errorf("list the state Secrets in the cache: %w", err)
	}
	refs := map[string][]types.NamespacedName{}
	for _, meta := range list.Items {
		record, err := session.Decode(meta.Annotations[annotationRecord])
		if err != nil || record.Attempt == nil {
			continue
		}
		account := record.Attempt.Account
		refs[account] = append(refs[account], types.NamespacedName{Namespace: meta.Namespace, Name: meta.Name})
	}
	r.recollection.refs = refs
	r.recollection.done = true
	return nil
}

// take hands out, once, where to look for an account's failed logins.
func (r *recollection) take(account string) []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refs[account]
}

func (r *recollection) settled(account string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.refs, account)
}

// recall reads what earlier processes left about an account. It costs a read per state Secret with a failed login of
// that account, once. The caller has the account to itself.
func (p *pass) recall(ctx context.Context, account string) error {
	for _, name := range p.recollection.take(account) {
		secret := &corev1.Secret{}
		err := p.live.Get(ctx, name, secret)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return fmt.Errorf("read state Secret %s: %w", name, err)
		}
		s, err := readState(secret)
		if err != nil || s.Attempt == nil || s.Attempt.Account != account {
			continue // it has changed since, or cannot be read: it tells nothing
		}
		bad := badLogin{login: s.Attempted, at: s.Attempt.At, refused: s.Attempt.Refused, count: 1}
		if !bad.refused {
			bad.count = max(1, s.Attempt.Unanswered)
		}
		p.accounts.recall(account, bad, p.now())
	}
	p.recollection.settled(account)
	return nil
}
