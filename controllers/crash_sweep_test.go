package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// work takes the newest process through all that is due now or within half a minute.
func (tr *trial) work() {
	for range mostPasses {
		if len(tr.processes) == 0 {
			tr.start(0)
		}
		p := tr.processes[len(tr.processes)-1]
		p.catchUp()
		next, found := p.next()
		if !found || p.queue[next].After(tr.truth.Add(30*time.Second)) {
			return
		}
		tr.elapse(max(p.queue[next].Sub(tr.truth), 0))
		tr.pass(p.begin(next))
	}
}

// untilDue lets time go by until a session is due.
func (tr *trial) untilDue() {
	p := tr.processes[len(tr.processes)-1]
	if next, found := p.next(); found {
		tr.elapse(max(p.queue[next].Sub(tr.truth), 0))
	}
}

// retell tells a story in which something goes wrong at one effect, and returns at how many effects it could have. What
// went wrong must leave no trace.
func (s story) retell(t *rapid.T, m mutant, at int, wrong fate) (effects []effect) {
	settings := vaultSettings{lifetime: 20 * time.Minute, refreshTokens: true, refreshLimit: 1000, endsOld: true}
	if s.change != nil {
		s.change(&settings)
	}
	w := world{concurrency: 8, sessions: 1, vaults: map[string]vaultSettings{vaultURLs[0]: settings, vaultURLs[1]: settings}}
	if s.world != nil {
		s.world(&w)
	}
	tr := newTrial(t, newFigures(), m, w)
	defer tr.close()
	switch {
	case s.prelude != nil:
		s.prelude(tr)
	case !s.unbegun:
		tr.work()
	}
	tr.choose = func(f *flight) fate {
		effects = append(effects, f.at)
		switch {
		case len(effects) == at+1:
			return wrong
		case s.usual != nil:
			return s.usual(len(effects), f.at)
		}
		return fate{outcome: done}
	}
	s.tell(tr)
	tr.work()
	tr.choose = nil // from here on, nothing goes wrong
	tr.heal()
	if at < 0 {
		tr.within = s.within
		if s.within > 0 && tr.figures.counts["requests for all"] == 0 {
			t.Fatal("there was no outage")
		}
	}
	tr.recover()
	return effects
}

// wrongs are what can go wrong at an effect, each once.
func wrongs(e effect) []fate {
	all := []fate{
		{outcome: outcome{name: "killed before"}, dies: true},
		{outcome: outcome{name: "killed after"}, died: true},
		{outcome: outcome{name: "paused while another leads"}, sleeps: true},
		{outcome: outcome{name: "paused while another leads, and awake"}, sleeps: true, wakes: true},
		{outcome: outcome{name: "not sure to lead"}, doubts: true},
	}
	if e.request.verb == applyVerb {
		all = append(all, fate{outcome: outcome{name: "done after somebody took the target", acts: true}, taken: true})
	}
	faults := apiFaults
	switch e.kind {
	case contendedEffect:
		faults = append(slices.Clip(faults), contention)
	case vaultEffect:
		faults = vaultFaults
	case waitEffect:
		return []fate{all[0], {outcome: outcome{name: "gives up"}, givesUp: true}}
	case apiEffect:
	}
	for _, fault := range faults {
		all = append(all, fate{outcome: fault})
	}
	return all
}

// sweep tells a story once for each thing that can go wrong at each of its effects, and returns the first complaint.
func (s story) sweep(t *testing.T, m mutant) (said, log string, trials int) {
	t.Helper()
	configure(t, map[string]string{"rapid.checks": "1", "rapid.seed": "1", "rapid.shrinktime": "0s", "rapid.nofailfile": "true"})
	var effects []effect
	if said, log = complaintOf(t.Name(), func(t *rapid.T) { effects = s.retell(t, m, -1, fate{}) }); said != "" {
		return said, log, 1
	}
	for i, e := range effects {
		for _, wrong := range wrongs(e) {
			trials++
			if said, log = complaintOf(t.Name(), func(t *rapid.T) { s.retell(t, m, i, wrong) }); said != "" {
				return fmt.Sprintf("effect %d (%s), %s: %s", i+1, e, wrong.name, said), log, trials
			}
		}
	}
	return "", "", trials
}

// TestCrashSafetyAtEveryEffect lets each thing that can go wrong go wrong at each effect of a few stories: a crash before
// it and after it, each fault of the server that was asked, and another leader.
func TestCrashSafetyAtEveryEffect(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			said, log, trials := s.sweep(t, mutant{})
			if said != "" {
				t.Fatalf("%s\n%s", said, log)
			}
			t.Logf("%d trials", trials)
		})
	}
}
