package controllers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// census tells, at each scrape, how the sessions stand by their statuses. Nothing is kept between scrapes, so a session
// that is gone leaves no series behind. Only the leader takes it: a standby has the same sessions in its cache, and all
// would be counted twice.
type census struct {
	sessions client.Reader // the cache
	leading  func() bool

	readiness, conditions                    *prometheus.Desc
	tokenExpiry, tokenLifetime, nextRefresh  *prometheus.Desc
	refreshesSinceLogin, stalled, suspension *prometheus.Desc
}

func newCensus(sessions client.Reader, leading func() bool) *census {
	one := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{labelNamespace, labelName}, labels...), nil)
	}
	return &census{
		sessions: sessions,
		leading:  leading,
		readiness: prometheus.NewDesc(MetricSessions,
			"Sessions by the status and the reason of their condition Ready.", []string{labelReady, labelReason}, nil),
		conditions: prometheus.NewDesc(MetricConditions,
			"Sessions by the reasons of their conditions Reconciling, Stalled and Refreshable.", []string{labelCondition, labelReason}, nil),
		tokenExpiry:         one(MetricTokenExpiry, "When the token in the session's target expires."),
		tokenLifetime:       one(MetricTokenLifetime, "How long the token in the session's target lasts from its issue to its expiry."),
		nextRefresh:         one(MetricNextRefresh, "When the session's next refresh, login or retry is planned; no series if none is."),
		refreshesSinceLogin: one(MetricRefreshesSinceLogin, "Refreshes of the session since its last login, which Secret Server limits."),
		stalled:             one(MetricStalled, "1 while a person must act on the session; no series otherwise.", labelReason),
		suspension:          one(MetricSuspended, "1 while the session is suspended; no series otherwise."),
	}
}

// leading reports whether this process was elected, and is still surely the leader.
func leading(elected <-chan struct{}, surely func() bool) func() bool {
	return func() bool {
		select {
		case <-elected:
			return surely == nil || surely()
		default:
			return false
		}
	}
}

// Describe implements prometheus.Collector.
func (c *census) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.readiness, c.conditions, c.tokenExpiry, c.tokenLifetime, c.nextRefresh, c.refreshesSinceLogin, c.stalled, c.suspension,
	} {
		descriptions <- d
	}
}

// censusTimeout bounds the look into the cache, which waits only if that was never filled.
const censusTimeout = 5 * time.Second

// Collect implements prometheus.Collector.
func (c *census) Collect(metrics chan<- prometheus.Metric) {
	if !c.leading() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), censusTimeout)
	defer cancel()
	list := &api.SecretServerSessionList{}
	if err := c.sessions.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		metrics <- prometheus.NewInvalidMetric(c.readiness, err)
		return
	}
	counts := newCounts()
	for i := range list.Items {
		counts.add(&list.Items[i].Status)
		c.describe(metrics, &list.Items[i], counts)
	}
	for at, n := range counts.ready {
		metrics <- gauge(c.readiness, n, string(at.status), at.reason)
	}
	for at, n := range counts.others {
		metrics <- gauge(c.conditions, n, at.condition, at.reason)
	}
}

// describe tells of one session, in the words that are counted.
func (c *census) describe(metrics chan<- prometheus.Metric, s *api.SecretServerSession, words counts) {
	labels := labelsOf(s)
	tell := func(what *prometheus.Desc, value float64) {
		metrics <- &series{desc: what, labels: labels, gauge: dto.Gauge{Value: &value}}
	}
	status := &s.Status
	if expires := status.TokenExpiresAt; expires != nil {
		tell(c.tokenExpiry, float64(expires.Unix()))
		if issued := status.TokenIssuedAt; issued != nil {
			tell(c.tokenLifetime, expires.Sub(issued.Time).Seconds())
		}
		tell(c.refreshesSinceLogin, float64(status.RefreshesSinceLogin))
	}
	if next := status.NextRefreshAt; next != nil {
		tell(c.nextRefresh, float64(next.Unix()))
	}
	if stalled := meta.FindStatusCondition(status.Conditions, api.ConditionStalled); stalled != nil {
		metrics <- gauge(c.stalled, 1, s.Namespace, s.Name, words.place(stalled).reason)
	}
	if s.Spec.Suspend {
		tell(c.suspension, 1)
	}
}

