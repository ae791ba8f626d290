package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

var errPatch = errors.New("the patch does not fit the object")

// patched is a Secret after a JSON patch (RFC 6902) of the operations test, move, replace and remove, with paths that
// lead through objects alone.
func (k *kubernetes) patched(secret *corev1.Secret, patch []byte) (*corev1.Secret, error) {
	var operations []struct {
		Op    string `json:"op"`
		From  string `json:"from"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	if err := json.Unmarshal(patch, &operations); err != nil {
		return nil, fmt.Errorf("decode patch: %w", err)
	}
	text, err := json.Marshal(secret)
	if err != nil {
		return nil, fmt.Errorf("encode Secret: %w", err)
	}
	document := map[string]any{}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("decode Secret: %w", err)
	}
	for _, o := range operations {
		parent, key, err := lookUp(document, o.Path)
		if err != nil {
			return nil, err
		}
		value, found := parent[key]
		switch {
		case o.Op == "test" && (k.forgetsTests || found && reflect.DeepEqual(value, o.Value)):
		case o.Op == "replace" && found:
			parent[key] = o.Value
		case o.Op == "remove" && found:
			delete(parent, key)
		case o.Op == "move":
			source, from, err := lookUp(document, o.From)
			if err != nil {
				return nil, err
			}
			moved, found := source[from]
			if !found {
				return nil, fmt.Errorf("%w: nothing at %s", errPatch, o.From)
			}
			if !k.copiesMoves {
				delete(source, from)
			}
			parent[key] = moved
		default:
			return nil, fmt.Errorf("%w: %s at %s", errPatch, o.Op, o.Path)
		}
	}
	if text, err = json.Marshal(document); err != nil {
		return nil, fmt.Errorf("encode patched Secret: %w", err)
	}
	result := &corev1.Secret{}
	if err := json.Unmarshal(text, result); err != nil {
		return nil, fmt.Errorf("decode patched Secret: %w", err)
	}
	return result, nil
}

// lookUp follows a JSON pointer to the object that holds its last step.
func lookUp(document map[string]any, pointer string) (parent map[string]any, key string, err error) {
	steps := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for _, step := range steps[:len(steps)-1] {
		child, ok := document[unescape(step)].(map[string]any)
		if !ok {
			return nil, "", fmt.Errorf("%w: nothing at %s", errPatch, pointer)
		}
		document = child
	}
	return document, unescape(steps[len(steps)-1]), nil
}

func unescape(step string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(step) }
