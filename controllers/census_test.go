package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// register is a cache that holds nothing but sessions.
type register struct {
	client.Reader

	sessions []api.SecretServerSession
	err      error
}

func (r *register) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	applied := client.ListOptions{}
	applied.ApplyOptions(options)
	if applied.UnsafeDisableDeepCopy == nil || !*applied.UnsafeDisableDeepCopy {
		return errors.New("the census copies every session")
	}
	list.(*api.SecretServerSessionList).Items = r.sessions //nolint:forcetypeassert // the census asks for nothing else
	return r.err
}

// enrolled is a session with some conditions, each "Type=Status Reason".
func enrolled(tb testing.TB, name string, conditions ...string) api.SecretServerSession {
	tb.Helper()
	s := api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{Namespace: "payments", Name: name}}
	for _, text := range conditions {
		c := metav1.Condition{}
		if _, err := fmt.Sscanf(strings.Replace(text, "=", " ", 1), "%s %s %s", &c.Type, &c.Status, &c.Reason); err != nil {
			tb.Fatalf("%q: %v", text, err)
		}
		s.Status.Conditions = append(s.Status.Conditions, c)
	}
	return s
}

// holding has a session hold a token of 20 minutes since noon.
func holding(s api.SecretServerSession) api.SecretServerSession {
	issued := metav1.NewTime(noon)
	expires, next := metav1.NewTime(noon.Add(20*time.Minute)), metav1.NewTime(noon.Add(13*time.Minute))
	s.Status.TokenIssuedAt, s.Status.TokenExpiresAt, s.Status.NextRefreshAt = &issued, &expires, &next
	s.Status.RefreshesSinceLogin = 2
	return s
}

func leads() bool { return true }

const current = "Ready=True " + api.ReasonTokenCurrent

func TestTheCensusTellsOfEachSession(t *testing.T) {
	suspended := enrolled(t, "suspended", "Ready=False "+api.ReasonSuspended)
	suspended.Spec.Suspend = true
	c := newCensus(&register{sessions: []api.SecretServerSession{
		holding(enrolled(t, "billing", current, "Refreshable=True "+api.ReasonRefreshTokenHeld)),
		suspended,
		enrolled(t, "refused", "Ready=False "+api.ReasonCredentialsRejected, "Stalled=True "+api.ReasonCredentialsRejected),
		enrolled(t, "foreign", "Stalled=True Newfangled"), // as another release may have written it
		enrolled(t, "new"),
	}}, leads)
	expected := strings.NewReplacer("NEXT", strconv.FormatInt(noon.Unix()+13*60, 10), "EXPIRY", strconv.FormatInt(noon.Unix()+20*60, 10)).Replace(`
# HELP secretserversession_next_refresh_timestamp_seconds When the session's next refresh, login or retry is planned; no series if none is.
# TYPE secretserversession_next_refresh_timestamp_seconds gauge
secretserversession_next_refresh_timestamp_seconds{name="billing",namespace="payments"} NEXT
# HELP secretserversession_refreshes_since_login Refreshes of the session since its last login, which Secret Server limits.
# TYPE secretserversession_refreshes_since_login gauge
secretserversession_refreshes_since_login{name="billing",namespace="payments"} 2
# HELP secretserversession_stalled 1 while a person must act on the session; no series otherwise.
# TYPE secretserversession_stalled gauge
secretserversession_stalled{name="foreign",namespace="payments",reason="Unknown"} 1
secretserversession_stalled{name="refused",namespace="payments",reason="CredentialsRejected"} 1
# HELP secretserversession_suspended 1 while the session is suspended; no series otherwise.
# TYPE secretserversession_suspended gauge
secretserversession_suspended{name="suspended",namespace="payments"} 1
# HELP secretserversession_token_expiry_timestamp_seconds When the token in the session's target expires.
# TYPE secretserversession_token_expiry_timestamp_seconds gauge
secretserversession_token_expiry_timestamp_seconds{name="billing",namespace="payments"} EXPIRY
# HELP secretserversession_token_lifetime_seconds How long the token in the session's target lasts from its issue to its expiry.
# TYPE secretserversession_token_lifetime_seconds gauge
secretserversession_token_lifetime_seconds{name="billing",namespace="payments"} 1200
`)
	err := testutil.CollectAndCompare(c, strings.NewReader(expected),
		MetricNextRefresh, MetricRefreshesSinceLogin, MetricStalled, MetricSuspended, MetricTokenExpiry, MetricTokenLifetime)
	if err != nil {
		t.Error(err)
	}
}

