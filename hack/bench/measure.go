package main

import (
	"context"
	"os"
	"slices"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// A moment is what all counters said at one time.
type moment struct {
	at                      time.Time
	requests                requests
	stats                   secretservertest.Stats
	operator, api, db, self footprint
}

// now reads all counters. The operator's are zero without one.
func (w *world) now(ctx context.Context, s *subject) (m moment, err error) {
	err = w.count(ctx, &m)
	if err == nil {
		err = w.weigh(&m, s)
	}
	return m, err
}

// count reads what the servers have counted, which takes the benchmark itself some CPU time.
func (w *world) count(ctx context.Context, m *moment) (err error) {
	if m.requests, err = w.countRequests(ctx); err != nil {
		return err
	}
	m.stats, err = w.vault.stats(ctx)
	return err
}

// weigh reads what the processes have used, and the time.
func (w *world) weigh(m *moment, s *subject) (err error) {
	if s != nil {
		if m.operator, err = footprintOf(s.ID()); err != nil {
			return err
		}
	}
	for pid, into := range map[int]*footprint{
		w.plane.ProcessID("kube-apiserver"): &m.api, w.plane.ProcessID("etcd"): &m.db, os.Getpid(): &m.self,
	} {
		if *into, err = footprintOf(pid); err != nil {
			return err
		}
	}
	m.at = time.Now()
	return nil
}

// A span lies between two moments.
type span struct {
	took                    time.Duration
	requests                requests
	logins, refreshes       int
	others                  int // requests to Secret Server that are no grants
	connections             int // that it accepted
	operator, api, db, self time.Duration
}

// until is the span from a moment to a later one.
func (m moment) until(end moment) span {
	s := span{
		took:        end.at.Sub(m.at),
		requests:    end.requests.since(m.requests),
		logins:      end.stats.Granted(secretservertest.Password) - m.stats.Granted(secretservertest.Password),
		refreshes:   end.stats.Granted(secretservertest.Refresh) - m.stats.Granted(secretservertest.Refresh),
		connections: end.stats.Connections - m.stats.Connections,
		operator:    end.operator.cpu - m.operator.cpu,
		api:         end.api.cpu - m.api.cpu,
		db:          end.db.cpu - m.db.cpu,
		self:        end.self.cpu - m.self.cpu,
	}
	for path, count := range end.stats.Requests {
		s.others += count - m.stats.Requests[path]
	}
	s.others -= s.logins + s.refreshes
	return s
}

// plus is both spans together.
func (s span) plus(other span) span {
	s.took += other.took
	s.requests = s.requests.plus(other.requests)
	s.logins, s.refreshes, s.others = s.logins+other.logins, s.refreshes+other.refreshes, s.others+other.others
	s.connections += other.connections
	s.operator, s.api, s.db, s.self = s.operator+other.operator, s.api+other.api, s.db+other.db, s.self+other.self
	return s
}

// rate is refreshes per second.
func (s span) rate() float64 { return float64(s.refreshes) / s.took.Seconds() }

// perRefresh is what a refresh costs in requests to the API server, by its own counts alone: those of Secret Server are taken a
// moment later. Refreshes under way at either end have made some of their requests, which edge bounds.
func (s span) perRefresh(requests int) (mean, edge float64) {
	refreshes := float64(max(s.requests.refreshes(), 1))
	return float64(requests) / refreshes, 4 * 2 * endpointConcurrency / refreshes
}

// perThousand is CPU time, in seconds per 1,000 refreshes.
func (s span) perThousand(cpu time.Duration) float64 {
	return cpu.Seconds() * 1000 / float64(max(s.refreshes, 1))
}

// A sample is the memory of a process over a while.
type sample struct {
	rss  []int64
	peak int64
}

// median is what it usually held.
func (s sample) median() float64 {
	if len(s.rss) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.rss))
	return float64(sorted[len(sorted)/2])
}

// mean is what it held on average.
func (s sample) mean() float64 {
	var sum float64
	for _, rss := range s.rss {
		sum += float64(rss)
	}
	return sum / float64(max(len(s.rss), 1))
}

// sampleLong looks at a process every second for a while, and tells each minute how it goes.
func (r *run) sampleLong(ctx context.Context, part string, pid int, length time.Duration) (sample, error) {
	var whole sample
	for end := time.Now().Add(length); ; {
		s, err := sampleMemory(ctx, pid, min(time.Minute, time.Until(end)))
		whole.rss, whole.peak = append(whole.rss, s.rss...), max(whole.peak, s.peak)
		left := time.Until(end).Round(time.Second)
		if err != nil || left <= 0 {
			return whole, err
		}
		r.say("%s: %v to go; memory %.1f MiB", part, left, mib(s.median()))
	}
}

// sampleMemory looks at a process every second for a while.
func sampleMemory(ctx context.Context, pid int, length time.Duration) (sample, error) {
	var s sample
	if err := forgetPeak(pid); err != nil {
		return s, err
	}
	for end := time.Now().Add(length); time.Now().Before(end); {
		if err := pause(ctx, min(time.Second, time.Until(end))); err != nil {
			return s, err
		}
		f, err := footprintOf(pid)
		if err != nil {
			return s, err
		}
		s.rss, s.peak = append(s.rss, f.rss), f.peak
	}
	return s, nil
}

// pause lets time pass.
func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// quantiles are the median, the 99th percentile and the greatest of some times; zero of none.
func quantiles(times []time.Duration) (p50, p99, most time.Duration) {
	if len(times) == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(times))
	at := func(share float64) time.Duration { return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)] }
	return at(.5), at(.99), sorted[len(sorted)-1]
}
