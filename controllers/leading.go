package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"tokensync.dev/secret-server-operator/controllers/session"
)

// errNotLeading ends the pass of an operator that may not be the leader any more: nothing was spent, and nothing is
// reported.
var errNotLeading = errors.New("not surely the leader")

// leadingRetry is when a session is looked at again after that. Mostly the process has ended by then; if not, the lease
// was renewed late.
const leadingRetry = time.Second

// leads reports whether this is surely the leader, or nobody elects one.
func (r *Reconciler) leads() bool { return r.options.Leading == nil || r.options.Leading() }

// mayAct is asked before each step. A grant that is held is stored whoever leads: it is the only copy, and nothing newer
// is overwritten.
func (p *pass) mayAct(action session.Action) error {
	if action == session.Store || p.leads() {
		return nil
	}
	return errNotLeading
}

// mayGrant is asked before a grant is begun in the state Secret. The connection asks once more, with the same function,
// before it sends: see secretserver.WithPermit. A process that is stopping begins none; one that was begun goes on, so
// that a stop leaves no claimed token behind, and no login that seems to have been made.
func (p *pass) mayGrant(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("begin a grant: %w", err)
	}
	p.handledBefore = p.handled
	if !p.leads() {
		return errNotLeading
	}
	return nil
}

// standDown ends a pass without a word to anybody: the leader, whoever it is, reports.
func standDown(ctx context.Context) ctrl.Result {
	log.FromContext(ctx).V(1).Info("this process may not be the leader any more; it does nothing")
	return ctrl.Result{RequeueAfter: leadingRetry}
}

// withheld ends the pass of a grant that was not sent, since another process may lead. That one may have gone on from what
// was written here, and then there is nothing to undo.
func (p *pass) withheld(ctx context.Context, grant session.GrantType) error {
	if err := p.withdraw(ctx, grant); err != nil && !errors.Is(err, errLost) {
		// It is not an error of the pass: that would be reported, and the leader reports.
		log.FromContext(ctx).Info("a grant that was not sent could not be taken back; a login follows", "error", err.Error())
	}
	return errNotLeading
}

// withdraw undoes what was written of a grant that was not sent after all. What a user asked for is still to be done.
func (p *pass) withdraw(ctx context.Context, grant session.GrantType) error {
	p.handled, p.state.record.Handled, p.state.stored.Handled = p.handledBefore, p.handledBefore, p.handledBefore
	if grant == session.RefreshToken {
		return p.putBack(ctx)
	}
	return p.acquit(ctx)
}
