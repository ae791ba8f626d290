package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// deedTimeout bounds one act of the administrator of the cluster.
	deedTimeout = 5 * time.Second
	// returnTimeout bounds the return of a server that was stopped.
	returnTimeout = time.Minute
)

// errSkipped says that there was no way to do a fault.
var errSkipped = errors.New("skipped")

// befall does a fault and takes it back. All faults are to be over at end.
func (w *world) befall(ctx context.Context, f fault, end time.Time) error {
	deed, turn := w.deedOf(f), func() func() { return func() {} }
	switch {
	case f.kind.is(kindGroups[groupAPI].kinds):
		turn = func() func() { w.apiTurn.Lock(); return w.apiTurn.Unlock }
	case f.kind.is(kindGroups[groupOperator].kinds):
		turn = func() func() { w.operatorTurn.Lock(); return w.operatorTurn.Unlock }
	case f.kind.takesServerDown():
		turn = func() func() { w.vaultTurn.Lock(); return w.vaultTurn.Unlock }
	}
	defer turn()()
	f.lasts = min(f.lasts, time.Until(end))
	if f.lasts < 0 || ctx.Err() != nil {
		w.skipped.add(f.kind)
		return nil
	}
	if f.kind.takesServerDown() {
		w.servers.fail()
		defer func() { w.servers.mend(time.Now()) }()
	}
	w.events.printf("begins  %s", f)
	err := deed(ctx, f)
	w.events.printf("ends    %s: %v", f, err)
	if errors.Is(err, errSkipped) {
		w.skipped.add(f.kind)
		return nil
	}
	w.times.add(f.kind)
	if err != nil {
		return fmt.Errorf("%s: %w", f.kind, err)
	}
	return nil
}

// deedOf says how a kind of fault is done.
func (w *world) deedOf(f fault) func(context.Context, fault) error {
	switch f.kind {
	case vaultDown:
		return w.stopVault
	case tokensWiped:
		return func(context.Context, fault) error { w.vault.RevokeAll(); return nil }
	case tokenEnded:
		return func(context.Context, fault) error { w.vault.ExpireToken(w.poller.token(f.subject)); return nil }
	case apiDown:
		return w.stopAPIServer
	case etcdDown:
		return w.stopEtcd
	case apiCut:
		return func(context.Context, fault) error { w.eachProxy((*proxy).cut); return nil }
	case leaderReplaced, leaderKilled, standbyKilled:
		return w.kill
	case leaderStopped:
		return w.stop
	case leaderPaused:
		return w.pause
	case leaderPartition:
		return w.partition
	case wrongPassword:
		return w.misspell
	case rotation:
		return w.rotate
	case stateDeleted, stateGarbled, targetEdited, targetDeleted:
		return w.meddle
	}
	if f.kind.is(kindGroups[groupAPI].kinds) {
		return w.disturbAPI
	}
	return w.disturbVault
}

// pass waits, or returns early when the context ends: a fault is then taken back at once.
func pass(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (w *world) disturbVault(ctx context.Context, f fault) error {
	w.vault.Inject(vaultFaults(f, time.Now())...)
	pass(ctx, f.lasts)
	w.vault.ClearFaults()
	return nil
}

func (w *world) stopVault(ctx context.Context, f fault) error {
	w.vault.Down()
	pass(ctx, f.lasts)
	return w.vault.Up()
}

func (w *world) eachProxy(do func(*proxy)) {
	for _, r := range w.replicas {
		do(r.proxy)
	}
}

func (w *world) disturbAPI(ctx context.Context, f fault) error {
	w.eachProxy(func(p *proxy) { p.disturb(f.kind, f.dose) })
	pass(ctx, f.lasts)
	w.eachProxy(func(p *proxy) { p.disturb("", 0) })
	return nil
}

func (w *world) stopAPIServer(ctx context.Context, f fault) error {
	if err := w.cluster.StopAPIServer(); err != nil {
		return err
	}
	pass(ctx, f.lasts)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	return w.cluster.StartAPIServer(ctx)
}

func (w *world) stopEtcd(ctx context.Context, f fault) error {
	if err := w.cluster.StopEtcd(); err != nil {
		return err
	}
	pass(ctx, f.lasts)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTimeout)
	defer cancel()
	return w.cluster.StartEtcd(ctx)
}