// series is one gauge of one session. There are as many at each scrape as there are sessions, times five; so they share their
// labels, where prometheus.NewConstMetric makes them anew for each.
type series struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	gauge  dto.Gauge
}

// Desc implements prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *series) Write(to *dto.Metric) error {
	to.Label, to.Gauge = s.labels, &s.gauge
	return nil
}

// labelsOf name a session, in the order of the labels' names.
func labelsOf(s *api.SecretServerSession) []*dto.LabelPair {
	return []*dto.LabelPair{label(labelName, s.Name), label(labelNamespace, s.Namespace)}
}

func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

func gauge(what *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, labels...)
}

// readyAs and because are what sessions are counted by.
type (
	readyAs struct {
		status metav1.ConditionStatus
		reason string
	}
	because struct{ condition, reason string }
)

// counts has a place for every reason of the API, so that a series is there before its first session. A reason that the API
// does not have, as another release may have written it, counts as unknown.
type counts struct {
	ready  map[readyAs]float64
	others map[because]float64
}

// reasonUnknown stands for the reason of a condition that is not there yet, or is none of the API's.
const reasonUnknown = "Unknown"

func newCounts() counts {
	c := counts{
		ready: map[readyAs]float64{
			{metav1.ConditionTrue, api.ReasonTokenCurrent}:  0,
			{metav1.ConditionFalse, api.ReasonTokenExpired}: 0,
			{metav1.ConditionFalse, api.ReasonSuspended}:    0,
			{metav1.ConditionUnknown, reasonUnknown}:        0,
		},
		others: map[because]float64{},
	}
	for condition, reasons := range reasonsOf() {
		c.others[because{condition, reasonUnknown}] = 0
		for _, reason := range reasons {
			c.others[because{condition, reason}] = 0
			if condition != api.ConditionRefreshable {
				c.ready[readyAs{metav1.ConditionFalse, reason}] = 0
			}
		}
	}
	return c
}

// reasonsOf are the reasons of the conditions but Ready, which repeats those of Reconciling and Stalled.
func reasonsOf() map[string][]string {
	return map[string][]string{
		api.ConditionReconciling: {
			api.ReasonPending, api.ReasonEndpointUnavailable, api.ReasonEndpointThrottled, api.ReasonProtocolError, api.ReasonRefreshFailing,
		},
		api.ConditionStalled: {
			api.ReasonCredentialsNotFound, api.ReasonCredentialsInvalid, api.ReasonCredentialsRejected, api.ReasonCABundleInvalid,
			api.ReasonEndpointNotAllowed, api.ReasonTargetConflict, api.ReasonTemplateInvalid,
		},
		api.ConditionRefreshable: {
			api.ReasonRefreshTokenHeld, api.ReasonRefreshTokenNotIssued, api.ReasonRefreshLimitReached, api.ReasonRefreshTokenExpired,
			api.ReasonRefreshTokenSpent,
		},
	}
}

// add counts one session.
func (c counts) add(s *api.SecretServerSessionStatus) {
	ready := readyAs{metav1.ConditionUnknown, reasonUnknown}
	for i := range s.Conditions {
		condition := &s.Conditions[i]
		if condition.Type == api.ConditionReady {
			if at := (readyAs{condition.Status, condition.Reason}); c.knowsReady(at) {
				ready = at
			}
			continue
		}
		c.addOther(condition)
	}
	c.ready[ready]++
}

func (c counts) knowsReady(at readyAs) bool {
	_, known := c.ready[at]
	return known
}

// addOther counts another condition than Ready, if it is one of the API's.
func (c counts) addOther(condition *metav1.Condition) {
	at := c.place(condition)
	if _, known := c.others[at]; known {
		c.others[at]++
	}
}

// place is where another condition than Ready counts. No reason but the API's gets into a label.
func (c counts) place(condition *metav1.Condition) because {
	at := because{condition.Type, condition.Reason}
	if _, known := c.others[at]; !known {
		at.reason = reasonUnknown
	}
	return at
}
