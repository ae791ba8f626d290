package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// deedTimeout bounds one act of the administrator of the cluster.
	deedTimeout = 5 * time.Second
	// returnTimeout bounds the return of a server that was stopped.
	returnTimeout = time.Minute
)

// errSkipped says that there was no way to do a fault.
var errSkipped = errors.New("skipped")

// befall does a fault and takes it back. It is over when its time is, counted from start, whatever held it up.
func (w *world) befall(ctx context.Context, f fault, start time.Time) error {
	if turn := w.turnOf(f.kind); turn != nil {
		turn.Lock()
		defer turn.Unlock()
	}
	end := start.Add(w.scale.latest(f))
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
	err := w.deedOf(f.kind)(ctx, f)
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

// turnOf is what a kind of fault waits for: one thing at a time befalls each server, and the processes. The plan means it
// so, but things may take longer than planned.
func (w *world) turnOf(k kind) *sync.Mutex {
	switch {
	case k.is(kindGroups[groupAPI].kinds):
		return &w.apiTurn
	case k.is(kindGroups[groupOperator].kinds):
		return &w.operatorTurn
	case k.takesServerDown():
		return &w.vaultTurn
	}
	return nil
}

// A deed does a fault, waits, and takes it back.
type deed func(context.Context, fault) error

// deedOf says how a kind of fault is done.
func (w *world) deedOf(k kind) deed {
	known := map[kind]deed{
		vaultDown: w.stopVault, tokensWiped: w.wipeTokens, tokenEnded: w.endToken,
		apiDown: w.stopAPIServer, etcdDown: w.stopEtcd, apiCut: w.cutConnections,
		leaderReplaced: w.kill, leaderKilled: w.kill, standbyKilled: w.kill,
		leaderStopped: w.stop, leaderPaused: w.pause, leaderPartition: w.partition,
		wrongPassword: w.misspell, rotation: w.rotate,
		stateDeleted: w.meddle, stateGarbled: w.meddle, targetEdited: w.meddle, targetDeleted: w.meddle, sessionRemade: w.remake,
	}
	switch do, ok := known[k]; {
	case ok:
		return do
	case k.is(kindGroups[groupAPI].kinds):
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

func (w *world) wipeTokens(context.Context, fault) error {
	w.vault.RevokeAll()
	return nil
}

func (w *world) endToken(_ context.Context, f fault) error {
	w.vault.ExpireToken(w.poller.token(f.subject))
	return nil
}

func (w *world) cutConnections(context.Context, fault) error {
	w.eachProxy((*proxy).cut)
	return nil
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
	leader, none := w.replicas.leader(ctx)
	victim := leader
	switch {
	case none != nil: // the moment at which nobody leads is as good as any other
		victim = w.replicas[f.subject]
	case f.kind == standbyKilled:
		victim = w.replicas.other(leader)
	}
	w.turnover()
	free := func(context.Context) error { return none }
	if f.kind == leaderReplaced && none == nil {
		free = w.cluster.leaseFreer(ctx)
	}
	w.events.printf("kill %s", victim.describe())
	if err := victim.current().Kill(); err != nil {
		return err
	}
	if err := w.within(ctx, free); err != nil {
		w.events.printf("the lease is not freed, and runs out: %v", err)
	}
	pass(ctx, f.lasts)
	return nil
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
	w.forgetCode(f)
	return nil
}

// forgetCode allows for what only a state Secret told: which one-time code was used. The same may be sent again.
func (w *world) forgetCode(f fault) {
	account := w.scale.accountOf(f.subject)
	if w.scale.hasCodes(account) && f.kind.is([]kind{stateDeleted, stateGarbled, sessionRemade}) {
		w.allow(account, 1)
	}
}

// remake deletes a session and makes it again. Until then it has no target, and that is its user's doing. A deletion must
// not hang, whatever is down.
//
// Its Secrets are deleted as well: if its deletion and its return both fall into an outage of the API server, the garbage
// collector knows of neither and keeps them for ever, and the operator leaves alone what belongs to another session.
func (w *world) remake(ctx context.Context, f fault) error {
	session := w.scale.newSession(f.subject, w.vault.URL())
	w.poller.blame([]int{f.subject}, true)
	defer w.poller.blame([]int{f.subject}, false)
	gone := func(ctx context.Context) error {
		return client.IgnoreNotFound(w.cluster.client.Delete(ctx, session.DeepCopy()))
	}
	// An attempt without an answer may have worked, so there is no going back after the first.
	if err := w.insist(ctx, "a session is deleted", gone); err != nil {
		return err
	}
	w.forgetCode(f)
	return w.insist(ctx, "a deleted session is gone, and made again", func(ctx context.Context) error {
		return w.cluster.remake(ctx, session)
	})
}

// insist repeats an act of the administrator of the cluster until it works, also while everything ends.
func (w *world) insist(ctx context.Context, what string, act func(context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	return waitFor(ctx, longestOutage+returnTimeout, what, func() bool { return w.within(ctx, act) == nil })
}

// within bounds one act of the administrator of the cluster, and does it also while everything ends.
func (*world) within(ctx context.Context, act func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deedTimeout)
	defer cancel()
	return act(ctx)
}

// misspell puts a wrong password into an account's credentials, and corrects it.
func (w *world) misspell(ctx context.Context, f fault) error {
	before := w.turnoverCount()
	sessions := w.scale.sessionsOf(f.subject)
	w.poller.blame(sessions, true)
	defer w.poller.blame(sessions, false)
	// Without an answer it may stand there all the same.
	wrong := w.writePassword(ctx, f.subject, fmt.Sprintf("%swrong-%.9f", passwordMark, f.dose))
	pass(ctx, f.lasts)
	err := w.correct(ctx, f.subject)
	if wrong != nil && err == nil {
		err = fmt.Errorf("%w: %w", errSkipped, wrong)
	}
	// One login finds it out, and one more each time an operator process may have died before it could note that.
	w.allow(f.subject, 1+w.turnoverCount()-before)
	return err
}

// rotate changes a password at the server, and then in the credentials.
func (w *world) rotate(ctx context.Context, f fault) error {
	before := w.turnoverCount()
	sessions := w.scale.sessionsOf(f.subject)
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
	return w.insist(ctx, "the right password is written", func(ctx context.Context) error {
		return w.cluster.setPassword(ctx, account, right)
	})
}

func (w *world) writePassword(ctx context.Context, account int, password string) error {
	return w.within(ctx, func(ctx context.Context) error { return w.cluster.setPassword(ctx, account, password) })
}
