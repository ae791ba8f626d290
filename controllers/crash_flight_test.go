package controllers

import (
	"fmt"
	"iter"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// flight is one pass under way. It runs as a coroutine which stops before each effect, until it is told how that one
// goes. So the trial decides where a pass is interrupted, and what happens meanwhile.
type flight struct {
	process *process
	session types.NamespacedName
	// These are those of the session as the pass finds it in the cache; stale: that lacked something.
	uid                                types.UID
	generation                         int64
	suspended, revokes, leaving, stale bool
	received                           string // the access token that it was granted

	next    func() (effect, bool)
	stop    func()
	yield   func(effect) bool
	at      effect // the one that it stands before
	outcome outcome

	asks, heard *vault // while it is down: the one that it asks for all, and the one that has answered since

	asked    bool // whether it leads, since its last effect, and the answer was yes
	doubtful bool // the last answer was no
	doubts   bool // the lease is renewed when it has ended, and not before

	ended  bool
	result ctrl.Result
	err    error
}

// effect is what a pass is about to do to the world.
type effect struct {
	kind      effectKind
	request   apiRequest
	operation secretserver.Operation
	wait      time.Duration
}

type effectKind int

const (
	apiEffect       effectKind = iota
	contendedEffect            // of the API server, which may give up for the sake of others
	vaultEffect
	waitEffect
)

func (e effect) String() string {
	switch e.kind {
	case apiEffect, contendedEffect:
		return fmt.Sprintf("%s %s", e.request.purpose(), e.request.name.Name)
	case vaultEffect:
		return e.operation.String()
	case waitEffect:
		return fmt.Sprintf("wait %s to store", e.wait)
	}
	return "nothing"
}

// outcome is how an effect goes.
type outcome struct {
	name string
	acts bool  // it happens
	err  error // what the operator is told instead of the answer
}

var done = outcome{name: "done", acts: true}

// killed ends a pass that is never resumed.
type killed struct{}

// fly begins a pass and takes it to its first effect.
func (p *process) fly(name types.NamespacedName) *flight {
	f := &flight{process: p, session: name}
	if s := p.cache.sessions[name]; s != nil {
		f.uid, f.generation, f.suspended = s.UID, s.Generation, s.Spec.Suspend
		f.revokes, f.leaving = s.Spec.DeletionPolicy == api.DeletionRevoke, !s.DeletionTimestamp.IsZero()
	}
	f.stale = p.cache.behind()
	f.next, f.stop = iter.Pull(f.run)
	p.flights = append(p.flights, f)
	p.trial.resume(f, done)
	return f
}

func (f *flight) run(yield func(effect) bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
		}
	}()
	f.yield = yield
	f.result, f.err = f.process.reconciler.Reconcile(f.process.ctx, ctrl.Request{NamespacedName: f.session})
	f.ended = true
}

// pause stops the pass before an effect, and returns how that is to go.
func (f *flight) pause(e effect) outcome {
	if e.kind == vaultEffect && f.suspended {
		f.process.trial.complain("%s: %s, though the session is suspended", f.session.Name, e)
	}
	f.mustLead(e)
	if !f.yield(e) {
		panic(killed{})
	}
	return f.outcome
}

// Answers of the API server that leave the operator without what it asked for. The first has had its effect.
var apiFaults = []outcome{
	{name: "done, the answer is lost", acts: true, err: apierrors.NewTimeoutError("request timed out", 0)},
	{name: "500", err: apierrors.NewInternalError(errNotModelled)},
	{name: "429", err: apierrors.NewTooManyRequests("slow down", 1)},
	{name: "lost on its way", err: apierrors.NewTimeoutError("request timed out", 0)},
	{name: "403", err: apierrors.NewForbidden(secretResource, "forbidden", errNotModelled)},
}

// contention is an answer to requests that name no resource version: the API server tried in vain, a few times, to get
// them between those of others.
var contention = outcome{name: "409", err: conflict(secretResource, types.NamespacedName{Name: "contended"})}

// Answers of Secret Server, or the lack of one.
var vaultFaults = []outcome{
	{name: "done, the answer is lost", acts: true, err: vaultFailure(secretserver.Ambiguous, secretserver.ConnectionLost, 0)},
	{name: "lost on its way", err: vaultFailure(secretserver.Ambiguous, secretserver.TimedOut, 0)},
	{name: "not sent", err: vaultFailure(secretserver.NotSent, secretserver.ConnectionRefused, 0)},
	{name: "done, 504 from a gateway", acts: true, err: vaultFailure(secretserver.Unavailable, secretserver.ErrorStatus, 504)},
	{name: "503", err: vaultFailure(secretserver.Unavailable, secretserver.ErrorStatus, 503)},
	{name: "429", err: &secretserver.Error{Kind: secretserver.Throttled, Cause: secretserver.ErrorStatus, Status: 429, RetryAfter: 30 * time.Second}},
	{name: "done, a web page", acts: true, err: vaultFailure(secretserver.Protocol, secretserver.HTMLAnswer, 200)},
	{name: "a web page", err: vaultFailure(secretserver.Protocol, secretserver.HTMLAnswer, 200)},
	{name: "refused", err: vaultFailure(secretserver.Refused, secretserver.ErrorStatus, 403)},
}

func vaultFailure(kind secretserver.Kind, cause secretserver.Cause, status int) error {
	return &secretserver.Error{Kind: kind, Cause: cause, Status: status}
}
