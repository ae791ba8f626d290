package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// recall takes over what the state Secrets tell of an account's failed logins: what earlier processes left there, and
// what other shards write now. The watch shows where to look; a read is made for each attempt that is news, none if
// there is none. The caller has the account to itself within this process.
func (p *pass) recall(ctx context.Context, account string) error {
	records, err := p.recordsOf(ctx, account)
	if err != nil {
		return err
	}
	now := p.now()
	var succeeded time.Time // since then, what failed before no longer counts at Secret Server
	for _, r := range records {
		// A time that lies ahead was taken before the clock was set back: what is older by the clock may be newer.
		if r.Account == account && r.LastLoginAt.After(succeeded) && !r.LastLoginAt.After(now) {
			succeeded = r.LastLoginAt
		}
	}
	for _, r := range records {
		attempt := r.Attempt
		switch {
		case attempt == nil || attempt.Account != account || !p.accounts.wants(account, r.uid, attempt):
			continue
		case !attempt.At.After(succeeded) && (r.Account != account || !r.LastLoginAt.Equal(succeeded)):
			continue // another session's login came after it; its own came before, whatever the clock says
		}
		if err := p.recallFrom(ctx, account, r.name); err != nil {
			return err
		}
	}
	return nil
}

// recallFrom reads one state Secret, for the fingerprint of what was refused.
func (p *pass) recallFrom(ctx context.Context, account string, name types.NamespacedName) error {
	secret := &corev1.Secret{}
	if err := p.live.Get(ctx, name, secret); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read state Secret %s: %w", name, err)
	}
	s, err := p.options.Records.readState(secret)
	if err != nil || s.Attempt == nil || s.Attempt.Account != account {
		return nil //nolint:nilerr // it has changed since, or cannot be read: it tells nothing
	}
	p.accounts.recall(account, secret.UID, s.Attempt, s.Attempted, p.now())
	return nil
}

// namedRecord is a record and where it stands.
type namedRecord struct {
	session.Record
	name types.NamespacedName
	uid  types.UID
}

// recordsOf are the cached records that speak of an account.
func (p *pass) recordsOf(ctx context.Context, account string) ([]namedRecord, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := p.cache.List(ctx, list, client.MatchingFields{indexAccount: account}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("look up the sessions of an account: %w", err)
	}
	var records []namedRecord
	for i := range list.Items {
		meta := &list.Items[i]
		if record := recordOf(meta); record != nil {
			records = append(records, namedRecord{*record, client.ObjectKeyFromObject(meta), meta.UID})
		}
	}
	return records, nil
}

// recordOf reads the record of a state Secret's metadata; nil for any other Secret, and for what cannot be read.
func recordOf(meta metav1.Object) *session.Record {
	owner := metav1.GetControllerOf(meta)
	if owner == nil || !isSession(*owner) || meta.GetName() != api.StateSecretName(owner.Name) {
		return nil
	}
	record, err := readRecord(meta)
	if err != nil {
		return nil
	}
	return &record
}

// isSession reports whether an owner is a session, of whatever version of the API.
func isSession(owner metav1.OwnerReference) bool {
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	return err == nil && gv.Group == api.Group && owner.Kind == api.Kind
}

// accountsIn are the accounts that a record speaks of: none, if it cannot be read.
func accountsIn(kept session.Kept) []string {
	record, err := kept.Record()
	if err != nil {
		return nil
	}
	var accounts []string
	if record.Account != "" {
		accounts = append(accounts, record.Account)
	}
	if a := record.Attempt; a != nil && a.Account != "" && a.Account != record.Account {
		accounts = append(accounts, a.Account)
	}
	return accounts
}
