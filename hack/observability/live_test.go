package observability

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// TestPrometheusSeesTheOperator is one story: a Prometheus that scrapes two replicas sees nothing to alert about while all is
// well, each alert's expression when something is wrong, and all that the dashboard asks for.
func TestPrometheusSeesTheOperator(t *testing.T) {
	s := newStage(t)
	addresses := []string{s.freeAddress(t), s.freeAddress(t)}
	seen := s.observe(t, addresses)
	expected := rules(t).alerts()
	// sees waits until an alert's expression has a value; an alert that was seen is expected no more.
	sees := func(t *testing.T, alerts ...string) {
		t.Helper()
		for _, alert := range alerts {
			i := indexOf(expected, alert)
			s.Expect(i).To(BeNumerically(">=", 0), alert)
			s.Eventually(func() ([]sample, error) { return seen.query(t.Context(), expected[i].Expr) }).ShouldNot(BeEmpty(), alert)
			expected = append(expected[:i], expected[i+1:]...)
		}
	}

	chapter := func(title string, tell func()) {
		t.Helper()
		t.Log(title)
		tell()
	}
	chapter("nobody is there", func() {
		sees(t, "SecretServerOperatorAbsent")
	})
	for _, address := range addresses {
		s.start(t, address)
	}
	// Of a minute, so that one that is renewed as late as 90 % allows has time left for a busy machine.
	good := s.newVault(t, "good", time.Minute)
	doomed := s.newVault(t, "doomed", time.Minute)
	var briefs []vault
	for i := range 4 {
		name := fmt.Sprintf("brief-%d", i)
		briefs = append(briefs, s.newVault(t, name, 3*time.Second, func(o *secretservertest.Options) { o.RefreshDisabled = true }))
	}
	verified := func(o *api.SecretServerSession) { o.Spec.Verification = &api.Verification{IntervalSeconds: 30} }
	s.session(t, good, "billing", verified, early)
	suspended := s.session(t, good, "suspended")
	doomedOnes := []*api.SecretServerSession{s.session(t, doomed, "doomed-1"), s.session(t, doomed, "doomed-2"), s.session(t, doomed, "doomed-3")}
	leaving := s.session(t, doomed, "leaving", func(o *api.SecretServerSession) { o.Spec.DeletionPolicy = api.DeletionRevoke })

	chapter("the API server says who may scrape", func() { s.testAccess(t, addresses[0]) })
	chapter("all is well, and one of two replicas tells of sessions", func() {
		s.Eventually(func() (float64, error) {
			return seen.one(t.Context(), `sum(secretserversession_sessions{ready="True"})`)
		}).
			Should(BeEquivalentTo(2 + len(doomedOnes) + 1))
		tellers := func(metric string) func() ([]sample, error) {
			return func() ([]sample, error) { return seen.query(t.Context(), "count by (instance) ("+metric+")") }
		}
		s.Eventually(tellers(controllers.MetricGrants)).Should(HaveLen(2), "both are scraped")
		s.Expect(tellers(controllers.MetricSessions)()).To(HaveLen(1))
		s.Expect(tellers(controllers.MetricTokenExpiry)()).To(HaveLen(1))
		for _, r := range rules(t).alerts() {
			s.Expect(seen.query(t.Context(), r.Expr)).To(BeEmpty(), r.Alert)
		}
	})
	chapter("Secret Servers go down", func() {
		doomed.Close()
		for i := range 4 {
			nowhere := vault{good.Server, good.name}
			s.session(t, nowhere, fmt.Sprintf("nowhere-%d", i), func(o *api.SecretServerSession) {
				o.Spec.Endpoint.URL = fmt.Sprintf("https://127.0.0.1:%d/SecretServer", 1+i) // where nobody listens
			})
		}
		sees(t, "SecretServerSessionRenewalsFailing", "SecretServerSessionsNotReady", "SecretServerGrantsFailing", "SecretServerEndpointDown")
		s.Expect(s.admin.Delete(t.Context(), leaving)).To(Succeed())
		sees(t, "SecretServerRevocationsFailing", "SecretServerSessionTokenExpiring")
	})
	chapter("people make mistakes", func() {
		refusing := s.newVault(t, "refusing", time.Hour)
		s.Expect(refusing.SetPassword("refusing", "another")).To(BeTrue())
		s.session(t, refusing, "refused")
		s.session(t, good, "homeless", func(o *api.SecretServerSession) { o.Spec.Credentials.SecretRef.Name = "nowhere" })
		s.update(t, suspended, func(o *api.SecretServerSession) { o.Spec.Suspend = true })
		sees(t, "SecretServerSessionCredentialsRejected", "SecretServerSessionStalled")
		s.forbidSecrets(t)
		for i := range 3 {
			s.session(t, good, fmt.Sprintf("hindered-%d", i), func(o *api.SecretServerSession) { o.Namespace = forbidden })
		}
		sees(t, "SecretServerOperatorReconcileErrors", "SecretServerSessionsPending")
	})
	chapter("refresh tokens are off, and tokens last for 3 seconds", func() {
		for _, v := range briefs {
			s.session(t, v, v.name)
		}
		sees(t, "SecretServerLoginsTooFrequent")
	})

	chapter("Prometheus understands the rules", func() { s.testRules(t, seen) })
	chapter("the dashboard has something to show", func() { s.testDashboard(t, seen) })
	chapter("the leader is killed, and the other replica tells of sessions", func() {
		first := s.killLeader(t, seen)
		sees(t, "SecretServerShardAbsent") // until the lease is over
		s.Eventually(func() (string, error) { return seen.leader(t.Context()) }).ShouldNot(Or(BeEmpty(), Equal(first)))
	})
	s.Expect(expected).To(BeEmpty(), "alerts that nothing here lets come")
}

