package controllers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

var (
	secretResource  = schema.GroupResource{Resource: "secrets"}
	sessionResource = schema.GroupResource{Group: api.Group, Resource: "secretserversessions"}
)

// kubernetes is an API server in memory: of Secrets and sessions as much as the operator uses, and that exactly. Its
// objects are never changed, only replaced, so that the history can hold them. It knows no validation but what the
// operator can run into.
type kubernetes struct {
	now      func() time.Time
	version  int64
	uids     int
	secrets  map[types.NamespacedName]*heldSecret
	sessions map[types.NamespacedName]*api.SecretServerSession
	history  []change

	// Faults that no API server has, for the proof that the properties notice them.
	forgetsPatches bool // JSON patches are answered and not kept
	forgetsTests   bool // JSON patches: "test" holds always
	copiesMoves    bool // JSON patches: "move" leaves the source where it was
	anyUpdate      bool // updates: resource version and UID are not compared
	anyApply       bool // applies: neither
}

// heldSecret is a Secret and who owns which of its fields.
type heldSecret struct {
	*corev1.Secret
	owners owners
}

// change is one event of a watch. Without an object it tells of a deletion.
type change struct {
	name    types.NamespacedName
	secret  *heldSecret
	session *api.SecretServerSession
	kind    objectKind
}

func newKubernetes(now func() time.Time) *kubernetes {
	return &kubernetes{
		now:      now,
		version:  100,
		secrets:  map[types.NamespacedName]*heldSecret{},
		sessions: map[types.NamespacedName]*api.SecretServerSession{},
	}
}

func (k *kubernetes) nextVersion() string {
	k.version++
	return strconv.FormatInt(k.version, 10)
}

func (k *kubernetes) nextUID() types.UID {
	k.uids++
	return types.UID(fmt.Sprintf("uid-%d", k.uids))
}

func (k *kubernetes) getSession(name types.NamespacedName) (*api.SecretServerSession, error) {
	s := k.sessions[name]
	if s == nil {
		return nil, apierrors.NewNotFound(sessionResource, name.Name)
	}
	return s, nil
}

func (k *kubernetes) getSecret(name types.NamespacedName) (*corev1.Secret, error) {
	held := k.secrets[name]
	if held == nil {
		return nil, apierrors.NewNotFound(secretResource, name.Name)
	}
	return held.Secret, nil
}

func (k *kubernetes) createSecret(wanted *corev1.Secret, manager string) (*corev1.Secret, error) {
	name := nameOf(wanted)
	switch {
	case wanted.ResourceVersion != "":
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	case k.secrets[name] != nil:
		return nil, apierrors.NewAlreadyExists(secretResource, name.Name)
	}
	secret := wanted.DeepCopy()
	secret.UID, secret.CreationTimestamp = k.nextUID(), metav1.NewTime(k.now()).Rfc3339Copy()
	if secret.Type == "" {
		secret.Type = corev1.SecretTypeOpaque
	}
	return k.putSecret(secret, owners{}.updated(manager, nil, fieldsOf(secret))), nil
}

func (k *kubernetes) updateSecret(wanted *corev1.Secret, manager string) (*corev1.Secret, error) {
	name := nameOf(wanted)
	held := k.secrets[name]
	switch {
	case held == nil:
		return nil, apierrors.NewNotFound(secretResource, name.Name)
	case k.anyUpdate:
	case wanted.ResourceVersion != "" && wanted.ResourceVersion != held.ResourceVersion,
		wanted.UID != "" && wanted.UID != held.UID:
		return nil, conflict(secretResource, name)
	}
	if wanted.Type != held.Type {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind(secretKind).GroupKind(), name.Name,
			field.ErrorList{field.Invalid(field.NewPath("type"), "", "field is immutable")})
	}
	secret := wanted.DeepCopy()
	secret.UID, secret.ResourceVersion, secret.CreationTimestamp = held.UID, held.ResourceVersion, held.CreationTimestamp
	secret.ManagedFields = nil
	if equality.Semantic.DeepEqual(secret, held.Secret) {
		return held.Secret, nil // nothing changes, and nobody hears of it
	}
	return k.putSecret(secret, held.owners.updated(manager, fieldsOf(held.Secret), fieldsOf(secret))), nil
}

// patchSecret applies a JSON patch.
func (k *kubernetes) patchSecret(name types.NamespacedName, patch []byte, manager string) (*corev1.Secret, error) {
	held := k.secrets[name]
	if held == nil {
		return nil, apierrors.NewNotFound(secretResource, name.Name)
	}
	patched, err := k.patched(held.Secret, patch)
	if err != nil {
		return nil, apierrors.NewGenericServerResponse(422, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	if k.forgetsPatches {
		return patched, nil
	}
	return k.updateSecret(patched, manager)
}

// applySecret is a forced server-side apply of the fields that wanted sets.
func (k *kubernetes) applySecret(wanted *corev1.Secret, manager string) (*corev1.Secret, error) {
	name := nameOf(wanted)
	held := k.secrets[name]
	switch {
	case k.anyApply && held != nil:
	case held == nil && wanted.UID != "":
		return nil, conflict(secretResource, name)
	case held == nil: // a resource version does not keep it from creating
		held = &heldSecret{Secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}}
	case wanted.UID != "" && wanted.UID != held.UID, wanted.ResourceVersion != "" && wanted.ResourceVersion != held.ResourceVersion:
		return nil, conflict(secretResource, name)
	}
	secret, ownedBy := held.owners.apply(manager, held.Secret, wanted)
	if secret.UID == "" {
		secret.UID, secret.CreationTimestamp = k.nextUID(), metav1.NewTime(k.now()).Rfc3339Copy()
	} else if secret.Type != held.Type {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind(secretKind).GroupKind(), name.Name,
			field.ErrorList{field.Invalid(field.NewPath("type"), "", "field is immutable")})
	}
	if equality.Semantic.DeepEqual(secret, held.Secret) && ownedBy.equal(held.owners) {
		return held.Secret, nil
	}
	return k.putSecret(secret, ownedBy), nil
}

