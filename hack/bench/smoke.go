package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// The smoke form counts, and times nothing. Its sessions log in together, come due together, and are quiet in between, so that
// each count begins and ends while no request is under way, and is exact.
const (
	partSmoke     = "smoke"
	smokeSessions = 30
	// At 40 percent of this lifetime, less the jitter, sessions that logged in together come due within 5 s after 15 to 20 s, and
	// again as long after that.
	smokeLifetime, smokePercent = 50 * time.Second, 40
	// smokeQuiet is how long nothing must have happened before a count is taken.
	smokeQuiet = 2 * time.Second
	// smokeIdle is how long to watch that nothing happens.
	smokeIdle = 15 * time.Second
)

// count makes the smoke form.
func (r *run) count(ctx context.Context, w *world) error {
	if err := r.compareBodies(ctx, w); err != nil {
		return err
	}
	f, err := w.fleet(ctx, "bench")
	if err != nil {
		return err
	}
	if err := w.vault.lifetimes(ctx, 0, smokeLifetime); err != nil {
		return err
	}
	s, err := w.startOperator(ctx, "operator")
	if err != nil {
		return err
	}
	r.say("smoke: %d sessions log in", smokeSessions)
	begun, err := w.now(ctx, s)
	if err != nil {
		return err
	}
	if err := f.begin(ctx, w, smokeSessions, smokePercent); err != nil {
		return err
	}
	if err := w.calm(ctx); err != nil {
		return err
	}
	if s, err = r.countRefreshes(ctx, w, s, begun); err != nil {
		return err
	}
	return s.Stop()
}

// countRefreshes counts one refresh of each session, then what an idle operator asks for, and then a restart.
func (r *run) countRefreshes(ctx context.Context, w *world, s *subject, begun moment) (*subject, error) {
	before, err := w.now(ctx, s)
	if err != nil {
		return s, err
	}
	// What is granted from now on lasts, so that one refresh of each is all there is.
	if err := w.vault.lifetimes(ctx, 0, quietLifetime); err != nil {
		return s, err
	}
	r.say("smoke: each session is refreshed once")
	if err := s.await(ctx, 2*smokeLifetime, "done refreshing", func(ctx context.Context) (bool, error) {
		now, err := w.now(ctx, s)
		return before.until(now).refreshes >= smokeSessions, err
	}); err != nil {
		return s, err
	}
	if err := w.calm(ctx); err != nil {
		return s, err
	}
	refreshed, err := w.now(ctx, s)
	if err != nil {
		return s, err
	}
	r.say("smoke: watching that nothing happens")
	if err := pause(ctx, smokeIdle); err != nil {
		return s, err
	}
	idle, err := w.now(ctx, s)
	if err != nil {
		return s, err
	}
	r.say("smoke: restart")
	s, restarted, err := countRestart(ctx, w, s)
	if err != nil {
		return s, err
	}
	r.tellSmoke(before.until(refreshed), refreshed.until(idle), idle.until(restarted), begun.until(idle))
	return s, nil
}

// countRestart starts another process, and lets it look at each session.
func countRestart(ctx context.Context, w *world, s *subject) (*subject, moment, error) {
	if err := s.Stop(); err != nil {
		return s, moment{}, err
	}
	s, err := w.startOperator(ctx, "operator")
	if err != nil {
		return s, moment{}, err
	}
	err = s.await(ctx, patienceFor(smokeSessions), "done with a first look at each session", func(ctx context.Context) (bool, error) {
		inside, err := s.look(ctx)
		return inside.reconciles >= smokeSessions, err
	})
	if err == nil {
		err = w.calm(ctx)
	}
	if err != nil {
		return s, moment{}, err
	}
	now, err := w.now(ctx, s)
	return s, now, err
}

// calm waits until nothing was asked of Secret Server, and nothing written, for a while.
func (w *world) calm(ctx context.Context) error {
	last, err := w.now(ctx, nil)
	if err != nil {
		return err
	}
	return await(ctx, time.Minute, "nothing is under way", func(ctx context.Context) (bool, error) {
		now, err := w.now(ctx, nil)
		if err != nil {
			return false, err
		}
		if got := last.until(now); got.requests.writes() > 0 || got.refreshes+got.logins > 0 {
			last = now
		}
		return now.at.Sub(last.at) >= smokeQuiet, nil
	})
}

