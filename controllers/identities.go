package controllers

import (
	"sync"

	"tokensync.dev/secret-server-operator/controllers/session"
)

// identities knows whose credentials some are that were read before. Who must wait for the account can then wait for it and for
// the rest at once, and need not read the credentials to find out that it must.
type identities struct {
	mu       sync.Mutex
	accounts map[session.Identity]string
}

// mostIdentities bounds the memory. To have forgotten one costs a read, and the turn for which it was made.
const mostIdentities = 1024

func newIdentities() *identities { return &identities{accounts: map[session.Identity]string{}} }

// account is the account of the credentials; empty: not known.
func (i *identities) account(id session.Identity) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.accounts[id]
}

func (i *identities) learn(id session.Identity, account string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, known := i.accounts[id]; !known && len(i.accounts) >= mostIdentities {
		for other := range i.accounts {
			delete(i.accounts, other)
			break
		}
	}
	i.accounts[id] = account
}
