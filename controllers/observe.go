package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// errBehind means that the cache lacks our own last write, so that nothing can be decided from it.
var errBehind = errors.New("the cache lacks the operator's last write")

// observe reads all that a pass starts from, out of the cache alone: it costs no request. It returns nil for a session
// that is not there.
func (r *Reconciler) observe(ctx context.Context, name types.NamespacedName) (*pass, error) {
	// Each is asked for before it is read: what the watch shows in between would make an old copy look like the newest.
	if r.expectations.behind(object{sessionObject, name}) {
		return nil, errBehind
	}
	s := &api.SecretServerSession{}
	if err := r.cache.Get(ctx, name, s); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if r.expectations.behind(secretNamed(s, s.TargetName()), secretNamed(s, api.StateSecretName(s.Name))) {
		return nil, errBehind
	}
	p := &pass{Reconciler: r, session: s, handled: s.Status.LastHandledRefreshRequest, grant: r.memory.grant(name, s.UID, r.clock.Now())}
	if !s.DeletionTimestamp.IsZero() && hasFinalizer(s) {
		p.departure = r.revocations.departure(name, s.UID, r.clock.Now())
	}
	observers := []func(context.Context) error{
		p.observeState, p.observeTarget, p.observeOldTargets, p.observeCredentials, p.observeEndpoint,
	}
	if !s.DeletionTimestamp.IsZero() {
		observers = observers[:1] // nothing matters any more but the tokens
	}
	for _, observe := range observers {
		if err := observe(ctx); err != nil {
			return nil, err
		}
	}
	if !p.published {
		p.checkTemplates()
	}
	p.observeVantage()
	p.observeFailure()
	return p, nil
}

// metadata reads a Secret's or ConfigMap's metadata from the cache; nil if there is none.
func (r *Reconciler) metadata(ctx context.Context, kind, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	err := r.cache.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, meta)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // absence is an answer
	case err != nil:
		return nil, fmt.Errorf("read %s %s/%s from the cache: %w", kind, namespace, name, err)
	}
	return meta, nil
}

func (p *pass) secret(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	return p.metadata(ctx, secretKind, p.session.Namespace, name)
}

const (
	secretKind    = "Secret"
	configMapKind = "ConfigMap"
)

func (p *pass) observeState(ctx context.Context) error {
	meta, err := p.secret(ctx, api.StateSecretName(p.session.Name))
	if err != nil || meta == nil {
		return err
	}
	if !metav1.IsControlledBy(meta, p.session) {
		p.conflict = &fault{api.ReasonTargetConflict, fmt.Sprintf(
			"Secret %q exists and does not belong to this session, which keeps its state under that name; it was "+
				"not touched. Delete it, or rename the session.",
			meta.Name)}
		return nil
	}
	p.state.exists = true
	p.state.meta = meta.ObjectMeta
	// A record that cannot be read is no session; the zero Record leads to a login.
	if record := recordOf(meta); record != nil {
		p.state.record = *record
	}
	p.takeHandled()
	return nil
}

func (p *pass) observeTarget(ctx context.Context) error {
	meta, err := p.secret(ctx, p.session.TargetName())
	switch {
	case err != nil || meta == nil:
		return err
	case !metav1.IsControlledBy(meta, p.session):
		p.conflict = &fault{api.ReasonTargetConflict, fmt.Sprintf(
			"Secret %q exists and does not belong to this session; it was not touched. Delete it, or choose "+
				"another spec.target.name.",
			meta.Name)}
		return nil
	}
	status := p.session.Status
	p.target.version = meta.ResourceVersion
	p.target.texts = strings.HasSuffix(ownershipOf(meta), textMark)
	p.target.intact = ownershipOf(meta) == appliedOwnership(targetSecret(p.session, keysOf(p.session)))
	// Ownership tells of keys, not of values: those are as applied if the last status speaks of this token, this spec
	// and no conflict.
	p.published = p.target.intact &&
		status.TargetName == meta.Name &&
		status.LoginCount+status.RefreshCount == p.state.record.Sequence() &&
		// A session whose state was lost may count the same number twice.
		timeOf(status.TokenIssuedAt).Equal(p.state.record.IssuedAt.Truncate(time.Second)) &&
		status.ObservedGeneration == p.session.Generation &&
		!hasReason(status, api.ConditionStalled, api.ReasonTargetConflict) &&
		!hasReason(status, api.ConditionStalled, api.ReasonTemplateInvalid)
	return nil
}

