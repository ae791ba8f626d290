package controllers

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// Names of the metrics, and of their labels. Each label's values are a closed set: no label holds a name or a URL.
const (
	MetricGrants        = "secretserversession_grants_total"
	MetricGrantDuration = "secretserversession_grant_duration_seconds"
	MetricRevocations   = "secretserversession_revocations_total"
	MetricVerifications = "secretserversession_verifications_total"
	MetricEndpointsDown = "secretserversession_endpoints_unavailable"

	labelGrant  = "grant"  // Password or RefreshToken
	labelResult = "result" // of a grant Succeeded, or the kind of failure; of a revocation Succeeded, Failed or Skipped
)

const (
	resultSucceeded = "Succeeded"
	resultFailed    = "Failed"  // Secret Server was asked
	resultSkipped   = "Skipped" // it was not asked, though the token may be valid yet
)

// Results of a verification.
const (
	resultAlive   = "Alive"   // Secret Server takes the token
	resultDead    = "Dead"    // it does not
	resultUnknown = "Unknown" // no usable answer
)

type metrics struct {
	grants        *prometheus.CounterVec
	grantDuration *prometheus.HistogramVec
	revocations   *prometheus.CounterVec
	verifications *prometheus.CounterVec
}

// newMetrics registers the metrics; down counts the Secret Servers whose sessions wait because they are down.
func newMetrics(registry prometheus.Registerer, down func() int) (*metrics, error) {
	m := &metrics{
		grants: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricGrants,
			Help: "Grants asked of Secret Server, by grant and result.",
		}, []string{labelGrant, labelResult}),
		grantDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    MetricGrantDuration,
			Help:    "Seconds from just before a grant was asked for until its answer was read.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{labelGrant}),
		revocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricRevocations,
			Help: "Tokens that were no longer needed and were to be revoked, by result.",
		}, []string{labelResult}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricVerifications,
			Help: "Verifications of published tokens at Secret Server, by result.",
		}, []string{labelResult}),
	}
	endpointsDown := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricEndpointsDown,
		Help: "Secret Servers that are known to be down, so that their sessions wait for one that asks for all.",
	}, func() float64 { return float64(down()) })
	return m, errors.Join(registry.Register(m.grants), registry.Register(m.grantDuration),
		registry.Register(m.revocations), registry.Register(m.verifications), registry.Register(endpointsDown))
}

// revocation counts one token that was to be revoked.
func (m *metrics) revocation(result string) { m.revocations.WithLabelValues(result).Inc() }

// grant counts one request for a grant.
func (m *metrics) grant(grant session.GrantType, err error, took time.Duration) {
	result := resultSucceeded
	if failed, ok := errors.AsType[*secretserver.Error](err); ok {
		result = failed.Kind.String()
	} else if err != nil {
		result = "Unknown"
	}
	m.grants.WithLabelValues(string(grant), result).Inc()
	m.grantDuration.WithLabelValues(string(grant)).Observe(took.Seconds())
}
