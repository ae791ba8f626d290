package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"tokensync.dev/secret-server-operator/hack/operator"
)

// operatorStop is above the operator's own bound for ending in order.
const operatorStop = 50 * time.Second

// admit grants the operator's user what it is granted where it is deployed.
func admit(ctx context.Context, c client.Client, config string) error {
	return operator.Admit(ctx, c, config, operatorUser, operatorNamespace)
}

// A subject is a running operator, as it is deployed: it leads, and serves its metrics and probes.
type subject struct{ *operator.Process }

// startOperator starts the built binary and waits until its watches stand.
func (w *world) startOperator(ctx context.Context, name string, flags ...string) (*subject, error) {
	process, err := operator.Start(ctx, operator.Options{
		Binary:      w.o.operator,
		Kubeconfig:  w.kubeconfig,
		Args:        append([]string{"--leader-elect", "--leader-election-namespace=" + operatorNamespace}, flags...),
		Log:         filepath.Join(w.logs, name+".log"),
		Serve:       true,
		StopTimeout: operatorStop,
	})
	if err != nil {
		return nil, err
	}
	s := &subject{process}
	if err := s.await(ctx, time.Minute, "ready", func(ctx context.Context) (bool, error) { return s.Ready(ctx) == nil, nil }); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, s.LastWords()), s.Kill())
	}
	return s, nil
}

// await waits until something holds, as long as the process runs.
func (s *subject) await(ctx context.Context, most time.Duration, what string, holds func(context.Context) (bool, error)) error {
	return await(ctx, most, "the operator is "+what, func(ctx context.Context) (bool, error) {
		if err := s.Err(); err != nil {
			return false, err
		}
		return holds(ctx)
	})
}

// await looks until something holds.
func await(ctx context.Context, most time.Duration, what string, holds func(context.Context) (bool, error)) error {
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	for {
		ok, err := holds(bounded)
		if ok || (err != nil && bounded.Err() == nil) {
			return err
		}
		select {
		case <-ticks.C:
		case <-bounded.Done():
			return fmt.Errorf("wait until %s: not within %v: %w", what, most, bounded.Err())
		}
	}
}

// inner are figures that the operator itself serves.
type inner struct {
	goroutines, heap float64 // heap in use, in bytes
	reconciles       float64
	requests         map[string]float64 // to the API server, by HTTP method
}

// since are the figures of the time after others: those that are counted, less what was counted by then.
func (in inner) since(before inner) inner {
	in.reconciles -= before.reconciles
	in.requests = maps.Clone(in.requests)
	for method, count := range before.requests {
		in.requests[method] -= count
	}
	return in
}

// gets tells how many requests the operator knows of that read. If kube-apiserver has counted more than those, they were
// somebody else's.
func (in inner) gets() string {
	return fmt.Sprintf("the operator itself has counted %.0f, watches begun included", in.requests["GET"])
}

// look reads the operator's metrics page.
func (s *subject) look(ctx context.Context) (inner, error) {
	m, err := s.Metrics(ctx)
	if err != nil {
		return inner{}, err
	}
	in := inner{
		goroutines: m.Sum("go_goroutines"),
		heap:       m.Sum("go_memstats_heap_inuse_bytes"),
		reconciles: m.Sum("controller_runtime_reconcile_total"),
		requests:   map[string]float64{},
	}
	for series, value := range m {
		labels, ok := strings.CutPrefix(series, "rest_client_requests_total{")
		if !ok {
			continue
		}
		_, rest, _ := strings.Cut(labels, `method="`)
		method, _, _ := strings.Cut(rest, `"`)
		in.requests[method] += value
	}
	return in, nil
}
