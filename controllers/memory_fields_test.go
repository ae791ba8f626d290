package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var errPrecondition = errors.New("the object has been modified")

// owner is one who writes fields of an object: a field manager with the operation it used.
type owner struct {
	manager   string
	operation metav1.ManagedFieldsOperationType
}

// fields are the parts of a Secret that have an owner each, by their path in FieldsV1, with their values.
type fields map[string]string

// owners tell which paths belong to whom. They are never changed, only replaced.
type owners map[owner]map[string]bool

const (
	dataField       = "f:data/f:"
	labelField      = "f:metadata/f:labels/f:"
	annotationField = "f:metadata/f:annotations/f:"
	referenceField  = "f:metadata/f:ownerReferences/k:"
	typeField       = "f:type"
)

func fieldsOf(secret *corev1.Secret) fields {
	f := fields{}
	for key, value := range secret.Data {
		f[dataField+key] = string(value)
	}
	for key, value := range secret.Labels {
		f[labelField+key] = value
	}
	for key, value := range secret.Annotations {
		f[annotationField+key] = value
	}
	for i := range secret.OwnerReferences {
		reference := secret.OwnerReferences[i]
		f[fmt.Sprintf("%s{\"uid\":%q}", referenceField, string(reference.UID))] = reference.String()
	}
	if secret.Type != "" {
		f[typeField] = string(secret.Type)
	}
	return f
}

func (o owners) clone() owners {
	c := owners{}
	for who, paths := range o {
		c[who] = maps.Clone(paths)
	}
	return c
}

func (o owners) equal(other owners) bool {
	return maps.EqualFunc(o, other, maps.Equal)
}

func (o owners) owned(path string) bool {
	for _, paths := range o {
		if paths[path] {
			return true
		}
	}
	return false
}

// release takes a path from all but one.
func (o owners) release(path string, but owner) {
	for who, paths := range o {
		if who != but {
			delete(paths, path)
		}
		if len(paths) == 0 {
			delete(o, who)
		}
	}
}

// updated are the owners after an update: who changes a field owns it.
func (o owners) updated(manager string, before, after fields) owners {
	next, who := o.clone(), owner{manager, metav1.ManagedFieldsOperationUpdate}
	if next[who] == nil {
		next[who] = map[string]bool{}
	}
	for path, value := range after {
		if old, ok := before[path]; !ok || old != value {
			next.release(path, owner{})
			if next[who] == nil {
				next[who] = map[string]bool{}
			}
			next[who][path] = true
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			next.release(path, owner{})
		}
	}
	if len(next[who]) == 0 {
		delete(next, who)
	}
	return next
}

// apply merges what is wanted into a Secret, by force. What the manager applied before and leaves out now goes, unless
// somebody else owns it too.
func (o owners) apply(manager string, old, wanted *corev1.Secret) (*corev1.Secret, owners) {
	next, who := o.clone(), owner{manager, metav1.ManagedFieldsOperationApply}
	secret, before, after := old.DeepCopy(), fieldsOf(old), fieldsOf(wanted)
	left := next[who]
	next[who] = map[string]bool{}
	for path, value := range after {
		if before[path] != value {
			next.release(path, who)
			if next[who] == nil {
				next[who] = map[string]bool{}
			}
		}
		next[who][path] = true
	}
	for path := range left {
		if _, ok := after[path]; !ok && !next.owned(path) {
			removeField(secret, path)
		}
	}
	for key, value := range wanted.Data {
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		secret.Data[key] = slices.Clone(value)
	}
	for key, value := range wanted.Labels {
		metav1.SetMetaDataLabel(&secret.ObjectMeta, key, value)
	}
	for key, value := range wanted.Annotations {
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, key, value)
	}
	for _, reference := range wanted.OwnerReferences {
		secret.OwnerReferences = slices.DeleteFunc(secret.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == reference.UID })
		secret.OwnerReferences = append(secret.OwnerReferences, reference)
	}
	if wanted.Type != "" {
		secret.Type = wanted.Type
	}
	return secret, next
}

func removeField(secret *corev1.Secret, path string) {
	if key, ok := strings.CutPrefix(path, dataField); ok {
		delete(secret.Data, key)
	}
	if key, ok := strings.CutPrefix(path, labelField); ok {
		delete(secret.Labels, key)
	}
	if key, ok := strings.CutPrefix(path, annotationField); ok {
		delete(secret.Annotations, key)
	}
	if key, ok := strings.CutPrefix(path, referenceField); ok {
		secret.OwnerReferences = slices.DeleteFunc(secret.OwnerReferences, func(r metav1.OwnerReference) bool {
			return key == fmt.Sprintf("{\"uid\":%q}", string(r.UID))
		})
	}
}

// entries renders the owners as managedFields.
func (o owners) entries() []metav1.ManagedFieldsEntry {
	var rendered []metav1.ManagedFieldsEntry
	for who, paths := range o {
		tree := map[string]any{}
		for path := range paths {
			grow(tree, path)
		}
		raw, err := json.Marshal(tree)
		if err != nil {
			panic(err) // strings and maps of strings
		}
		rendered = append(rendered, metav1.ManagedFieldsEntry{
			Manager: who.manager, Operation: who.operation, APIVersion: "v1", FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(string(raw)),
		})
	}
	return rendered
}

// grow adds a path to a FieldsV1 tree. A step begins with f: or k:, so that a slash within a key is none.
func grow(tree map[string]any, path string) {
	for path != "" {
		end := len(path)
		for _, next := range []string{"/f:", "/k:"} {
			if i := strings.Index(path, next); i >= 0 {
				end = min(end, i)
			}
		}
		step := path[:end]
		path = strings.TrimPrefix(path[end:], "/")
		child, ok := tree[step].(map[string]any)
		if !ok {
			child = map[string]any{}
			tree[step] = child
		}
		tree = child
	}
}

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func byName(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }
