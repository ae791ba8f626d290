package controllers

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// everything is a registry with all metrics, and a session of every kind.
func everything(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewRegistry()
	if _, err := newMetrics(registry, func() int { return 0 }); err != nil {
		t.Fatal(err)
	}
	suspended := holding(enrolled(t, "billing", current, "Stalled=True "+api.ReasonTargetConflict))
	suspended.Spec.Suspend = true
	registry.MustRegister(newCensus(&register{sessions: []api.SecretServerSession{suspended}}, leads))
	return registry
}

func TestMetricsAreNamedAsPrometheusWantsIt(t *testing.T) {
	problems, err := testutil.GatherAndLint(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Prometheus takes no notice of the first count of a series that was not there before.
func TestCountersBeginWithZero(t *testing.T) {
	series := map[string]int{}
	families, err := everything(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if counter := metric.GetCounter(); counter != nil && counter.GetValue() == 0 {
				series[family.GetName()]++
			}
		}
	}
	for name, want := range map[string]int{MetricGrants: 2 * 7, MetricRevocations: 3, MetricVerifications: 3, MetricEvents: 3} {
		if series[name] != want {
			t.Errorf("%s has %d series, want %d", name, series[name], want)
		}
	}
}

func TestRenewalsAreCountedByWhatWasLeftOfTheToken(t *testing.T) {
	held := session.Record{Grant: session.Password, IssuedAt: noon, ExpiresAt: noon.Add(20 * time.Minute)}
	ended := held
	ended.EndedAt = noon.Add(time.Minute)
	for name, c := range map[string]struct {
		before session.Record
		after  time.Duration // since noon
		count  uint64
		sum    float64
	}{
		"in time":                      {held, 15 * time.Minute, 1, 0.25},
		"too late":                     {held, time.Hour, 1, 0},
		"of a token that was ended":    {ended, 2 * time.Minute, 1, 0},
		"the first token follows none": {session.Record{}, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			m, err := newMetrics(registry, func() int { return 0 })
			if err != nil {
				t.Fatal(err)
			}
			m.renewal(session.RefreshToken, c.before, noon.Add(c.after))
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			var count uint64
			var sum float64
			for _, family := range families {
				if family.GetName() == MetricRenewals {
					for _, metric := range family.GetMetric() {
						count += metric.GetHistogram().GetSampleCount()
						sum += metric.GetHistogram().GetSampleSum()
					}
				}
			}
			if count != c.count || sum != c.sum {
				t.Errorf("%d of %v in all, want %d of %v", count, sum, c.count, c.sum)
			}
		})
	}
}

func TestTheTableOfMetricsHasTheirLabelsAndKinds(t *testing.T) {
	page, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := everything(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+label.GetName()+"`")
		}
		slices.Sort(labels)
		told := strings.Join(labels, ", ")
		if told == "" {
			told = "none"
		}
		row := "\n| `" + family.GetName() + "` | " + strings.ToLower(family.GetType().String()) + " | " + told + " |"
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/observability.md has no row that begins with%s", row)
		}
	}
}
