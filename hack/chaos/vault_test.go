package main

import (
	"testing"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestFaultsOfSecretServerCanBeInjected(t *testing.T) {
	for _, k := range kindGroups[groupVault].kinds {
		faults := vaultFaults(fault{kind: k, lasts: time.Second, dose: 0.5}, time.Unix(1_000_000, 0))
		if byOtherMeans := k == vaultDown || !k.takesServerDown(); byOtherMeans != (len(faults) == 0) {
			t.Errorf("%s: %d faults", k, len(faults))
		}
		for i := range faults {
			if err := faults[i].Validate(); err != nil {
				t.Errorf("%s: %v", k, err)
			}
		}
	}
}

// More of them in a row, and the operator would rightly spare the account for an hour.
func TestAtMostOneLoginOfAFaultIsLostByItself(t *testing.T) {
	ambiguous := map[secretservertest.Effect]bool{
		secretservertest.Drop: true, secretservertest.Half: true, secretservertest.Drip: true, secretservertest.Truncate: true,
	}
	for _, k := range kindGroups[groupVault].kinds {
		for _, f := range vaultFaults(fault{kind: k, dose: 0.5}, time.Unix(1_000_000, 0)) {
			lost := ambiguous[f.Effect] || f.Status == 502 || f.Delay > longestTimeout
			logins := f.Operation == secretservertest.Password || f.Operation == secretservertest.Grant || f.Operation == secretservertest.Any
			everything := f.Operation == secretservertest.Any && f.Probability == 0
			if lost && logins && !everything && f.Count != 1 {
				t.Errorf("%s: %+v", k, f)
			}
		}
	}
}