// kill kills a replica; another process takes its place at once.
func (w *world) kill(ctx context.Context, f fault) error {
	victim := w.replicas.leaderOr(ctx, f.subject)
	if f.kind == standbyKilled {
		victim = w.replicas.other(victim)
	}
	w.turnover()
	w.events.printf("kill %s", victim.describe())
	if err := victim.current().Kill(); err != nil {
		return err
	}
	if f.kind == leaderReplaced {
		w.freeLease(ctx)
	}
	pass(ctx, f.lasts)
	return nil
}

// freeLease lets a standby take over at once. It may be called only when the one who holds the lease is dead for sure; if the
// API server is down, the lease runs out as it does otherwise.
func (w *world) freeLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, deedTimeout)
	defer cancel()
	if err := w.cluster.freeLease(ctx); err != nil {
		w.events.printf("the lease is not freed: %v", err)
	}
}

// stop ends the leader in order. One that cannot, since the API server is not there to take its lease back, is no fault of
// its own: its end is noted.
func (w *world) stop(ctx context.Context, f fault) error {
	victim := w.replicas.leaderOr(ctx, f.subject)
	w.turnover()
	w.events.printf("stop %s", victim.describe())
	begun := time.Now()
	err := victim.current().Stop()
	w.events.printf("stopped after %.1f s: %v", time.Since(begun).Seconds(), err)
	return nil
}

func (w *world) pause(ctx context.Context, f fault) error {
	victim := w.replicas.leaderOr(ctx, f.subject)
	w.turnover()
	w.events.printf("pause %s", victim.describe())
	process := victim.current()
	if err := process.Pause(); err != nil {
		return err
	}
	pass(ctx, f.lasts)
	return process.Continue()
}

// partition cuts the leader off from the API server, but not from Secret Server.
func (w *world) partition(ctx context.Context, f fault) error {
	victim := w.replicas.leaderOr(ctx, f.subject)
	w.turnover()
	w.events.printf("cut off %s", victim.describe())
	victim.proxy.refuse(true)
	pass(ctx, f.lasts)
	victim.proxy.refuse(false)
	return nil
}

func (r *replica) describe() string {
	return fmt.Sprintf("%s, process %d", r.name(), r.current().ID())
}

func (w *world) meddle(ctx context.Context, f fault) error {
	ctx, cancel := context.WithTimeout(ctx, deedTimeout)
	defer cancel()
	if err := w.cluster.meddle(ctx, f.kind, f.subject); err != nil {
		return fmt.Errorf("%w: %w", errSkipped, err) // the API server may be down, too
	}
	return nil
}

// misspell puts a wrong password into an account's credentials, and corrects it.
func (w *world) misspell(ctx context.Context, f fault) error {
	before := w.turnoverCount()
	sessions := w.sessionsOf(f.subject)
	w.poller.blame(sessions, true)
	defer w.poller.blame(sessions, false)
	if err := w.writePassword(ctx, f.subject, fmt.Sprintf("wrong-%.9f", f.dose)); err != nil {
		return fmt.Errorf("%w: %w", errSkipped, err)
	}
	pass(ctx, f.lasts)
	err := w.correct(ctx, f.subject)
	// One login finds it out, and one more each time an operator process may have died before it could note that.
	w.allow(f.subject, 1+w.turnoverCount()-before)
	return err
}

// rotate changes a password at the server, and then in the credentials.
func (w *world) rotate(ctx context.Context, f fault) error {
	before := w.turnoverCount()
	sessions := w.sessionsOf(f.subject)
	w.poller.blame(sessions, true)
	defer w.poller.blame(sessions, false)
	w.mu.Lock()
	w.passwords[f.subject]++
	next := password(f.subject, w.passwords[f.subject])
	w.mu.Unlock()
	w.vault.SetPassword(accountName(f.subject), next)
	pass(ctx, f.lasts)
	err := w.correct(ctx, f.subject)
	w.allow(f.subject, 1+w.turnoverCount()-before)
	return err
}

// correct writes the right password into an account's credentials, however long that takes.
func (w *world) correct(ctx context.Context, account int) error {
	w.mu.Lock()
	right := password(account, w.passwords[account])
	w.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	return waitFor(ctx, longestOutage+returnTimeout, "the right password is written", func() bool {
		return w.writePassword(ctx, account, right) == nil
	})
}

func (w *world) writePassword(ctx context.Context, account int, password string) error {
	ctx, cancel := context.WithTimeout(ctx, deedTimeout)
	defer cancel()
	return w.cluster.setPassword(ctx, account, password)
}

// sessionsOf are those that log in to an account.
func (w *world) sessionsOf(account int) []int {
	var sessions []int
	for i := account; i < w.scale.sessions; i += w.scale.accounts {
		sessions = append(sessions, i)
	}
	return sessions
}
