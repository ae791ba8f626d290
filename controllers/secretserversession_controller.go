// Package controllers keeps SecretServerSessions alive: it observes, asks package session what to do, does it, and
// reports.
package controllers

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// SecretServer is what the operator asks of a Secret Server. Errors are *secretserver.Error.
type SecretServer interface {
	Authenticate(ctx context.Context, c secretserver.Credentials) (secretserver.Grant, error)
	Refresh(ctx context.Context, refreshToken string) (secretserver.Grant, error)
	// Verify returns nil if the server takes the token, and Kind Refused if it does not.
	Verify(ctx context.Context, accessToken string) error
	// Ahead is how far the server's clock is ahead of the operator's. It says anything, and is not to be believed.
	Ahead(ctx context.Context) (time.Duration, error)
	// Revoke returns nil if the token is dead.
	Revoke(ctx context.Context, accessToken string) error
}

// Dialer makes the client of an endpoint; it connects to nothing yet.
type Dialer func(secretserver.Endpoint) (SecretServer, error)

// teller tells of a session's transitions. It must not wait.
type teller interface {
	announce(s *api.SecretServerSession, t transition)
}

// Reconciler keeps the sessions alive. Its zero value is of no use; Setup makes one.
type Reconciler struct {
	options Options
	clock   clock.Clock
	dial    Dialer
	events  teller

	// live reads and writes the API server; cache holds the sessions, and of Secrets and ConfigMaps metadata alone.
	live  client.Client
	cache client.Reader
	// look brings a session to the queue.
	look func(types.NamespacedName)

	accounts     *accounts
	codes        *codes
	identities   *identities
	places       *gate
	revocations  *revocations
	outages      *outages
	bundles      *bundles
	expectations *expectations
	memory       *memory
	verified     *verifications
	metrics      *metrics
	liveness     *liveness
	waits        flowcontrol.PassiveRateLimiter // of waitsTold
}

// maxSteps bounds a pass. The longest healthy one takes five: read the credentials, log in, publish, remove the old
// target, wait; a lost race adds a few.
const maxSteps = 12

// errUnsettled means that a pass did not come to rest, which is a defect or a very busy neighbour.
var errUnsettled = errors.New("the session did not settle within one pass")

// Reconcile takes a session as far as it can be taken now, and writes its status in one place.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	end := r.liveness.begin(request.NamespacedName)
	defer end()
	behind := false // then the turn goes on to the pass that follows at once
	endTurn := r.places.turn(request.NamespacedName)
	defer func() {
		if !behind {
			endTurn()
		}
	}()
	p, err := r.observe(ctx, request.NamespacedName)
	defer func() {
		if p != nil {
			p.end(ctx)
		}
	}()
	// One on its way out waits for a place to revoke, and will not ask for a grant.
	defer func() { r.outages.settle(request.NamespacedName, p != nil && p.busy && p.departure == nil) }()
	switch {
	case errors.Is(err, errBehind):
		behind = true
		return ctrl.Result{RequeueAfter: catchUp}, nil
	case err != nil:
		return ctrl.Result{}, err
	case p == nil:
		r.forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	plan, err := p.run(ctx)
	switch {
	case errors.Is(err, errNotLeading):
		return standDown(ctx), nil
	case errors.Is(err, errBehind):
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	p.forbidden(err)
	if p.session.DeletionTimestamp.IsZero() {
		err = errors.Join(err, r.report(ctx, p, plan))
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if plan.Obstacle == session.BackingOff {
		r.outages.keep(p.vantage, p.name(), p.neededBy())
	}
	result := p.requeue(plan)
	result.Priority = new(ordinary) // left out, it would keep that of this pass
	return result, nil
}

// run decides and acts until there is nothing more to do now.
func (p *pass) run(ctx context.Context) (session.Plan, error) {
	defer p.leavePlace()
	for range maxSteps {
		plan := session.Decide(p.observation(), p.now())
		if err := p.mayAct(plan.Action); err != nil {
			return plan, err
		}
		if plan.Action == session.Wait {
			return plan, nil
		}
		if p.notes.ended {
			return plan, nil // Ready is no longer true, which the status tells before a renewal that may take its time
		}
		if err := p.act(ctx, plan.Action); err != nil {
			return plan, err
		}
		log.FromContext(ctx).V(1).Info("step", "action", plan.Action)
	}
	return session.Plan{}, errUnsettled
}

const (
	// catchUp is how soon to look again at a cache that lacks our own last write.
	catchUp = 20 * time.Millisecond
	// soonest bounds how often time alone brings a session back.
	soonest = 50 * time.Millisecond
	// unwritableRetry is how often a target that the API server does not accept is tried again.
	unwritableRetry = 5 * time.Minute
	// queueTimeout brings back a session that waits for its turn, should nobody wake it. Where thousands wait, each look at all of them
	// is taken from the work that they wait for.
	queueTimeout = 2 * time.Minute
	// doubtTimeout is the same for one whose Secret Server may be down by now, which its status is to tell; and for one whose former token
	// waits to be revoked, which is not in a line while the session tries to enter for a grant.
	doubtTimeout = 30 * time.Second
	// rarely is after so many failures that the backoff is the longest.
	rarely = 32
)

// requeue turns a plan to wait into the queue's words.
func (p *pass) requeue(plan session.Plan) ctrl.Result {
	switch {
	case plan.Obstacle == session.Busy && p.departure != nil:
		return ctrl.Result{RequeueAfter: min(queueTimeout, max(plan.At.Sub(p.now()), soonest))}
	case plan.Action != session.Wait:
		return ctrl.Result{RequeueAfter: soonest}
	case plan.Obstacle == session.Busy:
		most := queueTimeout
		if p.doubted || p.crowded {
			most = doubtTimeout
		}
		return ctrl.Result{RequeueAfter: p.until(p.nextNews(plan.At), most)}
	case plan.Obstacle == session.EndpointDown:
		// Should nobody wake it.
		return ctrl.Result{RequeueAfter: p.until(plan.At, session.Backoff(rarely, string(p.session.UID)))}
	case p.unwritable:
		// Nothing tells when a policy changes.
		return ctrl.Result{RequeueAfter: p.until(plan.At, unwritableRetry)}
	case plan.At.IsZero():
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(plan.At.Sub(p.now()), soonest)}
}

// nextNews is when there is something to tell of a session that waits for its turn: that a token of it has expired, or that it is new
// and has waited for long. What was over when the plan was made is no news. Zero: there is nothing.
func (p *pass) nextNews(planned time.Time) (next time.Time) {
	news := []time.Time{p.tokenExpiresAt()}
	if p.untold() {
		news = append(news, p.quietUntil())
	}
	if r := p.state.record; r.Refresh == session.Held {
		news = append(news, r.RefreshExpiresAt)
	}
	for _, at := range news {
		if at.After(planned) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// until is how long to wait for a moment, if there is one, and at most so long.
func (p *pass) until(moment time.Time, most time.Duration) time.Duration {
	if moment.IsZero() {
		return most
	}
	return min(most, max(moment.Sub(p.now()), soonest))
}

// forget drops what was held in memory for a session that is gone.
func (r *Reconciler) forget(name types.NamespacedName) {
	r.memory.forget(name)
	r.revocations.departed(name)
	r.verified.forget(name)
	r.outages.forget(name)
	r.expectations.deleted(object{sessionObject, name})
}

// secretNamed names a Secret in the session's namespace for expectations.
func secretNamed(s *api.SecretServerSession, name string) object {
	return object{secretObject, types.NamespacedName{Namespace: s.Namespace, Name: name}}
}
