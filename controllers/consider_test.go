package controllers

import (
	"testing"

	clocktesting "k8s.io/utils/clock/testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// Others come for the account as soon as it is known whose the credentials are.
func TestWhoFindsOutTheAccountHasAPlaceThere(t *testing.T) {
	g, _ := newTestGate(1, 2, 0)
	server := room{ofServer, "here"}
	p := &pass{
		Reconciler: &Reconciler{
			clock: clocktesting.NewFakeClock(noon), identities: newIdentities(), accounts: newAccounts(0), codes: newCodes(),
		},
		session: &api.SecretServerSession{},
		place:   g.enter(named("first"), noon, server, ofOne("unread")),
	}
	credentials := secretserver.Credentials{Username: "svc", Password: "p"}
	if err := p.consider(t.Context(), credentials); err != nil {
		t.Fatal(err)
	}
	account := p.identities.account(p.wanted)
	if account == "" {
		t.Fatal("it is not known whose the credentials are")
	}
	if g.enter(named("second"), noon, server, ofOne(account)) != nil {
		t.Error("another session takes the account, whose credentials have just been read")
	}
}
