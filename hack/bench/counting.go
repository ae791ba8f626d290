package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// The requests are counted by kube-apiserver itself, in apiserver_request_total: each by verb, resource and subresource, and at
// no cost while it works. The metric does not tell who asked. That does not matter here: there is no controller manager, the
// benchmark asks nothing while it measures but to watch, and what kube-apiserver asks itself concerns other kinds. An audit log
// would tell who, but is written before the answer.

// kinds are those that the operator has to do with, as the metric names resource and subresource.
var kinds = []string{ //nolint:gochecknoglobals // a constant
	"secrets", "secretserversessions", "secretserversessions/status", "secretserversessions/finalizers", "configmaps", "events", "leases",
}

// A request is a kind of request to the API server.
type request struct{ verb, resource string }

func (r request) String() string { return r.verb + " " + r.resource }

// requests are how many of each kind there were.
type requests map[request]int

// countRequests asks kube-apiserver for its counts.
func (w *world) countRequests(ctx context.Context) (requests, error) {
	core, err := corev1client.NewForConfig(w.plane.Config())
	if err != nil {
		return nil, err
	}
	page, err := core.RESTClient().Get().AbsPath("/metrics").Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		return nil, fmt.Errorf("kube-apiserver's metrics: %w", err)
	}
	counts := requests{}
	for _, series := range families["apiserver_request_total"].GetMetric() {
		r := request{label(series, "verb"), label(series, "resource")}
		if sub := label(series, "subresource"); sub != "" {
			r.resource += "/" + sub
		}
		// Its own leases are in kube-system; those of the operator's namespace cannot be told apart, and are few.
		if slices.Contains(kinds, r.resource) {
			counts[r] += int(series.GetCounter().GetValue())
		}
	}
	return counts, nil
}

func label(series *dto.Metric, name string) string {
	for _, pair := range series.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// since are the requests that came after others.
func (r requests) since(before requests) requests {
	after := requests{}
	for kind, count := range r {
		if n := count - before[kind]; n != 0 {
			after[kind] = n
		}
	}
	return after
}

// plus are these requests and others.
func (r requests) plus(others requests) requests {
	sum := maps.Clone(others)
	for kind, count := range r {
		sum[kind] += count
	}
	return sum
}

// of adds up the requests with one of these verbs, for sessions, Secrets, ConfigMaps and events: all that work costs. Leases are
// the price of being there.
func (r requests) of(verbs ...string) int {
	sum := 0
	for kind, count := range r {
		if kind.resource != "leases" && slices.Contains(verbs, kind.verb) {
			sum += count
		}
	}
	return sum
}

func (r requests) reads() int { return r.of("GET", "LIST") }
func (r requests) writes() int {
	return r.of("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION")
}

// refreshes are how many were begun: each is one claim.
func (r requests) refreshes() int { return r[request{"PATCH", "secrets"}] }

// events are how many were written.
func (r requests) events() int { return r[request{"POST", "events"}] }

// touching are the writes to sessions and Secrets: without the events of a leader election.
func (r requests) touching() int {
	rest := maps.Clone(r)
	maps.DeleteFunc(rest, func(kind request, _ int) bool { return kind.resource == "events" })
	return rest.writes()
}

// String lists the kinds, the most frequent first.
func (r requests) String() string {
	byCount := slices.SortedFunc(maps.Keys(r), func(a, b request) int {
		if d := r[b] - r[a]; d != 0 {
			return d
		}
		return strings.Compare(a.String(), b.String())
	})
	parts := make([]string, 0, len(byCount))
	for _, kind := range byCount {
		parts = append(parts, fmt.Sprintf("%d %s", r[kind], kind))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
