package controllers

import (
	"k8s.io/utils/lru"

	"tokensync.dev/secret-server-operator/controllers/session"
)

// identities knows whose credentials some are that were read before. Who must wait for the account can then wait for it and for
// the rest at once, and need not read the credentials to find out that it must.
type identities struct{ accounts *lru.Cache }

// mostIdentities bounds the memory. To have forgotten one costs a read, and the turn for which it was made.
const mostIdentities = 1024

func newIdentities() *identities { return &identities{lru.New(mostIdentities)} }

// account is the account of the credentials; empty: not known.
func (i *identities) account(id session.Identity) string {
	known, _ := i.accounts.Get(id)
	account, _ := known.(string) // nil: not known
	return account
}

func (i *identities) learn(id session.Identity, account string) { i.accounts.Add(id, account) }
