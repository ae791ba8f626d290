package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// hasFinalizer reports whether an object bears our finalizer.
func hasFinalizer(o metav1.Object) bool {
	return slices.Contains(o.GetFinalizers(), api.FinalizerRevoke)
}

// addFinalizer makes the API server keep the session until its token is revoked.
func (p *pass) addFinalizer(ctx context.Context) error {
	return p.setFinalizer(ctx, true)
}

// removeFinalizer lets the session go, and then tells what became of its tokens.
func (p *pass) removeFinalizer(ctx context.Context) error {
	p.concludeDeparture()
	detached, cancel := settling(ctx)
	defer cancel()
	err := p.setFinalizer(detached, false)
	if err == nil && p.departure != nil {
		p.tellEnded(ctx, p.departure.ended...)
	}
	return err
}

// setFinalizer adds or removes our finalizer on the session as it is now: those of others stay what they are. It does so
// only as long as the spec is the one that was observed.
func (p *pass) setFinalizer(ctx context.Context, wanted bool) error {
	current := p.session
	for {
		if hasFinalizer(current) == wanted {
			p.tookFinalizers(ctx, current.Finalizers, current.ResourceVersion) // the answer to an earlier write was lost
			return nil
		}
		finalizers := slices.DeleteFunc(slices.Clone(current.Finalizers), func(f string) bool { return f == api.FinalizerRevoke })
		if wanted {
			finalizers = append(finalizers, api.FinalizerRevoke)
		}
		patched := &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{Namespace: p.session.Namespace, Name: p.session.Name}}
		err := p.patchFinalizers(ctx, patched, current, finalizers)
		switch {
		case err == nil:
			p.tookFinalizers(ctx, finalizers, patched.ResourceVersion)
			return nil
		case apierrors.IsNotFound(err):
			return p.foundGone(ctx)
		case !apierrors.IsConflict(err):
			return fmt.Errorf("write the session's finalizers: %w", err)
		}
		before := current.ResourceVersion
		current = &api.SecretServerSession{}
		switch readErr := p.live.Get(ctx, p.name(), current); {
		case apierrors.IsNotFound(readErr), readErr == nil && current.UID != p.session.UID:
			return p.foundGone(ctx)
		case readErr != nil:
			return fmt.Errorf("read the session: %w", readErr)
		case current.ResourceVersion == before:
			return fmt.Errorf("write the session's finalizers, in a conflict with nobody: %w", err)
		case current.Generation != p.session.Generation, !sameStatus(current.Status, p.session.Status):
			// Another spec, or a deletion, may want something else. Another status tells of something newer than this pass
			// knows, and must not be overwritten with the version that was just read.
			return fmt.Errorf("the session has changed meanwhile: %w", errBehind)
		}
	}
}

// patchFinalizers replaces the finalizers if the object is still what was read.
func (p *pass) patchFinalizers(ctx context.Context, patched, read *api.SecretServerSession, finalizers []string) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": read.UID, "resourceVersion": read.ResourceVersion, "finalizers": finalizers,
	}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	return p.live.Patch(ctx, patched, client.RawPatch(types.MergePatchType, body), client.FieldOwner(api.ManagedBy))
}

// foundGone ends the work on a session that the API server does not have any more. If the cache did not show its deletion yet,
// it will.
func (p *pass) foundGone(ctx context.Context) error {
	if p.session.DeletionTimestamp.IsZero() {
		return fmt.Errorf("the session is gone: %w", errBehind)
	}
	p.tookFinalizers(ctx, nil, "")
	return nil
}

// tookFinalizers goes on from what was written, and from the spec that was observed.
func (p *pass) tookFinalizers(ctx context.Context, finalizers []string, version string) {
	next := p.session.DeepCopy()
	next.Finalizers = finalizers
	gone := version == "" || (len(finalizers) == 0 && !next.DeletionTimestamp.IsZero())
	if !gone {
		next.ResourceVersion = version
		p.wroteSession(ctx, p, version)
	}
	p.session = next
}
