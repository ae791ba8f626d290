package controllers_test

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// logged are the lines of the log about sessions of a namespace, as what they tell: an event, or a condition's reason.
func logged(w *world) []string {
	var lines []string
	for line := range strings.Lines(output.String()) {
		if !strings.Contains(line, `"namespace":"`+w.namespace+`"`) {
			continue
		}
		told := "something else: " + line
		for _, field := range []string{`"event":"`, `"reason":"`} {
			if _, rest, ok := strings.Cut(line, field); ok {
				told, _, _ = strings.Cut(rest, `"`)
				break
			}
		}
		lines = append(lines, told)
	}
	return lines
}

var _ = Describe("The log", func() {
	It("has one line about a login, and none about refreshes and passes with nothing to do", func(ctx SpecContext) {
		w := newWorld(ctx, shortLived)
		startOperator(inNamespaces(w.namespace))
		s := w.create(ctx, "billing")
		Eventually(func() int64 { return status(ctx, s)().RefreshCount }).Should(BeEquivalentTo(2))
		update(ctx, s, func(s *api.SecretServerSession) { s.Labels = map[string]string{"touched": "yes"} })
		Consistently(func() []string { return logged(w) }).WithTimeout(time.Second).Should(Equal([]string{api.EventLoggedIn}))
	})

	It("has one line about each transition", func(ctx SpecContext) {
		w := newWorld(ctx)
		startOperator(inNamespaces(w.namespace))
		By("a session whose credentials are not there yet")
		s := w.create(ctx, "billing", func(s *api.SecretServerSession) { s.Spec.Credentials.SecretRef.Name = "later" })
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal("Stalled=True " + api.ReasonCredentialsNotFound))
		By("they come")
		w.createCredentials(ctx, "later", username, password)
		Eventually(condition(ctx, s, api.ConditionReady)).Should(Equal(ready))
		By("a template that is wrong, and then right")
		update(ctx, s, func(s *api.SecretServerSession) { s.Spec.Target.Data = map[string]api.Template{"a": "{{ .nothing }}"} })
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal("Stalled=True " + api.ReasonTemplateInvalid))
		update(ctx, s, func(s *api.SecretServerSession) { s.Spec.Target.Data = nil })
		Eventually(condition(ctx, s, api.ConditionStalled)).Should(Equal("Stalled absent"))

		Consistently(func() []string { return logged(w) }).WithTimeout(time.Second).Should(Equal([]string{
			api.ReasonCredentialsNotFound, api.EventLoggedIn, api.ReasonTemplateInvalid, api.ReasonTokenCurrent,
		}))
	})
})