// observeOldTargets finds what held the token under earlier names: every Secret that the operator made for the session
// and that is neither its state nor its target. The status alone does not know, if it could not be written between two
// renames.
func (p *pass) observeOldTargets(ctx context.Context) error {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(secretKind + "List"))
	err := p.cache.List(ctx, list, client.InNamespace(p.session.Namespace),
		client.MatchingFields{indexOwner: string(p.session.UID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list the session's Secrets in the cache: %w", err)
	}
	// The index leaves out what is named as the session is.
	if p.session.TargetName() != p.session.Name {
		named, err := p.secret(ctx, p.session.Name)
		if err != nil {
			return err
		}
		if named != nil && metav1.IsControlledBy(named, p.session) {
			list.Items = append(list.Items, *named)
		}
	}
	p.oldTargets = slices.DeleteFunc(list.Items, func(meta metav1.PartialObjectMetadata) bool {
		return meta.Name == p.session.TargetName() || meta.Name == api.StateSecretName(p.session.Name) ||
			meta.Labels[api.LabelManagedBy] != api.ManagedBy
	})
	return nil
}

func (p *pass) observeCredentials(ctx context.Context) error {
	p.wanted = session.Identity{Source: sourceOf(p.session)}
	ref := p.session.Spec.Credentials.SecretRef.Name
	meta, err := p.secret(ctx, ref)
	switch {
	case err != nil:
		return err
	case meta == nil:
		p.credentialsFault = &fault{api.ReasonCredentialsNotFound, fmt.Sprintf(
			"Secret %q with the credentials does not exist. Create it in this namespace.", ref)}
		return nil
	}
	p.wanted.Version = versionOf(meta)
	return nil
}

// versionOf tells two states of an object apart, also if it was deleted and made again.
func versionOf(o metav1.Object) string { return string(o.GetUID()) + "/" + o.GetResourceVersion() }

func (p *pass) observeEndpoint(ctx context.Context) error {
	if url := serverURL(p.session); !p.options.AllowedEndpoints.Allow(url) {
		p.endpointFault = &fault{api.ReasonEndpointNotAllowed, fmt.Sprintf(
			"The operator may not connect to %s. Ask its administrator to add the URL to --allowed-endpoints.", url)}
		return nil
	}
	fault, err := p.observeBundle(ctx)
	p.endpointFault = fault
	return err
}

// observeFailure takes the stored backoff over. If what the attempt failed with has changed since, the next one is due
// now.
func (p *pass) observeFailure() {
	status := p.session.Status
	failedAt := timeOf(status.LastFailureAt)
	if status.ConsecutiveFailures == 0 || p.state.record.IssuedAt.Truncate(time.Second).After(failedAt) {
		return // there was none, or a grant succeeded since, to the second, and the status was not written
	}
	p.failure = failure{count: status.ConsecutiveFailures, reason: status.LastFailureReason, at: failedAt}
	if status.LastFailureReason == api.ReasonCredentialsRejected {
		return // the record of the attempt says when to try again
	}
	now := p.now()
	p.failure.retryAt = timeOf(status.NextRefreshAt)
	attempt := p.state.record.Attempt
	switch {
	case status.ObservedGeneration != p.session.Generation,
		attempt != nil && attempt.Identity != p.wanted,
		// It was a refresh that failed, and other credentials mean a login.
		attempt == nil && p.state.record.HasToken() && p.credentialsFault == nil && p.state.record.Identity != p.wanted,
		p.bundleChanged,
		p.outages.urgent(p.vantage, p.name()),
		// No wait is longer than this: the clock was set back.
		p.failure.retryAt.After(now.Add(session.LongestBackoff + time.Minute)),
		p.failure.retryAt.IsZero():
		p.failure.retryAt = now
	}
}

// timeOf is a time of the status; zero for none.
func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
