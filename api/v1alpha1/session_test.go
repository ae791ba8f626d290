package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const verification = "spec.verification.intervalSeconds"

var sessionRules = []rule{
	{story: "a name of 244 characters", session: long(244)},
	{story: "a name of 245 characters", session: long(245)},
	{
		story:   "a name of 246 characters",
		session: long(246),
		advice:  "the name is at most 245 characters, since the state is kept in a Secret named <name>-session",
	},
	refused("no endpoint", "spec.endpoint", nil, "Required value"),
	refused("no url", url, nil, "Required value"),
	refused("no credentials", "spec.credentials", nil, "Required value"),

	accepted("a renewal after 10 percent", "spec.refresh.percent", int64(10)),
	accepted("a renewal after 90 percent", "spec.refresh.percent", int64(90)),
	refused("a renewal after 9 percent", "spec.refresh.percent", int64(9), "greater than or equal to 10"),
	refused("a renewal after 91 percent", "spec.refresh.percent", int64(91), "less than or equal to 90"),
	refused("a renewal after 0 percent", "spec.refresh.percent", int64(0), "greater than or equal to 10"),
	refused("a renewal after a share that is no number", "spec.refresh.percent", "67%", "must be of type integer"),

	accepted("a verification every 30 seconds", verification, int64(30)),
	accepted("a verification once a day", verification, int64(86400)),
	refused("a verification every 29 seconds", verification, int64(29), "greater than or equal to 30"),
	refused("a verification every 0 seconds", verification, int64(0), "greater than or equal to 30"),
	refused("a verification less than once a day", verification, int64(86401), "less than or equal to 86400"),
	refused("a verification at an interval that is no number", verification, "5m", "must be of type integer"),
	{
		story:  "a verification without an interval",
		fields: []field{{"spec.verification", map[string]any{}}},
		at:     verification,
		advice: "Required value",
	},

	accepted("a token that is retained", "spec.deletionPolicy", "Retain"),
	accepted("a token that is revoked", "spec.deletionPolicy", "Revoke"),
	refused("a deletion policy that is neither", "spec.deletionPolicy", "Delete", "Unsupported value"),
	refused("an empty deletion policy", "spec.deletionPolicy", "", "Unsupported value"),

	accepted("a suspension", "spec.suspend", true),
	refused("a suspension that is no boolean", "spec.suspend", "yes", "must be of type boolean"),
}

var _ = Describe("A session", func() { tell(sessionRules) })

var _ = DescribeTable("A session's default",
	func(ctx SpecContext, path string, value any, given ...field) {
		s := sessionNamed("billing", given...)
		Expect(admin.Create(ctx, s, client.DryRunAll)).To(Succeed())
		if value == nil {
			Expect(get(s, path)).To(BeNil(), "no default")
			return
		}
		Expect(get(s, path)).To(Equal(value))
	},
	Entry("timeout is 30 seconds", "spec.endpoint.timeoutSeconds", int64(30)),
	Entry("CA bundle is none", caBundle, nil),
	Entry("kind of CA bundle is a ConfigMap", caBundle+".kind", "ConfigMap", field{caBundle + ".name", "vault-ca"}),
	Entry("key of a CA bundle is ca.crt", caBundle+".key", "ca.crt", field{caBundle + ".name", "vault-ca"}),
	Entry("key of the user name is username", "spec.credentials.usernameKey", "username"),
	Entry("key of the password is password", "spec.credentials.passwordKey", "password"),
	Entry("domain is none", "spec.credentials.domain", nil),
	Entry("target's name is left to the session's", "spec.target.name", nil),
	Entry("target's type is Opaque", "spec.target.type", "Opaque"),
	Entry("target's type is Opaque when the target is null", "spec.target.type", "Opaque", field{"spec.target", nil}),
	Entry("share of the lifetime is 67 percent", "spec.refresh.percent", int64(67)),
	Entry("share of the lifetime is 67 percent when refresh is empty", "spec.refresh.percent", int64(67), field{"spec.refresh", map[string]any{}}),
	Entry("verification is none", "spec.verification", nil),
	Entry("deletion policy is to retain the token", "spec.deletionPolicy", "Retain"),
	Entry("suspension is none", "spec.suspend", nil),
)
