package main

import (
	"math"
	"testing"
	"time"

	"tokensync.dev/secret-server-operator/hack/operator"
)

func TestLongestPassIsTheBoundOfTheLastBucketThatFills(t *testing.T) {
	const name = "controller_runtime_reconcile_time_seconds"
	page := func(counts map[string]float64) operator.Metrics {
		m := operator.Metrics{name + `_count{controller="c"}`: counts["+Inf"]}
		for bound, count := range counts {
			m[name+`_bucket{controller="c",le="`+bound+`"}`] = count
		}
		return m
	}
	tests := map[string]struct {
		metrics operator.Metrics
		want    time.Duration
	}{
		"no pass yet":     {operator.Metrics{}, 0},
		"all in one":      {page(map[string]float64{"0.5": 3, "1": 3, "+Inf": 3}), 500 * time.Millisecond},
		"one took longer": {page(map[string]float64{"0.5": 2, "1": 3, "+Inf": 3}), time.Second},
		"beyond all":      {page(map[string]float64{"0.5": 2, "1": 2, "+Inf": 3}), math.MaxInt64},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := longestPass(test.metrics); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
