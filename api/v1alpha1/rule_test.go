package v1alpha1_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rule is one case of a validation rule: a session that the API server takes, or refuses with a word of advice.
type rule struct {
	story   string
	session string // its name; by default "billing"
	fields  []field
	at      string // the field that the refusal names; empty: the session as a whole
	advice  string // a part of the refusal; empty: the session is accepted
}

// accepted and refused make the cases about one field.
func accepted(story, path string, value any) rule {
	return rule{story: story, fields: []field{{path, value}}}
}

func refused(story, path string, value any, advice string) rule {
	return rule{story: story, fields: []field{{path, value}}, at: path, advice: advice}
}

// refusedItem is refused with one item of a map.
func refusedItem(story, path, key string, value any, advice string) rule {
	return rule{story: story, fields: []field{{path + "." + key, value}}, at: path + "[" + key + "]", advice: advice}
}

// given adds fields that the case needs beside its own.
func (r rule) given(fields ...field) rule {
	r.fields = append(fields, r.fields...)
	return r
}

// tell makes one spec of each case.
func tell(rules []rule) {
	for _, r := range rules {
		It(r.story, func(ctx SpecContext) { r.check(ctx) })
	}
}

func (r rule) check(ctx context.Context) {
	GinkgoHelper()
	name := r.session
	if name == "" {
		name = "billing"
	}
	err := admin.Create(ctx, sessionNamed(name, r.fields...), client.DryRunAll)
	if r.advice == "" {
		Expect(err).NotTo(HaveOccurred())
		return
	}
	expectRefusal(err, r.at, r.advice)
}

// expectRefusal expects that the API server refused a session, with advice about the field at fault.
func expectRefusal(err error, at, advice string) {
	GinkgoHelper()
	Expect(err).To(HaveOccurred(), "the API server accepts it")
	Expect(apierrors.IsInvalid(err)).To(BeTrue(), "not refused by validation: %v", err)
	status, ok := errors.AsType[*apierrors.StatusError](err)
	Expect(ok).To(BeTrue())
	var told []string
	for _, cause := range status.ErrStatus.Details.Causes {
		told = append(told, cause.Field+": "+cause.Message)
	}
	Expect(told).To(ContainElement(And(HavePrefix(fieldName(at)+": "), ContainSubstring(advice))))
}

// fieldName is a path as the API server writes it in a refusal of the session as a whole or of one field.
func fieldName(at string) string {
	if at == "" {
		return "<nil>"
	}
	return at
}

// long is a string of n characters that fits where names do.
func long(n int) string { return strings.Repeat("a", n) }

// many is a map with n entries that fit where labels do.
func many(n int) map[string]any {
	entries := map[string]any{}
	for i := range n {
		entries[fmt.Sprintf("key-%d", i)] = "value"
	}
	return entries
}
