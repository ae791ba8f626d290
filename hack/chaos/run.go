package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tokensync.dev/secret-server-operator/hack/operator"
)

const (
	// startLimit bounds the time from the first login to all sessions being current.
	startLimit = time.Minute
	// quiet is how long it has to be quiet before resources are taken: with tokens of 20 s every session is renewed in it.
	quiet = 15 * time.Second
	// overhead is what a run needs beside its faults: a start, a quiet time, a recovery and a quiet time again.
	overhead = 105 * time.Second
	// shortestRun leaves the faults some time.
	shortestRun = overhead + 30*time.Second
	// progressInterval is how often a run says how it is getting on.
	progressInterval = 10 * time.Second
	// lastLimit bounds the recovery, so that one which takes too long is still measured.
	lastLimit = recoveryBound + 15*time.Second
)

// errFailed says that a figure is not what it must be.
var errFailed = errors.New("not everything is as it must be")

// A run is one from start to end.
type run struct {
	*world
	options  options
	out      io.Writer
	cleanups []func() error
	figures  figures
}

// do makes the run and shows what it has found.
func (r *run) do(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, r.cleanUp()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := r.setUp(ctx, cancel); err != nil {
		return err
	}
	if r.figures.start, err = r.resources(ctx); err != nil {
		return fmt.Errorf("resources at the start: %w", err)
	}
	r.poller.forget()
	plan := newPlan(r.options.seed, r.scale)
	if err := r.faults(ctx, plan); err != nil {
		return err
	}
	if err := r.recover(ctx); err != nil {
		return err
	}
	return r.judge()
}

func (r *run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.out, "%6.1f s  %s\n", time.Since(r.events.start).Seconds(), fmt.Sprintf(format, args...)) //nolint:errcheck // for people
	r.events.printf(format, args...)
}

// setUp starts everything and waits until all sessions are current.
func (r *run) setUp(ctx context.Context, cancel context.CancelCauseFunc) error {
	var err error
	r.say("a fake Secret Server with tokens of %s, and the control plane", seconds(tokenLifetime))
	if r.vault, err = openVault(r.scale.vaultAccounts(), r.options.seed); err != nil {
		return err
	}
	r.afterwards(func() error { r.vault.Close(); return nil })
	if r.cluster, err = startCluster(ctx, r.options.config, r.logs); err != nil {
		return err
	}
	r.afterwards(r.cluster.Stop)
	if _, err := r.cluster.admitOperator(ctx, r.options.config); err != nil {
		return err
	}
	r.say("%d replicas of the operator, %d sessions on %d accounts", replicaCount, r.scale.sessions, r.scale.accounts)
	for n := range replicaCount {
		if err := r.startReplica(ctx, n, cancel); err != nil {
			return err
		}
	}
	if err := r.cluster.createObjects(ctx, r.scale, r.vault); err != nil {
		return err
	}
	r.startPolling(ctx)
	if err := waitFor(ctx, startLimit, "all sessions are current", func() bool { return r.current() == r.scale.sessions }); err != nil {
		return err
	}
	r.say("all sessions are current")
	return nil
}

func (r *run) startReplica(ctx context.Context, number int, cancel context.CancelCauseFunc) error {
	replica, err := r.replicaOf(number, r.options)
	if err != nil {
		return err
	}
	r.afterwards(func() error { replica.proxy.close(); return nil })
	r.replicas = append(r.replicas, replica)
	running, stop := context.WithCancel(ctx)
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		err := replica.run(running, started)
		if err != nil {
			cancel(err)
		}
		ended <- err
	}()
	r.afterwards(func() error { stop(); return <-ended })
	select {
	case <-started:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *run) startPolling(ctx context.Context) {
	r.poller = newPoller(r.cluster.client, r.vault.TokenValid, r.servers, r.scale.sessions)
	polling, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { r.poller.run(polling) })
	tasks.Go(func() { r.watchPasses(polling) })
	tasks.Go(func() { r.report(polling) })
	r.afterwards(func() error { stop(); tasks.Wait(); return nil })
}

// watchPasses keeps the longest pass of all processes, as far as they answer.
func (r *run) watchPasses(ctx context.Context) {
	for ctx.Err() == nil {
		for _, replica := range r.replicas {
			if m, err := replica.metrics(ctx); err == nil {
				r.mu.Lock()
				r.figures.longest = max(r.figures.longest, longestPass(m))
				r.mu.Unlock()
			}
		}
		pass(ctx, 2*time.Second)
	}
}

// report says now and then how the run is getting on.
func (r *run) report(ctx context.Context) {
	for {
		pass(ctx, progressInterval)
		if ctx.Err() != nil {
			return
		}
		weather := "foul"
		if !r.servers.upSince().IsZero() {
			weather = "fair"
		}
		stats := r.vault.Stats()
		r.say("servers %s, %3d faults, %2d turnovers, %4d logins, %5d refreshes, %3d of %d sessions current", weather, r.times.total(),
			r.turnoverCount(), stats.Granted("password"), stats.Granted("refresh"), r.current(), r.scale.sessions)
	}
}

