package controllers

import (
	"fmt"
	"time"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// story is something that a session goes through. It is told again and again, and each time something else goes wrong.
type story struct {
	name    string
	unbegun bool // the session has no token at the beginning
	change  func(*vaultSettings)
	world   func(*world)
	prelude func(*trial) // in which nothing else goes wrong; nil: the session gets its token
	tell    func(*trial)
	within  time.Duration // how long the recovery may take if nothing else goes wrong; zero: as ever
	// usual is what becomes of the nth effect, from one, when nothing else goes wrong; nil: it is done.
	usual func(n int, e effect) fate
}

var stories = []story{
	{name: "a first login", unbegun: true, tell: func(*trial) {}},
	{name: "a refresh", tell: (*trial).untilDue},
	{name: "a login where the chain ends", change: func(s *vaultSettings) { s.refreshLimit = 0 }, tell: (*trial).untilDue},
	{name: "a login since the refresh token is refused", tell: func(tr *trial) {
		tr.vaults[vaultURLs[0]].forget()
		tr.unnoticed = true
		tr.untilDue()
	}},
	{name: "a refresh that is not sent at first", tell: (*trial).untilDue, usual: func(n int, e effect) fate {
		if n <= 2 && e.operation == secretserver.RefreshGrant {
			return fate{outcome: outcome{name: "not sent", err: vaultFailure(secretserver.NotSent, secretserver.ConnectionRefused, 0)}}
		}
		return fate{outcome: done}
	}},
	{name: "a refresh that is withheld at first", tell: (*trial).untilDue, usual: withheldAtFirst},
	{name: "a first login that is withheld at first", unbegun: true, tell: func(*trial) {}, usual: withheldAtFirst},
	{name: "a wrong password, and the right one", tell: func(tr *trial) {
		tr.asUser(func() { tr.setPassword(passwordMark + "wrong") })
		tr.work()
		tr.asUser(func() { tr.setPassword(passwordMark + "0") })
	}},
	{name: "one wrong password after the other, and a restart after each", tell: func(tr *trial) {
		for i := range lockoutThreshold {
			tr.asUser(func() { tr.setPassword(fmt.Sprintf("%swrong-%d", passwordMark, i)) })
			tr.work()
			tr.restart()
		}
	}},
	{name: "a wrong password, and a crash at each answer", tell: func(tr *trial) {
		tr.asUser(func() { tr.setPassword(passwordMark + "wrong") })
	}, usual: func(_ int, e effect) fate {
		return fate{outcome: done, died: e.kind == vaultEffect && e.operation == secretserver.PasswordGrant}
	}},
	{name: "a renamed target", tell: func(tr *trial) {
		tr.asUser(func() {
			tr.updateSession(in("billing"), func(s *api.SecretServerSession) { s.Spec.Target.Name = "billing-moved" })
		})
	}},
	{name: "a first login that is to be revoked", unbegun: true, world: revoking, tell: func(*trial) {}},
	{name: "a deletion", world: revoking, tell: func(tr *trial) {
		tr.asUser(func() { tr.deleteSession(in("billing")) })
	}},
	{name: "a deletion, and nothing is revoked", tell: func(tr *trial) {
		tr.asUser(func() { tr.deleteSession(in("billing")) })
	}},
	{name: "another password, and the former token", world: revoking, tell: anotherPassword},
	{name: "another password, and the former token stays", tell: anotherPassword},
	{name: "another endpoint, and the former token", world: revoking, tell: func(tr *trial) {
		tr.asUser(func() {
			tr.updateSession(in("billing"), func(s *api.SecretServerSession) { s.Spec.Endpoint.URL = vaultURLs[1] })
			tr.allow(tr.kubernetes.sessions[in("billing")].UID, anInterference, "another endpoint")
		})
	}},
	{name: "access tokens that an administrator ends", world: verifying, tell: func(tr *trial) {
		tr.vaults[vaultURLs[0]].end()
		tr.afterVerification()
	}},
	{name: "a server that is restored from a backup", world: verifying, tell: func(tr *trial) {
		tr.vaults[vaultURLs[0]].forget()
		tr.afterVerification()
	}},
	{name: "a change of the password that wipes the tokens", world: verifying, tell: func(tr *trial) {
		for _, v := range tr.vaults {
			v.password = passwordMark + "1"
			v.forget()
		}
		tr.afterVerification()
		tr.asUser(func() { tr.setPassword(passwordMark + "1") })
	}},
	{name: "an outage", world: func(w *world) { w.sessions = 3 }, prelude: anOutage, tell: theReturn, within: longestOutage},
	{name: "a first login with a one-time code", unbegun: true, world: withCodes, tell: func(*trial) {}},
	{name: "two first logins with one-time codes", unbegun: true, world: twoWithCodes, tell: func(*trial) {}},
	{
		name: "another login, and the present one-time code has been used", world: withCodes, tell: anotherLogin,
		change: func(s *vaultSettings) { s.refreshLimit = 0 },
	},
	{name: "a lost state Secret", tell: func(tr *trial) {
		tr.asUser(func() {
			tr.deleteSecret(stateOf(in("billing")))
			tr.loseState(tr.kubernetes.sessions[in("billing")].UID)
		})
	}},
}

func revoking(w *world) { w.policy = api.DeletionRevoke }

// anotherPassword is a change of the password at both servers, which ends no token.
func anotherPassword(tr *trial) {
	for _, v := range tr.vaults {
		v.password = passwordMark + "1"
	}
	tr.asUser(func() { tr.setPassword(passwordMark + "1") })
}

// withheldAtFirst has the process find out that it may not lead when it is about to send its first grant.
func withheldAtFirst(n int, e effect) fate {
	grant := e.kind == vaultEffect && (e.operation == secretserver.RefreshGrant || e.operation == secretserver.PasswordGrant)
	return fate{outcome: done, doubts: n <= 3 && grant}
}

// restart kills all processes; the next piece of work starts a new one.
func (tr *trial) restart() {
	for len(tr.processes) > 0 {
		tr.crash(tr.processes[0])
	}
}
