package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// replicaCount is that of the Deployment in config/manager.
const replicaCount = 2

// A world is what the faults befall.
type world struct {
	scale    scale
	logs     string // directory of all logs
	events   *diary
	vault    *secretservertest.Server
	cluster  *cluster
	replicas replicas
	servers  *servers
	poller   *poller
	hits     *hits // requests to the API server that were struck
	times    *hits // faults that were done
	skipped  *hits // faults that could not be done, as something else was down

	// One thing of each at a time.
	vaultTurn, apiTurn, operatorTurn sync.Mutex

	mu        sync.Mutex
	passwords map[int]int // rotations by account
	turnovers int         // times at which an operator process ended or lost its turn
	allowed   map[string]int
}

func newWorld(o options, logs string) (*world, error) {
	events, err := newDiary(filepath.Join(logs, "events.log"))
	if err != nil {
		return nil, err
	}
	return &world{
		scale: o.scale(), logs: logs, events: events,
		servers: &servers{since: time.Now()}, hits: newHits(), times: newHits(), skipped: newHits(),
		passwords: map[int]int{}, allowed: map[string]int{},
	}, nil
}

// replicaOf makes a replica with a proxy of its own.
func (w *world) replicaOf(number int, o options) (*replica, error) {
	user, err := w.cluster.AddUser(operatorUser)
	if err != nil {
		return nil, err
	}
	p, err := newProxy(user, o.seed+uint64(number), w.hits) //nolint:gosec // a small number
	if err != nil {
		return nil, err
	}
	kubeconfig, err := w.cluster.KubeconfigFor(p.config())
	if err != nil {
		return nil, err
	}
	return &replica{
		proxy: p, note: w.events.printf,
		options: operator.Options{
			Binary: o.operator, Kubeconfig: kubeconfig, Serve: true, StopTimeout: stopTimeout,
			Log:  filepath.Join(w.logs, fmt.Sprintf("operator-%d.log", number)),
			Args: []string{"--leader-elect", "--leader-election-namespace=" + operatorNamespace},
		},
	}, nil
}

// waitFor waits until a condition holds.
func waitFor(ctx context.Context, limit time.Duration, what string, is func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s: %s", limit, what))
	defer cancel()
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	for !is() {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// turnover notes that an operator process ended or lost its turn.
func (w *world) turnover() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turnovers++
}

func (w *world) turnoverCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.turnovers
	for _, r := range w.replicas {
		_, lost := r.endedByItself()
		n += lost
	}
	return n
}

// allow permits an account some refused logins.
func (w *world) allow(account, logins int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allowed[accountName(account)] += logins
}

// A diary is a file of lines with their times.
type diary struct {
	mu    sync.Mutex
	file  *os.File
	start time.Time
}

func newDiary(path string) (*diary, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // a directory of the run's own
	return &diary{file: file, start: time.Now()}, err
}

func (d *diary) printf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	_, _ = fmt.Fprintf(d.file, "%s %7.2f s  %s\n", //nolint:errcheck // a line more or less
		now.UTC().Format("15:04:05.000"), now.Sub(d.start).Seconds(), fmt.Sprintf(format, args...))
}