// early asks for renewals at half of the lifetime.
func early(o *api.SecretServerSession) { o.Spec.Refresh.Percent = 50 }

func indexOf(all []rule, alert string) int {
	for i, r := range all {
		if r.Alert == alert {
			return i
		}
	}
	return -1
}

func (s *stage) update(t *testing.T, o *api.SecretServerSession, change func(*api.SecretServerSession)) {
	t.Helper()
	s.Eventually(func() error {
		if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		change(o)
		return s.admin.Update(t.Context(), o)
	}).Should(Succeed())
}

// one is the only value of an expression.
func (p prometheus) one(ctx context.Context, expr string) (float64, error) {
	samples, err := p.query(ctx, expr)
	if err != nil {
		return 0, err
	}
	if len(samples) != 1 {
		return 0, fmt.Errorf("%s has %d values", expr, len(samples))
	}
	return samples[0].value, nil
}

func (s *stage) testAccess(t *testing.T, address string) {
	t.Helper()
	answer := func(token string) func() (int, error) {
		return func() (int, error) {
			status, text, err := page(t.Context(), address, token)
			if err == nil && (status == http.StatusOK) != strings.Contains(text, controllers.MetricGrants) {
				return status, fmt.Errorf("status %d, and %q", status, text)
			}
			return status, err
		}
	}
	s.Eventually(answer(s.token(t, scraper))).Should(Equal(http.StatusOK), "who has the role")
	s.Expect(answer(s.token(t, stranger))()).To(Equal(http.StatusForbidden), "who has not")
	s.Expect(answer("")()).To(Equal(http.StatusUnauthorized), "who says nothing")
	s.Expect(answer("made-up")()).To(Equal(http.StatusUnauthorized), "whom the API server does not know")
}

func (s *stage) testRules(t *testing.T, seen prometheus) {
	t.Helper()
	var loaded struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError string
				Alerts                  []struct{ Annotations map[string]string }
			}
		}
	}
	s.Expect(seen.get(t.Context(), "/api/v1/rules", url.Values{}, &loaded)).To(Succeed())
	rendered := 0
	for _, g := range loaded.Groups {
		for _, r := range g.Rules {
			s.Expect(r.Health).To(Equal("ok"), "%s: %s", r.Name, r.LastError)
			for _, alert := range r.Alerts {
				for name, text := range alert.Annotations {
					s.Expect(text).NotTo(ContainSubstring("<"), "%s of %s", name, r.Name)
					s.Expect(text).NotTo(ContainSubstring("{{"), "%s of %s", name, r.Name)
					rendered++
				}
			}
		}
	}
	s.Expect(rendered).To(BeNumerically(">", 10), "annotations of alerts that are pending or fire")
}

func (s *stage) testDashboard(t *testing.T, seen prometheus) {
	t.Helper()
	d := readDashboard(t)
	queries := 0
	for title, all := range d.queries() {
		for _, query := range all {
			s.Eventually(func() ([]sample, error) { return seen.query(t.Context(), query) }).ShouldNot(BeEmpty(), "%s: %s", title, query)
			queries++
		}
	}
	for _, v := range d.variables(t) {
		var values []string
		s.Expect(seen.get(t.Context(), "/api/v1/label/"+v.label+"/values", url.Values{"match[]": {v.series}}, &values)).To(Succeed())
		s.Expect(values).NotTo(BeEmpty(), v.name)
	}
	t.Logf("%d queries return data", queries)
}

// leader is the instance that tells of sessions, or nothing.
func (p prometheus) leader(ctx context.Context) (string, error) {
	samples, err := p.query(ctx, "count by (instance) (secretserversession_sessions)")
	if err != nil || len(samples) != 1 {
		return "", err
	}
	return samples[0].labels["instance"], nil
}

// killLeader kills the replica that leads, and tells which it was.
func (s *stage) killLeader(t *testing.T, seen prometheus) string {
	t.Helper()
	first, err := seen.leader(t.Context())
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(s.replicas).To(HaveKey(first))
	s.Expect(s.replicas[first].Kill()).To(Succeed())
	return first
}
