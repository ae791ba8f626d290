package main

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"tokensync.dev/secret-server-operator/hack/operator"
)

const (
	// restartPause is how long a replica that ended by itself is left alone. One that was ended is started at once.
	restartPause = time.Second
	// leastLife is how long a process lives at least if it leads and loses its lease. One that does not find the API server
	// ends sooner.
	leastLife = 5 * time.Second
	// scrapeTimeout bounds one look at a replica, which may be paused.
	scrapeTimeout = time.Second
	// stopTimeout is above the operator's own bound for ending in order.
	stopTimeout = 50 * time.Second
)

// A replica is a place for an operator process, in which one is always running, as a Deployment would have it.
type replica struct {
	options operator.Options
	proxy   *proxy
	note    func(format string, args ...any)

	mu      sync.Mutex
	process *operator.Process
	ends    int // of processes that ended by themselves
	lost    int // those of them that may have led
}

// run keeps a process running until the context ends. It is an error if none can be started, or the last one does not end
// in order.
func (r *replica) run(ctx context.Context, started chan<- struct{}) error {
	for {
		begun := time.Now()
		process, err := operator.Start(ctx, r.options)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.process = process
		r.mu.Unlock()
		if started != nil {
			close(started)
			started = nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(process.Continue(), process.Stop())
		case <-process.Done():
		}
		err = process.Err()
		r.note("%s: process %d is gone: %v", r.name(), process.ID(), err)
		if err == nil {
			continue
		}
		r.mu.Lock()
		r.ends++
		if time.Since(begun) > leastLife {
			r.lost++
		}
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartPause):
		}
	}
}

func (r *replica) name() string { return strings.TrimSuffix(lastElement(r.options.Log), ".log") }

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// current is the process that runs, or ran last.
func (r *replica) current() *operator.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// endedByItself is how many processes did, and how many of them may have led.
func (r *replica) endedByItself() (ends, lost int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ends, r.lost
}

// metrics are those of the process, if it answers.
func (r *replica) metrics(ctx context.Context) (operator.Metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	return r.current().Metrics(ctx)
}

// leads reports whether the process believes that it leads.
func leads(m operator.Metrics) bool { return m.Sum("leader_election_master_status") > 0 }

// longestPass is an upper bound of the longest reconciliation that a process has made, from its histogram; 0 if it has made
// none, infinity if it was beyond the last bucket.
func longestPass(m operator.Metrics) time.Duration {
	const name = "controller_runtime_reconcile_time_seconds"
	total := m.Sum(name + "_count")
	if total == 0 {
		return 0
	}
	least := math.Inf(1)
	for series, count := range m {
		if bound, ok := bucket(series, name+"_bucket"); ok && count >= total {
			least = min(least, bound)
		}
	}
	if math.IsInf(least, 1) {
		return math.MaxInt64
	}
	return time.Duration(least * float64(time.Second))
}

// bucket is the upper bound of a histogram's series.
func bucket(series, name string) (bound float64, ok bool) {
	labels, ok := strings.CutPrefix(series, name+"{")
	if !ok {
		return 0, false
	}
	_, rest, ok := strings.Cut(labels, `le="`)
	if !ok {
		return 0, false
	}
	text, _, _ := strings.Cut(rest, `"`)
	bound, err := strconv.ParseFloat(text, 64)
	return bound, err == nil
}

// replicas are those of one Deployment.
type replicas []*replica

var errNoLeader = errors.New("no replica leads")

// leader is the replica that says it leads, if one does.
func (rs replicas) leader(ctx context.Context) (*replica, error) {
	for _, r := range rs {
		if m, err := r.metrics(ctx); err == nil && leads(m) {
			return r, nil
		}
	}
	return nil, errNoLeader
}

// other is a replica that is not this one.
func (rs replicas) other(than *replica) *replica {
	for _, r := range rs {
		if r != than {
			return r
		}
	}
	return than
}

// leaderOr is the leader, or another if there is none: the moment at which nobody leads is as good as any other.
func (rs replicas) leaderOr(ctx context.Context, subject int) *replica {
	if r, err := rs.leader(ctx); err == nil {
		return r
	}
	return rs[subject%len(rs)]
}
