package v1alpha1_test

import (
	"io"
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

var _ = Describe("kubectl", func() {
	var run func(arguments ...string) string
	BeforeEach(func() {
		if _, err := os.Stat(environment.ControlPlane.KubectlPath); err != nil {
			Skip("there is no kubectl beside kube-apiserver: " + err.Error())
		}
		user, err := environment.AddUser(envtest.User{Name: "reader", Groups: []string{"system:masters"}}, nil)
		Expect(err).NotTo(HaveOccurred())
		kubectl, err := user.Kubectl()
		Expect(err).NotTo(HaveOccurred())
		run = func(arguments ...string) string {
			GinkgoHelper()
			stdout, stderr, err := kubectl.Run(arguments...)
			Expect(err).NotTo(HaveOccurred())
			complaints, err := io.ReadAll(stderr)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(complaints)).To(BeEmpty())
			text, err := io.ReadAll(stdout)
			Expect(err).NotTo(HaveOccurred())
			return string(text)
		}
	})

	It("explains fields by the short name", func() {
		Expect(run("explain", "sss.spec.refresh.percent")).To(And(
			ContainSubstring("FIELD: percent <integer>"),
			ContainSubstring("percent of the token's lifetime after which it is renewed")))
		Expect(run("explain", "sss.status.refreshesSinceLogin")).To(ContainSubstring("refreshesSinceLogin is the number of refresh grants"))
	})

	It("shows what the operator tells, times to come included", func(ctx SpecContext) {
		s := sessionNamed("billing")
		Expect(admin.Create(ctx, s)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(admin.Delete(ctx, s)).To(Succeed()) })
		set(s, field{"status", map[string]any{
			"targetName": "billing", "tokenExpiresAt": "2999-01-02T03:04:05Z", "nextRefreshAt": "2999-01-02T02:04:05Z",
			"refreshCount": int64(7), "loginCount": int64(3), "lastGrant": "RefreshToken",
			"conditions": []any{map[string]any{
				"type": "Ready", "status": "True", "reason": "TokenCurrent", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z",
			}},
		}})
		Expect(admin.Status().Update(ctx, s)).To(Succeed())

		Expect(cells(run("get", "tokensync"))).To(HaveExactElements(
			HaveExactElements("NAME", "READY", "REASON", "SECRET", "EXPIRES", "NEXT REFRESH", "REFRESHES", "AGE"),
			HaveExactElements("billing", "True", "TokenCurrent", "billing", "2999-01-02T03:04:05Z", "2999-01-02T02:04:05Z", "7", MatchRegexp(`^\d+s$`)),
		))
		Expect(cells(run("get", "sss", "-o", "wide"))).To(HaveExactElements(
			ContainElements("AGE", "ENDPOINT", "LOGINS", "LAST GRANT"),
			ContainElements("https://vault.example.com/SecretServer", "3", "RefreshToken"),
		))
	})
})

// cells splits a table that kubectl printed.
func cells(table string) [][]string {
	var rows [][]string
	for line := range strings.Lines(table) {
		rows = append(rows, regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1))
	}
	return rows
}