func (r *run) tellSmoke(refreshes, idle, restart, whole span) {
	one := func(verb, resource string) float64 {
		return float64(refreshes.requests[request{verb, resource}]) / float64(max(refreshes.refreshes, 1))
	}
	r.tell(partSmoke, smokeSessions,
		figure{What: "refreshes", Value: float64(refreshes.refreshes)}.exactly(smokeSessions),
		figure{What: "logins meanwhile", Value: float64(refreshes.logins)}.exactly(0),
		figure{What: "claims per refresh", Value: one("PATCH", "secrets")}.exactly(1).with("PATCH of the state Secret"),
		figure{What: "stores per refresh", Value: one("PUT", "secrets")}.exactly(1).with("PUT of the state Secret"),
		figure{What: "publications per refresh", Value: one("APPLY", "secrets")}.exactly(1).with("apply of the target"),
		figure{What: "reports per refresh", Value: one("APPLY", "secretserversessions/status")}.exactly(1).with("apply of the status"),
		figure{What: "Kubernetes requests per refresh", Value: float64(refreshes.requests.writes()) / float64(max(refreshes.refreshes, 1))}.
			exactly(4).with("%s", refreshes.requests),
		figure{What: "of those GET or LIST", Value: float64(refreshes.requests.reads())}.exactly(0),
		figure{What: "HTTPS requests that are no refresh", Value: float64(refreshes.others)}.exactly(0),
		figure{What: "TCP connections to Secret Server since the start", Value: float64(whole.connections)}.atMost(endpointConcurrency).
			with("for %d grants", whole.logins+whole.refreshes),
		figure{What: "idle: Kubernetes requests but for leases and watches", Value: float64(idle.requests.writes() + idle.requests.reads())}.
			exactly(0).with("in %.0f s: %s", idle.took.Seconds(), idle.requests),
		figure{What: "idle: HTTPS requests", Value: float64(idle.refreshes + idle.logins + idle.others)}.exactly(0),
		figure{What: "restart: writes to sessions and Secrets", Value: float64(restart.requests.touching())}.exactly(0).with("%s", restart.requests),
		figure{What: "restart: HTTPS requests", Value: float64(restart.refreshes + restart.logins + restart.others)}.exactly(0),
	)
}

// compareBodies holds what the bare client has written against what the operator writes: it must be the same but for the
// digits of times.
func (r *run) compareBodies(ctx context.Context, w *world) error {
	r.say("smoke: what the bare client and the operator write")
	bare, err := w.sizesByBare(ctx)
	if err != nil {
		return err
	}
	operator, err := w.sizesByOperator(ctx)
	if err != nil {
		return err
	}
	for i, what := range []string{"state Secret", "target", "status"} {
		r.tell(partSmoke, spread, figure{What: "size of the " + what + " against the bare client's", Value: float64(operator[i]) / float64(bare[i])}.
			atLeast(0.98).atMost(1.02).with("%d and %d bytes", operator[i], bare[i]))
	}
	return nil
}

// sizesByBare has the bare client write.
func (w *world) sizesByBare(ctx context.Context) ([3]int, error) {
	b, err := w.openBare(ctx, "bare", spread)
	if err != nil {
		return [3]int{}, err
	}
	if err := b.logIn(ctx, 0, len(b.records)); err != nil {
		return [3]int{}, err
	}
	if _, err := b.refresh(ctx, 1, time.Second); err != nil {
		return [3]int{}, err
	}
	sizes, err := w.sizes(ctx, b.fleet)
	return sizes, errors.Join(err, b.close(ctx))
}

// sizesByOperator has the operator write.
func (w *world) sizesByOperator(ctx context.Context) (sizes [3]int, err error) {
	f, err := w.fleet(ctx, "same")
	if err != nil {
		return sizes, err
	}
	s, err := w.startOperator(ctx, "operator-same")
	if err != nil {
		return sizes, err
	}
	if err := w.renewWhenDue(ctx, f); err != nil {
		return sizes, err
	}
	sizes, err = w.sizes(ctx, f)
	return sizes, errors.Join(err, s.Stop(), f.disband(ctx))
}

// renewWhenDue begins a fleet whose first tokens end soon, and waits until all that replaces them is written. Nobody asks for that:
// the answer to a request would be in the status, as it is in none of those that the bare client is measured against.
func (w *world) renewWhenDue(ctx context.Context, f *fleet) error {
	if err := w.vault.lifetimes(ctx, 0, lifetimeFor(spread)); err != nil {
		return err
	}
	o, err := w.observe(ctx, percent)
	if err != nil {
		return err
	}
	if err := f.begin(ctx, w, spread, percent); err != nil {
		return errors.Join(err, o.close())
	}
	if err := w.vault.lifetimes(ctx, 0, quietLifetime); err != nil {
		return errors.Join(err, o.close())
	}
	return errors.Join(o.allRenewed(ctx, f, f.size, patienceFor(f.size)), w.calm(ctx), o.close())
}

// sizes are those of a session's state Secret, target and status: of all that is written.
func (w *world) sizes(ctx context.Context, f *fleet) ([3]int, error) {
	var sizes [3]int
	name := f.name(0)
	state, target, session := &corev1.Secret{}, &corev1.Secret{}, &api.SecretServerSession{}
	if err := w.admin.Get(ctx, client.ObjectKey{Namespace: name.Namespace, Name: api.StateSecretName(name.Name)}, state); err != nil {
		return sizes, fmt.Errorf("read what was written: %w", err)
	}
	if err := w.admin.Get(ctx, name, target); err != nil {
		return sizes, fmt.Errorf("read what was written: %w", err)
	}
	if err := w.admin.Get(ctx, name, session); err != nil {
		return sizes, fmt.Errorf("read what was written: %w", err)
	}
	state.ManagedFields, target.ManagedFields = nil, nil
	return [3]int{state.Size(), target.Size(), len(jsonOf(session.Status))}, nil
}
