package v1alpha1_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	targetName  = "spec.target.name"
	targetType  = "spec.target.type"
	labels      = "spec.target.labels"
	annotations = "spec.target.annotations"
	data        = "spec.target.data"

	wouldOverwrite = "must differ from credentials.secretRef.name: the token would overwrite the password"
	labelKey       = "a label's key is a name of at most 63 letters, digits, -, _ and ."
	labelValue     = "a label's value is empty, or at most 63 letters, digits, -, _ and ."
	dataKey        = "a key of data has at most 253 letters, digits, -, _ and ., and does not begin with two dots"
	annotationKey  = "an annotation's key is a name of at most 63 letters, digits, -, _ and ."
)

var targetRules = []rule{
	accepted("nothing at all", "spec.target", nil),
	accepted("a name with dots", targetName, "billing.token-1"),
	accepted("a name of 253 characters", targetName, long(253)),
	refused("a name of 254 characters", targetName, long(254), "may not be more than 253"),
	refused("an empty name", targetName, "", "at least 1 chars"),
	refused("a name that no Secret can have", targetName, "Billing_Token", "target.name must be a name that a Secret can have: lower-case letters"),
	{story: "the credentials Secret's name", fields: []field{{targetName, "account"}}, advice: wouldOverwrite},
	{story: "no name, and the credentials Secret is named like the session", session: "account", advice: wouldOverwrite},
	{
		story:   "an empty target, and the credentials Secret is named like the session",
		session: "account",
		fields:  []field{{"spec.target", map[string]any{}}},
		advice:  wouldOverwrite,
	},
	{
		story:   "another name, and the credentials Secret is named like the session",
		session: "account",
		fields:  []field{{targetName, "token"}},
	},
	{
		story:  "the state Secret's name",
		fields: []field{{targetName, "billing-session"}},
		advice: "target.name must differ from <name>-session, where the operator keeps its state",
	},
	accepted("the name of another session's state Secret, which only its owner can tell", targetName, "orders-session"),

	accepted("a type of its own", targetType, "example.com/token"),
	accepted("a type of 253 characters", targetType, long(253)),
	refused("a type of 254 characters", targetType, long(254), "may not be more than 253"),
	refused("an empty type", targetType, "", "at least 1 chars"),
	refused("a type that Kubernetes fills with tokens of its own", targetType, "kubernetes.io/service-account-token", "Opaque is right for most"),
	refused("a type that lets nodes join the cluster", targetType, "bootstrap.kubernetes.io/token", "must not be one that Kubernetes or the operator acts on"),
	refused("the state Secret's type", targetType, "secretserver.tokensync.dev/session", "must not be one that Kubernetes or the operator acts on"),
}

var labelRules = []rule{
	accepted("a plain key", labels, map[string]any{"team": "payments"}),
	accepted("a key with a domain", labels, map[string]any{"example.com/Team_1.x": "payments"}),
	accepted("the longest key", labels, map[string]any{long(253) + "/" + long(63): "payments"}),
	refused("a name of 64 characters in the key", labels, map[string]any{"example.com/" + long(64): "payments"}, labelKey),
	refused("a domain of 254 characters in the key", labels, map[string]any{long(254) + "/team": "payments"}, labelKey),
	refused("a key of a hundred thousand characters", labels, map[string]any{long(100_000): "payments"}, labelKey),
	refused("an empty key", labels, map[string]any{"": "payments"}, labelKey),
	refused("a key with a blank", labels, map[string]any{"the team": "payments"}, labelKey),
	refused("a key with two slashes", labels, map[string]any{"example.com/a/b": "payments"}, labelKey),
	refused("a key with a domain in capitals", labels, map[string]any{"Example.com/team": "payments"}, labelKey),
	refused("a key that ends with a dash", labels, map[string]any{"team-": "payments"}, labelKey),

	accepted("an empty value", labels, map[string]any{"team": ""}),
	accepted("a value of 63 characters", labels, map[string]any{"team": long(63)}),
	refused("a value of 64 characters", labels+".team", long(64), "may not be more than 63"),
	refusedItem("a value with a blank", labels, "team", "the payments", labelValue),
	refusedItem("a value that ends with a dot", labels, "team", "payments.", labelValue),

	accepted("64 labels", labels, many(64)),
	refused("65 labels", labels, many(65), "must have at most 64 items"),

	accepted("another label of the recommended ones", labels, map[string]any{"app.kubernetes.io/part-of": "payments"}),
	refused("the operator's mark", labels, map[string]any{"app.kubernetes.io/managed-by": "me"}, "belong to the operator"),
	refused("the operator's domain", labels, map[string]any{"secretserver.tokensync.dev/session": "mine"}, "belong to the operator"),
}

