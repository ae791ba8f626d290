package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// memoryClient is the operator's way to kubernetes. Each request is handed to send, which makes it or does not, and may
// lose the answer.
type memoryClient struct {
	client.Client // nil: what is not modelled here must not be called

	kubernetes *kubernetes
	send       func(ctx context.Context, request apiRequest, do func() error) error
}

// apiRequest is what a request to the API server is about.
type apiRequest struct {
	verb verb
	name types.NamespacedName
	// object is the Secret as it is sent, if it is.
	object *corev1.Secret
	patch  []byte
}

type verb string

const (
	getVerb         verb = "get"
	createVerb      verb = "create"
	updateVerb      verb = "update"
	patchVerb       verb = "patch"
	applyVerb       verb = "apply"
	deleteVerb      verb = "delete"
	finalizerVerb   verb = "write the finalizers of"
	applyStatusVerb verb = "apply status of"
)

var errNotModelled = errors.New("not modelled")

func (c memoryClient) Get(ctx context.Context, name client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	return c.send(ctx, apiRequest{verb: getVerb, name: name}, func() error {
		switch into := o.(type) {
		case *corev1.Secret:
			secret, err := c.kubernetes.getSecret(name)
			return answer(secret, err, into)
		case *api.SecretServerSession:
			s, err := c.kubernetes.getSession(name)
			if err == nil {
				s.DeepCopyInto(into)
			}
			return err
		}
		return fmt.Errorf("get %T: %w", o, errNotModelled)
	})
}

func (c memoryClient) Create(ctx context.Context, o client.Object, options ...client.CreateOption) error {
	secret, ok := o.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("create %T: %w", o, errNotModelled)
	}
	by := (&client.CreateOptions{}).ApplyOptions(options).FieldManager
	return c.send(ctx, apiRequest{verb: createVerb, name: nameOf(secret), object: secret}, func() error {
		created, err := c.kubernetes.createSecret(secret, by)
		return answer(created, err, secret)
	})
}

func (c memoryClient) Update(ctx context.Context, o client.Object, options ...client.UpdateOption) error {
	secret, ok := o.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("update %T: %w", o, errNotModelled)
	}
	by := (&client.UpdateOptions{}).ApplyOptions(options).FieldManager
	return c.send(ctx, apiRequest{verb: updateVerb, name: nameOf(secret), object: secret}, func() error {
		updated, err := c.kubernetes.updateSecret(secret, by)
		return answer(updated, err, secret)
	})
}

func (c memoryClient) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.PatchOption) error {
	if s, ok := o.(*api.SecretServerSession); ok && patch.Type() == types.MergePatchType {
		return c.patchFinalizers(ctx, s, patch)
	}
	secret, ok := o.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("patch %T by %s: %w", o, patch.Type(), errNotModelled)
	}
	body, err := patch.Data(o)
	if err != nil {
		return err
	}
	how := (&client.PatchOptions{}).ApplyOptions(options)
	switch patch.Type() {
	case types.JSONPatchType:
	case types.ApplyYAMLPatchType:
		return c.applySecret(ctx, secret, body, how)
	default:
		return fmt.Errorf("patch a Secret by %s: %w", patch.Type(), errNotModelled)
	}
	return c.send(ctx, apiRequest{verb: patchVerb, name: nameOf(secret), patch: body}, func() error {
		patched, err := c.kubernetes.patchSecret(nameOf(secret), body, how.FieldManager)
		return answer(patched, err, secret)
	})
}

func (c memoryClient) patchFinalizers(ctx context.Context, s *api.SecretServerSession, patch client.Patch) error {
	body, err := patch.Data(s)
	if err != nil {
		return err
	}
	var change struct {
		Metadata finalizerPatch `json:"metadata"`
	}
	if err := json.Unmarshal(body, &change); err != nil {
		return fmt.Errorf("decode patch: %w", err)
	}
	return c.send(ctx, apiRequest{verb: finalizerVerb, name: nameOf(s), patch: body}, func() error {
		patched, err := c.kubernetes.setFinalizers(nameOf(s), change.Metadata)
		if err == nil {
			patched.DeepCopyInto(s)
		}
		return err
	})
}

func (c memoryClient) Delete(ctx context.Context, o client.Object, options ...client.DeleteOption) error {
	only := ptr.Deref((&client.DeleteOptions{}).ApplyOptions(options).Preconditions, metav1.Preconditions{})
	return c.send(ctx, apiRequest{verb: deleteVerb, name: nameOf(o)}, func() error {
		return c.kubernetes.deleteSecret(nameOf(o), only)
	})
}

func (c memoryClient) applySecret(ctx context.Context, answered *corev1.Secret, body []byte, o *client.PatchOptions) error {
	if !ptr.Deref(o.Force, false) {
		return fmt.Errorf("apply a Secret, not by force: %w", errNotModelled)
	}
	if err := json.Unmarshal(body, answered); err != nil { // for who looks at it though there was no answer
		return fmt.Errorf("decode what is applied: %w", err)
	}
	wanted := answered.DeepCopy()
	return c.send(ctx, apiRequest{verb: applyVerb, name: nameOf(wanted), object: wanted}, func() error {
		secret, err := c.kubernetes.applySecret(wanted, o.FieldManager)
		return answer(secret, err, answered)
	})
}

func (c memoryClient) Status() client.SubResourceWriter { return statusWriter{client: c} }

type statusWriter struct {
	client.SubResourceWriter // nil: what is not modelled here must not be called

	client memoryClient
}

func (w statusWriter) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	answered, ok := o.(*metav1.PartialObjectMetadata)
	how := (&client.SubResourcePatchOptions{}).ApplyOptions(options)
	if !ok || patch.Type() != types.ApplyYAMLPatchType || !ptr.Deref(how.Force, false) {
		return fmt.Errorf("patch the status of %T by %s: %w", o, patch.Type(), errNotModelled)
	}
	body, err := patch.Data(o)
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	var applied struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Status   json.RawMessage   `json:"status"`
	}
	if err := json.Unmarshal(body, &applied); err != nil {
		return fmt.Errorf("decode patch: %w", err)
	}
	return w.client.send(ctx, apiRequest{verb: applyStatusVerb, name: nameOf(o), patch: applied.Status}, func() error {
		s, err := w.client.kubernetes.applyStatus(nameOf(o), applied.Metadata.ResourceVersion, applied.Status)
		if err == nil {
			s.ObjectMeta.DeepCopyInto(&answered.ObjectMeta)
		}
		return err
	})
}

func answer(secret *corev1.Secret, err error, into *corev1.Secret) error {
	if err == nil {
		secret.DeepCopyInto(into)
	}
	return err
}

// purpose says what a request is for.
func (r apiRequest) purpose() string {
	if r.verb != patchVerb {
		return string(r.verb)
	}
	switch text := string(r.patch); {
	case strings.Contains(text, `"from":"/data/`+keyRefreshToken+`"`):
		return claimPurpose
	case strings.Contains(text, `"from":"/data/`+keyClaimedRefreshToken+`"`):
		return putBackPurpose
	}
	return string(patchVerb)
}

const (
	claimPurpose   = "claim the refresh token of"
	putBackPurpose = "put back the refresh token of"
)

var _ client.Client = memoryClient{}
