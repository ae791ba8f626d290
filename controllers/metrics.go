package controllers

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// Names of the metrics of what the operator does. Each label's values are a closed set: no label holds a name or a URL.
const (
	MetricGrants        = "secretserversession_grants_total"
	MetricGrantDuration = "secretserversession_grant_duration_seconds"
	MetricRenewals      = "secretserversession_remaining_lifetime_at_renewal_ratio"
	MetricRevocations   = "secretserversession_revocations_total"
	MetricVerifications = "secretserversession_verifications_total"
	MetricEvents        = "secretserversession_events_total"
	MetricEndpointsDown = "secretserversession_endpoints_unavailable"
)

// Names of the metrics of how the sessions stand, which a census takes at each scrape. The first two count sessions, with
// closed label sets; the others are of one session each, with its namespace and name.
const (
	MetricSessions            = "secretserversession_sessions"
	MetricConditions          = "secretserversession_conditions"
	MetricTokenExpiry         = "secretserversession_token_expiry_timestamp_seconds"
	MetricTokenLifetime       = "secretserversession_token_lifetime_seconds"
	MetricNextRefresh         = "secretserversession_next_refresh_timestamp_seconds"
	MetricRefreshesSinceLogin = "secretserversession_refreshes_since_login"
	MetricStalled             = "secretserversession_stalled"
	MetricSuspended           = "secretserversession_suspended"
)

// Names of the labels.
const (
	labelGrant     = "grant"  // Password or RefreshToken
	labelResult    = "result" // of a grant Succeeded, or the kind of failure; of a revocation or an event Succeeded, Failed or Skipped
	labelReady     = "ready"  // True, False or Unknown
	labelCondition = "condition"
	labelReason    = "reason"
	labelNamespace = "namespace"
	labelName      = "name"
)

const (
	resultSucceeded = "Succeeded"
	resultFailed    = "Failed"  // Secret Server, or for an event the API server, was asked
	resultSkipped   = "Skipped" // it was not asked, though the token may be valid yet; there was no room for the event
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
	renewals      *prometheus.HistogramVec
	revocations   *prometheus.CounterVec
	verifications *prometheus.CounterVec
	events        *prometheus.CounterVec
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
		renewals: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    MetricRenewals,
			Help:    "Share of its lifetime that a token had left when another one was had for it; 0 if its time was over.",
			Buckets: []float64{0, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9},
		}, []string{labelGrant}),
		revocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricRevocations,
			Help: "Tokens that were no longer needed and were to be revoked, by result.",
		}, []string{labelResult}),
		verifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricVerifications,
			Help: "Verifications of published tokens at Secret Server, by result.",
		}, []string{labelResult}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricEvents,
			Help: "Events that were to be written to the API server, by result.",
		}, []string{labelResult}),
	}
	endpointsDown := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: MetricEndpointsDown,
		Help: "Secret Servers that are known to be down, so that their sessions wait for one that asks for all.",
	}, func() float64 { return float64(down()) })
	m.begin()
	return m, errors.Join(registry.Register(m.grants), registry.Register(m.grantDuration), registry.Register(m.renewals),
		registry.Register(m.revocations), registry.Register(m.verifications), registry.Register(m.events), registry.Register(endpointsDown))
}

// begin makes every series begin with zero. Of one that begins with its first count, Prometheus sees no increase.
func (m *metrics) begin() {
	for _, grant := range []session.GrantType{session.Password, session.RefreshToken} {
		m.grants.WithLabelValues(string(grant), resultSucceeded)
		for kind := secretserver.NotSent; kind <= secretserver.Protocol; kind++ {
			m.grants.WithLabelValues(string(grant), kind.String())
		}
		m.grantDuration.WithLabelValues(string(grant))
		m.renewals.WithLabelValues(string(grant))
	}
	for _, result := range []string{resultSucceeded, resultFailed, resultSkipped} {
		m.revocations.WithLabelValues(result)
		m.events.WithLabelValues(result)
	}
	for _, result := range []string{resultAlive, resultDead, resultUnknown} {
		m.verifications.WithLabelValues(result)
	}
}

// renewal counts a grant that succeeded, by what was left of the token before it, if there was one.
func (m *metrics) renewal(grant session.GrantType, before session.Record, now time.Time) {
	lifetime := before.ExpiresAt.Sub(before.IssuedAt)
	if !before.HasToken() || lifetime <= 0 {
		return
	}
	left := before.ExpiresAt.Sub(now)
	if !before.EndedAt.IsZero() {
		left = 0
	}
	m.renewals.WithLabelValues(string(grant)).Observe(max(left.Seconds()/lifetime.Seconds(), 0))
}

// revocation counts one token that was to be revoked.
func (m *metrics) revocation(result string) { m.revocations.WithLabelValues(result).Inc() }

// event counts one event.
func (m *metrics) event(result string) { m.events.WithLabelValues(result).Inc() }

// grant counts one request for a grant.
func (m *metrics) grant(grant session.GrantType, err error, took time.Duration) {
	result := resultSucceeded
	if failed, ok := errors.AsType[*secretserver.Error](err); ok {
		result = failed.Kind.String()
	} else if err != nil {
		result = resultUnknown
	}
	m.grants.WithLabelValues(string(grant), result).Inc()
	m.grantDuration.WithLabelValues(string(grant)).Observe(took.Seconds())
}