func TestTheCensusCountsSessionsByTheirConditions(t *testing.T) {
	for name, c := range map[string]struct {
		conditions []string
		want       map[string]float64 // beyond zero
	}{
		"none yet": {nil, map[string]float64{"Ready=Unknown Unknown": 1}},
		"current": {
			[]string{current, "Refreshable=True " + api.ReasonRefreshTokenHeld},
			map[string]float64{current: 1, "Refreshable RefreshTokenHeld": 1},
		},
		"failing with a token": {
			[]string{current, "Reconciling=True " + api.ReasonEndpointUnavailable},
			map[string]float64{current: 1, "Reconciling EndpointUnavailable": 1},
		},
		"stalled": {
			[]string{"Ready=False " + api.ReasonTargetConflict, "Stalled=True " + api.ReasonTargetConflict},
			map[string]float64{"Ready=False TargetConflict": 1, "Stalled TargetConflict": 1},
		},
		"in the words of another release": {
			[]string{"Ready=False Newfangled", "Stalled=True Newfangled", "Newfangled=True Newfangled"},
			map[string]float64{"Ready=Unknown Unknown": 1, "Stalled Unknown": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			counted := newCounts()
			s := enrolled(t, "billing", c.conditions...)
			counted.add(&s.Status)
			got := map[string]float64{}
			for at, n := range counted.ready {
				got[fmt.Sprintf("Ready=%s %s", at.status, at.reason)] = n
			}
			for at, n := range counted.others {
				got[at.condition+" "+at.reason] = n
			}
			for place, n := range got {
				if n != c.want[place] {
					t.Errorf("%s: %v, want %v", place, n, c.want[place])
				}
			}
			for place := range c.want {
				if _, ok := got[place]; !ok {
					t.Errorf("%s: no such place", place)
				}
			}
		})
	}
}

func TestEveryReasonIsCountedFromTheFirst(t *testing.T) {
	vocabulary, err := os.ReadFile("../api/v1alpha1/vocabulary.go")
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]bool{}
	counted := newCounts()
	for at := range counted.ready {
		places[at.reason] = true
	}
	for at := range counted.others {
		places[at.reason] = true
	}
	reasons := regexp.MustCompile(`\bReason\w+\s*= "(\w+)"`).FindAllStringSubmatch(string(vocabulary), -1)
	if len(reasons) < 20 {
		t.Errorf("found %d reasons: have they moved?", len(reasons))
	}
	for _, reason := range reasons {
		if !places[reason[1]] {
			t.Errorf("%s has no place", reason[1])
		}
	}
}

func TestOnlyWhoLeadsTakesTheCensus(t *testing.T) {
	elected := make(chan struct{})
	surely := true
	c := newCensus(&register{sessions: []api.SecretServerSession{enrolled(t, "billing", current)}},
		leading(elected, func() bool { return surely }))
	if n := testutil.CollectAndCount(c); n != 0 {
		t.Errorf("a standby tells %d series", n)
	}
	close(elected)
	if testutil.CollectAndCount(c, MetricSessions) == 0 {
		t.Error("the leader tells nothing")
	}
	surely = false
	if n := testutil.CollectAndCount(c); n != 0 {
		t.Errorf("one that may have lost the lease tells %d series", n)
	}
}

func TestNothingIsLeftOfASessionThatIsGone(t *testing.T) {
	cache := &register{sessions: []api.SecretServerSession{holding(enrolled(t, "billing", current)), holding(enrolled(t, "other", current))}}
	c := newCensus(cache, leads)
	if n := testutil.CollectAndCount(c, MetricTokenExpiry); n != 2 {
		t.Fatalf("%d sessions", n)
	}
	cache.sessions = cache.sessions[:1]
	if n := testutil.CollectAndCount(c, MetricTokenExpiry); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestACacheThatCannotBeReadFailsTheScrape(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCensus(&register{err: errors.New("not started")}, leads))
	if _, err := registry.Gather(); err == nil || !strings.Contains(err.Error(), "not started") {
		t.Errorf("error %v", err)
	}
}

// A scrape of 10,000 sessions, as the metrics endpoint answers it: collected, sorted and written.
func BenchmarkScrapeOfTenThousandSessions(b *testing.B) {
	cache := &register{}
	for i := range 10_000 {
		cache.sessions = append(cache.sessions, holding(enrolled(b, fmt.Sprintf("session-%05d", i), current, "Refreshable=True "+api.ReasonRefreshTokenHeld)))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCensus(cache, leads))
	families, err := registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	series := 0
	for _, family := range families {
		series += len(family.GetMetric())
	}
	page := promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", http.NoBody)
	length := 0
	b.ReportAllocs()
	for b.Loop() {
		answer := httptest.NewRecorder()
		page.ServeHTTP(answer, request)
		if answer.Code != http.StatusOK {
			b.Fatal(answer.Code, answer.Body)
		}
		length = answer.Body.Len()
	}
	b.ReportMetric(float64(series), "series")
	b.ReportMetric(float64(length), "page-bytes")
}
