package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// neverCurrent is a resource version that no object has. An apply that carries it creates, or fails: it cannot take
// over a Secret that somebody else made since the cache was read.
const neverCurrent = "1"

// publish writes the stored token into the target, if that is still what was seen: between the look and the write,
// somebody may have made it theirs.
func (p *pass) publish(ctx context.Context) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	if !p.state.record.HasToken() {
		return nil // the state has gone meanwhile; the next step is a login
	}
	data, err := p.render(ctx)
	if err != nil || data == nil {
		return err
	}
	name := p.session.TargetName()
	p.begin(secretNamed(p.session, name))
	written, err := p.applyTarget(ctx, targetSecret(p.session, data).WithResourceVersion(cmp.Or(p.target.version, neverCurrent)))
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("the target has changed meanwhile: %w", err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		p.conflict, p.unwritable = p.rejectedTarget(err), true
		return nil
	case err != nil:
		return fmt.Errorf("write the target: %w", err)
	}
	p.target.version = written.ResourceVersion
	p.expect(ctx, secretNamed(p.session, name), p.target.version)
	if len(written.Data) > len(data) {
		if err := p.removeForeignKeys(ctx, written, data); err != nil {
			return err
		}
	}
	if p.target.texts {
		if err := p.disownTexts(ctx, name); err != nil {
			return err
		}
		p.target.texts = false
	}
	// After a change of the spec it lacks what nobody took from it.
	p.notes.repaired = !p.target.intact && p.session.Status.TargetName == name && p.session.Status.ObservedGeneration == p.session.Generation
	p.target.intact, p.published = true, true
	return nil
}

// applyTarget applies the target and returns what is there by that. It is sent as a patch because its answer is then read as the
// Secret that it is: to read it into what was applied takes JSON.
func (p *pass) applyTarget(ctx context.Context, target *corev1apply.SecretApplyConfiguration) (*corev1.Secret, error) {
	body, err := json.Marshal(target)
	if err != nil {
		return nil, fmt.Errorf("encode the target: %w", err)
	}
	written := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: *target.Namespace, Name: *target.Name}}
	err = p.live.Patch(ctx, written, client.RawPatch(types.ApplyYAMLPatchType, body), client.FieldOwner(api.ManagedBy), client.ForceOwnership)
	return written, err //nolint:wrapcheck // the caller tells apart what it is
}

// removeForeignKeys removes what others put into the target's data. An apply leaves it alone, and pods would see it.
func (p *pass) removeForeignKeys(ctx context.Context, target *corev1.Secret, ours map[string][]byte) error {
	var operations []operation
	for key := range target.Data {
		if _, ok := ours[key]; !ok {
			escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
			operations = append(operations, operation{Op: "remove", Path: "/data/" + escaped})
		}
	}
	slices.SortFunc(operations, func(a, b operation) int { return strings.Compare(a.Path, b.Path) })
	body, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: target.Namespace, Name: target.Name}}
	if err := p.live.Patch(ctx, secret, client.RawPatch(types.JSONPatchType, body), client.FieldOwner(api.ManagedBy)); err != nil {
		return fmt.Errorf("remove foreign keys from the target: %w", err)
	}
	p.expect(ctx, secretNamed(p.session, secret.Name), secret.ResourceVersion)
	if len(secret.Data) > len(ours) {
		return errReadded
	}
	return nil
}

// errReadded slows down a quarrel with a webhook or another controller that adds keys to the target at each write.
var errReadded = errors.New("something adds keys to the target's data as soon as they are removed")

// rejectedTarget tells why the API server does not take the target, by the fields it names and never by its values.
func (p *pass) rejectedTarget(err error) *fault {
	var fields []string
	for _, cause := range causesOf(err) {
		if cause.Field != "" {
			fields = append(fields, fmt.Sprintf("%s (%s)", cause.Field, cause.Type))
		}
	}
	what := "the API server does not accept it"
	if len(fields) > 0 {
		what += ": " + strings.Join(fields, ", ")
	}
	return &fault{api.ReasonTargetConflict, fmt.Sprintf(
		"Secret %q cannot be written; %s. Check spec.target, the cluster's admission policies, and whether "+
			"the Secret is immutable. It is tried again within five minutes.",
		p.session.TargetName(), what)}
}

// causesOf are the fields that the API server found fault with.
func causesOf(err error) []metav1.StatusCause {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	return status.Status().Details.Causes
}

// removeOldTargets deletes the Secrets that held the token under earlier names, if they are still what was seen.
func (p *pass) removeOldTargets(ctx context.Context) error {
	for _, old := range p.oldTargets {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: old.Namespace, Name: old.Name}}
		err := p.live.Delete(ctx, secret, client.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete the old target: %w", err)
		}
	}
	p.oldTargets = nil
	return nil
}
