package controllers

import (
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// The operator does not cache the data of Secrets, and yet must see that a target was edited, even while it was not
// running. The API server keeps that account: who changes a field takes its ownership from the operator's apply, and
// who adds a key owns it. So a target is intact exactly while the operator owns each field that it applied, and nobody
// else owns another key of its data, or applied stringData over it. The fields are kept as a digest.

// managedOwnership digests what the operator's apply owns of an object, and what else others put into its data.
func managedOwnership(entries []metav1.ManagedFieldsEntry) string {
	var ours, theirs []string
	mark := ""
	for _, entry := range entries {
		if entry.FieldsV1 == nil || entry.Subresource != "" {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			return "" // no digest of ours is empty: the target will be applied again
		}
		if entry.Manager == api.ManagedBy && entry.Operation == metav1.ManagedFieldsOperationApply {
			ours = leaves(fields, "")
			continue
		}
		if data, ok := fields["f:data"].(map[string]any); ok {
			theirs = append(theirs, leaves(data, "/f:data")...)
		}
		if _, ok := fields[fieldTexts]; ok {
			mark = textMark
		}
	}
	foreign := slices.DeleteFunc(theirs, func(path string) bool { return slices.Contains(ours, path) })
	return ownershipDigest(ours, foreign) + mark
}

// appliedOwnership is the managedOwnership that an apply configuration leads to.
func appliedOwnership(target *corev1apply.SecretApplyConfiguration) string {
	paths := make([]string, 0, 1+len(target.Data)+len(target.Labels)+len(target.Annotations)+len(target.OwnerReferences))
	paths = append(paths, "/f:type")
	for key := range target.Data {
		paths = append(paths, "/f:data/f:"+key)
	}
	for key := range target.Labels {
		paths = append(paths, "/f:metadata/f:labels/f:"+key)
	}
	for key := range target.Annotations {
		paths = append(paths, "/f:metadata/f:annotations/f:"+key)
	}
	for _, owner := range target.OwnerReferences {
		paths = append(paths, `/f:metadata/f:ownerReferences/k:{"uid":`+strconv.Quote(string(*owner.UID))+"}")
	}
	return ownershipDigest(paths, nil)
}

// leaves lists the paths of a FieldsV1 tree that own something themselves.
func leaves(tree map[string]any, prefix string) []string {
	var paths []string
	for key, value := range tree {
		if key == "." {
			continue
		}
		children, _ := value.(map[string]any)
		// An item of a list is owned whole.
		if len(children) == 0 || strings.HasPrefix(key, "k:") {
			paths = append(paths, prefix+"/"+key)
			continue
		}
		paths = append(paths, leaves(children, prefix+"/"+key)...)
	}
	return paths
}

// roomForPaths is enough for those of most targets, in bytes.
const roomForPaths = 512

func ownershipDigest(ours, foreign []string) string {
	slices.Sort(ours)
	slices.Sort(foreign)
	text := make([]byte, 0, roomForPaths)
	for _, path := range ours {
		text = append(append(text, path...), '\n')
	}
	text = append(text, "/\n"...)
	for _, path := range foreign {
		text = append(append(text, path...), '\n')
	}
	h := fnv.New128a()
	_, _ = h.Write(text) // a hash.Hash never returns an error
	return hex.EncodeToString(h.Sum(nil))
}
