package controllers

import (
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// leads is Options.Leading of a process. The pass under way remembers the answer.
func (p *process) leads() bool {
	f := p.trial.running
	f.asked, f.doubtful = !p.unsure, p.unsure
	return !p.unsure
}

// mustLead is told of each effect that a pass is about to have. Whoever begins a grant has asked since its last effect.
// Once the answer was no, the rest of the pass stores what it holds and takes back what it began.
func (f *flight) mustLead(e effect) {
	tr, asked := f.process.trial, f.asked
	f.asked = false
	switch begins := e.kind != vaultEffect && f.begins(e.request); {
	case begins && !asked:
		tr.complain("%s: %s, and did not ask whether it leads", f.session.Name, e)
	case !f.doubtful || e.kind == waitEffect:
	case e.kind == vaultEffect, begins, e.request.verb != getVerb && !isStore(tr.kubernetes, e.request) && !takesBack(e.request):
		tr.complain("%s: %s, though it may not lead", f.session.Name, e)
	}
}

// begins reports whether a request claims the refresh token, or announces a login of just now.
func (f *flight) begins(r apiRequest) bool {
	announced := attemptIn(r)
	return r.purpose() == claimPurpose || (announced != nil && announced.At.Equal(f.process.clock.Now()))
}

// takesBack reports whether a request undoes what was written of a grant that was not sent.
func takesBack(r apiRequest) bool {
	return r.purpose() == putBackPurpose || (r.verb == updateVerb && attemptIn(r) != nil)
}

// attemptIn is the login that a request to write a state Secret tells of.
func attemptIn(r apiRequest) *session.Attempt {
	if r.object == nil {
		return nil
	}
	if record := recordOf(r.object); record != nil {
		return record.Attempt
	}
	return nil
}

// permit is what the connection asks just before the first byte of a grant, as the real one does.
func (c connection) permit(f *flight, o secretserver.Operation) error {
	permitted := f.process.leads() || c.trial.mutant.unguarded
	switch {
	case !permitted:
		c.trial.figures.count("withheld grants")
		return of(o, vaultFailure(secretserver.NotSent, secretserver.Withheld, 0))
	case f.process.unsure:
		c.trial.complain("%s: %s was sent by a process that may not lead", f.session.Name, o)
	}
	c.trial.mustBeHeld(f)
	return nil
}