var annotationRules = []rule{
	accepted("a plain key and any text", annotations, map[string]any{"owner": "The Payments Team <payments@example.com>\n"}),
	accepted("a key with a domain in capitals, as Kubernetes does", annotations, map[string]any{"Example.com/owner": "x"}),
	accepted("the longest key", annotations, map[string]any{long(253) + "/" + long(63): "x"}),
	refused("a name of 64 characters in the key", annotations, map[string]any{"example.com/" + long(64): "x"}, annotationKey),
	refused("a key with a blank", annotations, map[string]any{"the owner": "x"}, annotationKey),
	refused("an empty key", annotations, map[string]any{"": "x"}, annotationKey),
	accepted("a value of 4096 characters", annotations+".owner", long(4096)),
	refused("a value of 4097 characters", annotations+".owner", long(4097), "may not be more than 4096"),
	accepted("64 annotations", annotations, many(64)),
	refused("65 annotations", annotations, many(65), "must have at most 64 items"),
	refused("the operator's domain", annotations, map[string]any{"secretserver.tokensync.dev/record": "x"}, "belong to the operator"),
}

var dataRules = []rule{
	accepted("a template", data, map[string]any{"authorization": "{{ .tokenType }} {{ .token }}"}),
	accepted("an empty template", data, map[string]any{"empty": ""}),
	accepted("a template that is none, which the operator tells in the status", data, map[string]any{"broken": "{{"}),
	accepted("no templates", data, map[string]any{}),
	accepted("a key that begins with a dot", data, map[string]any{".netrc": "x"}),
	accepted("a key of 253 characters", data, map[string]any{long(253): "x"}),
	refused("a key of 254 characters", data, map[string]any{long(254): "x"}, dataKey),
	refused("a key of a hundred thousand characters", data, map[string]any{long(100_000): "x"}, dataKey),
	refused("an empty key", data, map[string]any{"": "x"}, dataKey),
	refused("a key with a slash", data, map[string]any{"a/b": "x"}, dataKey),
	refused("a key that is a dot", data, map[string]any{".": "x"}, dataKey),
	refused("a key that is two dots", data, map[string]any{"..": "x"}, dataKey),
	refused("a key that begins with two dots", data, map[string]any{"..data": "x"}, dataKey),
	accepted("a template of 8192 characters", data, map[string]any{"long": strings.Repeat("é", 8192)}),
	refused("a template of 8193 characters", data+".long", long(8193), "may not be more than 8192"),
	accepted("32 templates", data, many(32)),
	refused("33 templates", data, many(33), "must have at most 32 items"),
}

var _ = Describe("The target", func() { tell(targetRules) })

var _ = Describe("The target's labels", func() { tell(labelRules) })

var _ = Describe("The target's annotations", func() { tell(annotationRules) })

var _ = Describe("The target's data", func() { tell(dataRules) })

const typeStays = "target.type cannot be changed, since Kubernetes does not let a Secret's type change"

var _ = DescribeTable("The target's type",
	func(ctx SpecContext, before, after any, advice string) {
		s := sessionNamed("billing", field{"spec.target", before})
		if before == nil {
			unstructured.RemoveNestedField(s.Object, "spec", "target")
		}
		Expect(admin.Create(ctx, s)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, s)).To(Succeed()) })

		changed := s.DeepCopy()
		set(changed, field{"spec.target", after})
		err := admin.Update(ctx, changed, client.DryRunAll)
		if advice == "" {
			Expect(err).NotTo(HaveOccurred())
			return
		}
		expectRefusal(err, targetType, advice)
	},
	Entry("stays when the name changes", target("type", "example.com/token"), target("name", "moved", "type", "example.com/token"), ""),
	Entry("stays when it is left out and was the default", target("type", "Opaque"), target("name", "moved"), ""),
	Entry("stays when the target is left out and the type was the default", target("type", "Opaque"), nil, ""),
	Entry("may be spelled out later when the target was absent", nil, target("type", "Opaque"), ""),
	Entry("does not change", target("type", "example.com/token"), target("type", "example.com/other"), typeStays),
	Entry("does not change when the target was absent", nil, target("type", "example.com/token"), typeStays),
	Entry("does not change when the target was empty", target(), target("type", "example.com/token"), typeStays),
	Entry("does not change when the target had a name alone", target("name", "token"), target("name", "token", "type", "example.com/token"), typeStays),
	Entry("does not go back to the default when it is left out", target("type", "example.com/token"), target("name", "token"), typeStays),
	Entry("does not go back to the default when the target is left out", target("type", "example.com/token"), nil, typeStays),
	Entry("does not change together with the name", target("type", "example.com/token"), target("name", "moved", "type", "Opaque"), typeStays),
)

// target is spec.target, from pairs of a field and its value.
func target(pairs ...any) map[string]any {
	t := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		t[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return t
}
