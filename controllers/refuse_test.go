package controllers

import (
	"testing"

	"pgregory.net/rapid"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// A note of somebody else's refusal takes the place of what the session's own record told of the account. The count in it is
// of all bad logins, so it must not age from the older refusal on.
func TestNoteOfAnEarlierRefusalKeepsTheTimeOfALaterAttempt(t *testing.T) {
	const wrong, unanswered = passwordMark + "wrong", passwordMark + "unanswered"
	configure(t, map[string]string{"rapid.checks": "1", "rapid.nofailfile": "true"})
	rapid.Check(t, func(t *rapid.T) {
		settings := vaultSettings{lifetime: 3 * lockoutWindow, refreshTokens: true, refreshLimit: 1000}
		tr := newTrial(t, newFigures(), mutant{}, world{concurrency: 8, sessions: 2, vaults: map[string]vaultSettings{vaultURLs[0]: settings, vaultURLs[1]: settings}})
		defer tr.close()
		tr.work()
		other, mine := in("billing"), in("payroll")
		try := func(password string) {
			tr.asUser(func() { tr.setPassword(password) })
			p := tr.processes[0]
			p.catchUp()
			tr.pass(p.begin(mine))
		}
		tr.asUser(func() { tr.setPassword(wrong) })
		p := tr.processes[0]
		p.catchUp()
		tr.pass(p.begin(other)) // refused, and payroll has not heard of it yet

		tr.elapse(lockoutWindow / 2)
		tr.choose = func(f *flight) fate {
			if f.at.kind == vaultEffect && f.at.operation == secretserver.PasswordGrant {
				return fate{outcome: outcome{name: "lost", err: vaultFailure(secretserver.Ambiguous, secretserver.TimedOut, 0)}}
			}
			return fate{outcome: done}
		}
		try(unanswered)
		later := recordOf(tr.kubernetes.secrets[in(stateOf(mine))]).Attempt
		try(wrong) // as billing was

		noted := recordOf(tr.kubernetes.secrets[in(stateOf(mine))]).Attempt
		if !noted.Refused || noted.At.Before(later.At) {
			t.Errorf("noted %+v, want a refusal that is not older than the attempt %+v", noted, later)
		}
	})
}

// Each session of an account notes the refusal that one of them met, with the account's count. To count those notes again
// would hold the account after the second wrong password, and the right one would have to wait for an hour.
func TestRefusalsThatSessionsNoteForEachOtherCountOnce(t *testing.T) {
	configure(t, map[string]string{"rapid.checks": "1", "rapid.nofailfile": "true"})
	rapid.Check(t, func(t *rapid.T) {
		settings := vaultSettings{lifetime: 3 * lockoutWindow, refreshTokens: true, refreshLimit: 1000}
		w := world{concurrency: 8, sessions: 3, vaults: map[string]vaultSettings{vaultURLs[0]: settings, vaultURLs[1]: settings}}
		tr := newTrial(t, newFigures(), mutant{}, w)
		defer tr.close()
		tr.work()
		for _, password := range []string{"wrong", "wrong again", "wrong once more", "0"} {
			tr.asUser(func() { tr.setPassword(passwordMark + password) })
			tr.work()
		}
		if !tr.allWell() {
			t.Error("the right password, after three wrong ones, is not tried")
		}
	})
}