// current is how many sessions are.
func (r *run) current() int {
	n := 0
	for _, w := range r.poller.book() {
		if w.current {
			n++
		}
	}
	return n
}

// resources waits for a quiet time and takes the least of what the leader holds in it.
func (r *run) resources(ctx context.Context) (resources, error) {
	leader, err := r.replicas.leader(ctx)
	if err != nil {
		return resources{}, err
	}
	var least resources
	end := time.Now().Add(quiet)
	for time.Now().Before(end) {
		m, err := leader.metrics(ctx)
		if err != nil {
			return resources{}, err
		}
		now := resourcesOf(m, time.Now())
		if least.heap == 0 {
			least = now
		}
		least = resources{min(least.goroutines, now.goroutines), min(least.heap, now.heap), now.age}
		pass(ctx, time.Second)
	}
	return least, ctx.Err()
}

func resourcesOf(m operator.Metrics, now time.Time) resources {
	return resources{
		goroutines: m.Sum("go_goroutines"), heap: m.Sum("go_memstats_heap_alloc_bytes"),
		age: now.Sub(time.UnixMilli(int64(m.Sum("process_start_time_seconds") * 1000))),
	}
}

// faults does all faults of the plan; it returns when they are over.
func (r *run) faults(ctx context.Context, plan []fault) error {
	start := time.Now()
	r.say("%d faults in %s", len(plan), seconds(r.scale.length))
	var tasks sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, f := range plan {
		pass(ctx, time.Until(start.Add(f.at)))
		if ctx.Err() != nil {
			break
		}
		tasks.Go(func() {
			if err := r.befall(ctx, f, start); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	tasks.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

// judge shows the figures, and fails the run if they are not what they must be.
func (r *run) judge() error {
	f := &r.figures
	f.times, f.skipped, f.struck = r.times.all(), r.skipped.all(), r.hits.all()
	f.stats, f.allowed, f.turnovers = r.vault.Stats(), r.allowed, r.turnoverCount()
	for _, replica := range r.replicas {
		ends, _ := replica.endedByItself()
		f.ends += ends
		text, err := os.ReadFile(replica.options.Log)
		if err != nil {
			return err
		}
		f.panics += bytes.Count(text, []byte("panic:")) + bytes.Count(text, []byte("fatal error:"))
		f.leaks += r.leaks(text)
	}
	table := f.table()
	_, _ = io.WriteString(r.out, table) //nolint:errcheck // for people
	for _, u := range f.unready {
		_, _ = fmt.Fprintln(r.out, u) //nolint:errcheck // the same
	}
	if len(bad(f.verdict())) == 0 {
		return nil
	}
	return errFailed
}

// leaks counts the secrets in a log, as far as they are known here.
func (r *run) leaks(text []byte) int {
	secrets := []string{passwordMark, otpSeed}
	for i := range r.scale.sessions {
		if token := r.poller.token(i); token != "" {
			secrets = append(secrets, token)
		}
	}
	n := 0
	for _, secret := range secrets {
		n += bytes.Count(text, []byte(secret))
	}
	return n
}

// sick is how many replicas have a probe that fails.
func (r *run) sick(ctx context.Context) int {
	n := 0
	for _, replica := range r.replicas {
		probing, cancel := context.WithTimeout(ctx, scrapeTimeout)
		if err := errors.Join(replica.current().Healthy(probing), replica.current().Ready(probing)); err != nil {
			r.say("%s: %v", replica.describe(), err)
			n++
		}
		cancel()
	}
	return n
}

// keepJournal writes what Secret Server was asked, for whoever looks into a failure. It holds no secrets.
func (r *run) keepJournal() error {
	if r.vault == nil {
		return nil
	}
	var b bytes.Buffer
	for _, e := range r.vault.Journal() {
		fault := "-"
		if e.Fault != nil {
			fault = string(*e.Fault)
		}
		fmt.Fprintf(&b, "%s %-8s %-8s %-16s %3d fault=%s presented=%s issued=%s\n", e.Time.UTC().Format("15:04:05.000"),
			e.Account, e.Operation, e.Result, e.Status, fault, e.Presented, e.Issued)
	}
	return os.WriteFile(filepath.Join(r.logs, "journal.log"), b.Bytes(), 0o600)
}

func (r *run) afterwards(do func() error) { r.cleanups = append(r.cleanups, do) }

func (r *run) cleanUp() error {
	errs := []error{r.keepJournal()}
	for _, do := range slices.Backward(r.cleanups) {
		errs = append(errs, do())
	}
	return errors.Join(errs...)
}
