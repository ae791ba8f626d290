package controllers

import (
	"flag"
	"os"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// scope is how a property chooses what happens.
type scope struct {
	name    string
	checks  int
	steps   string   // actions in a trial, on average
	healthy int      // how many effects go well for each that goes wrong in some way, see fates
	deadly  int      // how many processes are killed for each of those
	only    []string // actions; nil: all
}

var (
	// everyday is what a lone leader goes through when nobody interferes.
	everyday = []string{"a pass", "time until a session is due", "what was under way ends", "news", "a renewal is asked for"}

	crashScopes = []scope{
		{"anything", 12, "40", 40, 1, nil},
		{"faults", 12, "25", 8, 1, slices.Concat(everyday, []string{
			"passes side by side", "much time", "a crash", "an orderly restart",
		})},
		{"leaders", 12, "30", 30, 1, slices.Concat(everyday, []string{
			"passes side by side", "another leader", "the lease is not renewed", "the lease is renewed", "a crash", "a little time", "target name",
		})},
		{"passwords", 12, "40", 10, 1, slices.Concat(everyday, []string{
			"a wrong password in the Secret", "the right password in the Secret", "another password at the server",
			"a crash", "another leader", "a little time", "endpoint",
		})},
		{"targets", 12, "30", 30, 1, slices.Concat(everyday, []string{
			"passes side by side", "target name", "the target is deleted", "the target is edited", "somebody else takes the name",
			"foreign Secrets go", "the session is made anew", "garbage is collected", "another leader", "a crash",
		})},
		{"endings", 12, "30", 30, 1, slices.Concat(everyday, []string{
			"the session is deleted", "sessions are made", "deletion policy", "endpoint", "another password at the server",
			"the right password in the Secret", "the Secret Servers forget all tokens", "an administrator ends the access tokens", "garbage is collected", "another leader", "a crash",
			"a little time",
		})},
		{"outages", 12, "40", 30, 1, slices.Concat(everyday, []string{
			"passes side by side", "a Secret Server is down", "the Secret Servers are back", "another leader", "a crash", "a little time",
			"a Secret Server is down", "time until a session is due",
		})},
		{"clocks", 12, "40", 10, 4, []string{
			"a pass", "a wrong password in the Secret", "the right password in the Secret", "another password at the server",
			"the clock is set", "a crash", "time until a session is due", "a renewal is asked for", "a little time",
		}},
		{"refusals", 12, "30", 10, 12, []string{
			"a pass", "a wrong password in the Secret", "another password at the server", "time until a session is due", "a renewal is asked for",
		}},
	}
)

var crashMetrics = newTestMetrics()

// property is what must hold of every trial.
func (s scope) property(f *figures, m mutant) func(*rapid.T) {
	var choices []action
	for _, a := range slices.Concat(operatorActions, userActions, vaultActions) {
		if s.only == nil || slices.Contains(s.only, a.name) {
			choices = append(choices, slices.Repeat([]action{a}, a.weight)...)
		}
	}
	return func(t *rapid.T) {
		tr := newTrial(t, f, m, drawWorld(t))
		defer tr.close()
		tr.choose = tr.drawn(fates(s.healthy, s.deadly))
		f.count("trials")
		t.Repeat(map[string]func(*rapid.T){"": func(*rapid.T) {}, "next": func(t *rapid.T) {
			a := rapid.SampledFrom(choices).Draw(t, "action")
			t.Logf("%s *** %s", tr.at(), a.name)
			f.count("actions")
			a.do(tr)
			tr.acknowledge()
		}})
		tr.heal()
		tr.recover()
		tr.prosper()
	}
}

// configure sets rapid up for one property, and back when the test ends.
func configure(t *testing.T, flags map[string]string) {
	t.Helper()
	for name, value := range flags {
		old := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := flag.Set(name, old); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCrashSafety runs the real reconciler against a Kubernetes and a Secret Server in memory. The environment variable
// CRASH_CHECKS is how many trials each scope makes, from another seed in each run; a failure prints the seed, and -rapid.seed
// repeats it. Without it there are as many as suit the race detector, always the same: what fails then is due to a
// change. `make crash-safety` makes 1500.
func TestCrashSafety(t *testing.T) {
	for _, s := range crashScopes {
		t.Run(s.name, func(t *testing.T) {
			f := newFigures()
			settings := map[string]string{"rapid.checks": strconv.Itoa(s.checks), "rapid.steps": s.steps}
			if checks := os.Getenv("CRASH_CHECKS"); checks != "" {
				settings["rapid.checks"] = checks
			} else if flag.Lookup("rapid.seed").Value.String() == "0" {
				settings["rapid.seed"] = "1"
			}
			configure(t, settings)
			rapid.Check(t, s.property(f, mutant{}))
			t.Logf("what the trials went through:\n%s", f)
		})
	}
}
