package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	// shardSessions are those of each shard.
	shardSessions = 250
	// slowGrant is how long Secret Server takes for a grant: then it, and not this machine, bounds a shard, at 8 requests at a time
	// to 20 grants a second. The sessions are due more often than that.
	slowGrant = 400 * time.Millisecond
	// shardLength is how long to measure.
	shardLength = 20 * time.Second
	shardLabel  = "bench.example.com/shard"
)

// A shard is an operator with the sessions of a Secret Server of its own.
type shard struct {
	name     string
	fleet    *fleet
	vault    *vault
	observer *observer
	subject  *subject
	rate     float64 // refreshes a second beside the other
}

// shards shows that two operators add up, that none of their sessions is served twice or not at all while labels change, and
// that the loss of one is no concern of the other's.
func (r *run) shards(ctx context.Context) error {
	return r.within(ctx, partShards, shardSessions, func(r *run, ctx context.Context, w *world) (err error) {
		dir := filepath.Join(w.logs, "b")
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
		second, err := openVault(ctx, r.vault, dir, accounts(shardSessions))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, second.close()) }()
		a, b := &shard{name: "a", vault: w.vault}, &shard{name: "b", vault: second}
		for _, step := range []func(context.Context, *world, *shard, *shard) error{r.addUp, r.relabel, r.lose} {
			if err := step(ctx, w, a, b); err != nil {
				return err
			}
		}
		return errors.Join(a.subject.Stop(), b.subject.Stop(), a.observer.close())
	})
}

// begin starts a shard's operator, and its sessions.
func (s *shard) begin(ctx context.Context, w *world) error {
	s.fleet = &fleet{client: w.admin, vault: s.vault, prefix: "shard-" + s.name, labels: map[string]string{shardLabel: s.name}}
	err := errors.Join(s.fleet.namespaces(ctx), s.vault.lifetimes(ctx, 0, saturatedLifetime), s.start(ctx, w))
	if err != nil {
		return err
	}
	if err := s.fleet.begin(ctx, w, shardSessions, saturatedPercent); err != nil {
		return err
	}
	return s.vault.slow(ctx, slowGrant)
}

// start starts a shard's operator.
func (s *shard) start(ctx context.Context, w *world) (err error) {
	s.subject, err = w.startOperator(ctx, "operator-"+s.name, "--session-selector="+shardLabel+"="+s.name)
	return err
}

// grants counts those of a shard's Secret Server.
func (s *shard) grants(ctx context.Context) (refreshes, logins, twice int, err error) {
	stats, err := s.vault.stats(ctx)
	return stats.Granted("refresh"), stats.Granted("password"), stats.RefreshTokensSeenTwice + stats.SpentRefreshTokensResent, err
}

// rates are the refreshes a second of some shards over a while.
func rates(ctx context.Context, length time.Duration, shards ...*shard) ([]float64, error) {
	var before, rates []float64
	for _, s := range shards {
		n, _, _, err := s.grants(ctx)
		if err != nil {
			return nil, err
		}
		before = append(before, float64(n))
	}
	if err := pause(ctx, length); err != nil {
		return nil, err
	}
	for i, s := range shards {
		n, _, _, err := s.grants(ctx)
		if err != nil {
			return nil, err
		}
		rates = append(rates, (float64(n)-before[i])/length.Seconds())
	}
	return rates, nil
}

// addUp measures two shards at a time; see lose for one alone.
func (r *run) addUp(ctx context.Context, w *world, a, b *shard) error {
	r.say("shards: two begin")
	for _, s := range []*shard{a, b} {
		if err := s.begin(ctx, w); err != nil {
			return err
		}
	}
	if err := pause(ctx, soonDue); err != nil {
		return err
	}
	r.say("shards: two")
	both, err := rates(ctx, shardLength, a, b)
	if err != nil {
		return err
	}
	a.rate, b.rate = both[0], both[1]
	a.observer, err = w.observe(ctx, saturatedPercent)
	b.observer = a.observer
	return err
}

// relabel moves the sessions of one shard to the other and back, while they are being refreshed.
func (r *run) relabel(ctx context.Context, _ *world, a, b *shard) error {
	_, loginsBefore, _, err := a.grants(ctx)
	if err != nil {
		return err
	}
	for _, to := range []string{b.name, a.name} {
		r.say("shards: the sessions of a move to %s", to)
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, shardLabel, to)
		if err := each(ctx, shardSessions, func(ctx context.Context, i int) error { return a.fleet.patch(ctx, i, patch) }); err != nil {
			return err
		}
		a.observer.forget()
		if err := a.observer.allRenewed(ctx, a.fleet, shardSessions, patienceFor(shardSessions)); err != nil {
			return err
		}
	}
	_, logins, twice, err := a.grants(ctx)
	if err != nil {
		return err
	}
	r.tell(partShards, shardSessions,
		figure{What: "labels change: refresh tokens that Secret Server saw twice", Value: float64(twice)}.exactly(0),
		// A session that moves while its refresh is under way is found claimed, and logs in.
		figure{What: "labels change: logins", Value: float64(logins - loginsBefore)}.atMost(shardSessions/5).with("of %d moves", 2*shardSessions),
		figure{What: "labels change: sessions not refreshed afterwards", Value: 0}.exactly(0).with("each was, after each of two moves"),
	)
	return nil
}

// lose kills one shard's operator. The other is alone then.
func (r *run) lose(ctx context.Context, w *world, a, b *shard) error {
	r.say("shards: b is killed")
	_, loginsBefore, _, err := b.grants(ctx)
	if err != nil {
		return err
	}
	if err := b.subject.Kill(); err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // what was under way is answered
		return err
	}
	claimed := b.observer.claimed(b.fleet)
	a.observer.forget()
	during, err := rates(ctx, shardLength, a, b)
	if err != nil {
		return err
	}
	if err := a.observer.allRenewed(ctx, a.fleet, shardSessions, patienceFor(shardSessions)); err != nil {
		return err
	}
	if err := b.start(ctx, w); err != nil {
		return err
	}
	b.observer.forget()
	if err := b.observer.allRenewed(ctx, b.fleet, shardSessions, patienceFor(shardSessions)); err != nil {
		return err
	}
	_, logins, twice, err := b.grants(ctx)
	if err != nil {
		return err
	}
	r.tell(partShards, 2*shardSessions, figure{What: "refreshes of two shards, against one alone", Value: (a.rate + b.rate) / during[0], Unit: "x"}.
		atLeast(1.8).timed().with("%.1f/s and %.1f/s, alone %.1f/s; each Secret Server can do %.0f/s",
		a.rate, b.rate, during[0], endpointConcurrency/slowGrant.Seconds()))
	r.tell(partShards, shardSessions,
		figure{What: "b is killed: its sessions refreshed meanwhile, a second", Value: during[1]}.exactly(0),
		figure{What: "b is killed: those of a, a second", Value: during[0]}.timed().with("each was refreshed"),
		// It was killed between claims and the storing of their answers: one login for each.
		figure{What: "b is back: logins", Value: float64(logins - loginsBefore)}.atMost(float64(claimed)).
			with("%d sessions were found claimed; all are refreshed", claimed),
		figure{What: "b is back: refresh tokens that Secret Server saw twice", Value: float64(twice)}.exactly(0),
	)
	return nil
}