func (k *kubernetes) deleteSecret(name types.NamespacedName, only metav1.Preconditions) error {
	held := k.secrets[name]
	switch {
	case held == nil:
		return apierrors.NewNotFound(secretResource, name.Name)
	case only.UID != nil && *only.UID != held.UID, only.ResourceVersion != nil && *only.ResourceVersion != held.ResourceVersion:
		return conflict(secretResource, name)
	}
	delete(k.secrets, name)
	k.nextVersion()
	k.history = append(k.history, change{name: name, kind: secretObject})
	return nil
}

// putSecret keeps a Secret as it is from now on.
func (k *kubernetes) putSecret(secret *corev1.Secret, ownedBy owners) *corev1.Secret {
	secret.ResourceVersion = k.nextVersion()
	held := &heldSecret{secret, ownedBy}
	name := nameOf(secret)
	k.secrets[name] = held
	k.history = append(k.history, change{name: name, secret: held, kind: secretObject})
	return secret
}

// putSession creates a session, or changes one as a user does: a changed spec is a new generation.
func (k *kubernetes) putSession(wanted *api.SecretServerSession) {
	s := wanted.DeepCopy()
	old := k.sessions[nameOf(s)]
	switch {
	case old == nil:
		s.UID, s.Generation = k.nextUID(), 1
	case equality.Semantic.DeepEqual(old, s):
		return
	case !equality.Semantic.DeepEqual(old.Spec, s.Spec):
		s.Generation++
	}
	k.keepSession(s)
}

func (k *kubernetes) keepSession(s *api.SecretServerSession) {
	s.ResourceVersion = k.nextVersion()
	k.sessions[nameOf(s)] = s
	k.history = append(k.history, change{name: nameOf(s), session: s, kind: sessionObject})
}

// deleteSession deletes a session, or marks it as deleted if finalizers hold it.
func (k *kubernetes) deleteSession(name types.NamespacedName) {
	if old := k.sessions[name]; len(old.Finalizers) > 0 {
		if old.DeletionTimestamp.IsZero() {
			s := old.DeepCopy()
			s.DeletionTimestamp = new(metav1.NewTime(k.now()).Rfc3339Copy())
			s.Generation++
			k.keepSession(s)
		}
		return
	}
	k.dropSession(name)
}

func (k *kubernetes) dropSession(name types.NamespacedName) {
	delete(k.sessions, name)
	k.nextVersion()
	k.history = append(k.history, change{name: name, kind: sessionObject})
}

// finalizerPatch is a merge patch of a session's finalizers.
type finalizerPatch struct {
	UID             types.UID `json:"uid"`
	ResourceVersion string    `json:"resourceVersion"`
	Finalizers      []string  `json:"finalizers"`
}

// setFinalizers replaces a session's finalizers. One that is deleted goes with the last of them.
func (k *kubernetes) setFinalizers(name types.NamespacedName, patch finalizerPatch) (*api.SecretServerSession, error) {
	old := k.sessions[name]
	switch {
	case old == nil:
		return nil, apierrors.NewNotFound(sessionResource, name.Name)
	case patch.UID != old.UID || patch.ResourceVersion != old.ResourceVersion:
		return nil, conflict(sessionResource, name)
	}
	s := old.DeepCopy()
	s.Finalizers = patch.Finalizers
	if len(s.Finalizers) == 0 && !s.DeletionTimestamp.IsZero() {
		k.dropSession(name)
		return s, nil
	}
	k.keepSession(s)
	return s, nil
}

// applyStatus takes over a whole status, as the one who owns all of it.
func (k *kubernetes) applyStatus(name types.NamespacedName, version string, status []byte) (*api.SecretServerSession, error) {
	old := k.sessions[name]
	switch {
	case old == nil:
		return nil, apierrors.NewNotFound(sessionResource, name.Name)
	case version != "" && version != old.ResourceVersion: // a UID is not compared
		return nil, conflict(sessionResource, name)
	}
	s := old.DeepCopy()
	s.Status = api.SecretServerSessionStatus{}
	if err := json.Unmarshal(status, &s.Status); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if equality.Semantic.DeepEqual(s, old) {
		return old, nil
	}
	k.keepSession(s)
	return s, nil
}

// collectGarbage deletes the Secrets whose session is no more.
func (k *kubernetes) collectGarbage() {
	for _, name := range slices.SortedFunc(maps.Keys(k.secrets), byName) {
		owner := metav1.GetControllerOf(k.secrets[name].Secret)
		if owner == nil || owner.Kind != api.Kind {
			continue
		}
		s := k.sessions[types.NamespacedName{Namespace: name.Namespace, Name: owner.Name}]
		if s == nil || s.UID != owner.UID {
			if err := k.deleteSecret(name, metav1.Preconditions{}); err != nil {
				panic(err) // without preconditions nothing stands against it
			}
		}
	}
}

func conflict(resource schema.GroupResource, name types.NamespacedName) error {
	return apierrors.NewConflict(resource, name.Name, errPrecondition)
}
