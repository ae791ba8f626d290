package controllers

import (
	"strconv"
	"testing"

	"tokensync.dev/secret-server-operator/controllers/session"
)

func TestIdentitiesKnowAnAccountUntilTheCredentialsChange(t *testing.T) {
	known := newIdentities()
	known.learn(session.Identity{Source: "s", Version: "1"}, "billing")
	for id, want := range map[session.Identity]string{
		{Source: "s", Version: "1"}:    "billing",
		{Source: "s", Version: "2"}:    "",
		{Source: "else", Version: "1"}: "",
	} {
		if got := known.account(id); got != want {
			t.Errorf("account of %+v: %q, want %q", id, got, want)
		}
	}
}

func TestIdentitiesAreBounded(t *testing.T) {
	known := newIdentities()
	for i := range 3 * mostIdentities {
		known.learn(session.Identity{Version: strconv.Itoa(i)}, "billing")
	}
	if n := known.accounts.Len(); n != mostIdentities {
		t.Errorf("%d identities are remembered, want %d", n, mostIdentities)
	}
}
