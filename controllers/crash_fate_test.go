package controllers

import (
	"slices"

	"pgregory.net/rapid"
)

// fate is what becomes of a pass at an effect.
type fate struct {
	outcome

	dies    bool // the process is killed before the effect
	died    bool // the process is killed after the effect, before it hears of it
	doubts  bool // the process is not sure any more that it leads, from before the effect to the end of the pass
	sleeps  bool // the process is paused before the effect, until another leads and has done its work
	wakes   bool // and knows when it wakes up that it does not lead
	taken   bool // somebody makes the target theirs before the effect
	givesUp bool // the pass ends here, as by a panic that controller-runtime recovers; the process lives on
}

// fates are what can become of a pass at each kind of effect, the harmless ones first: how often it goes well, and how
// often the process is killed, for each fault.
func fates(healthy, deadly int) map[effectKind][]fate {
	death := fate{outcome: outcome{name: "killed"}, dies: true}
	begin := append(slices.Repeat([]fate{{outcome: done}}, healthy), slices.Repeat([]fate{death}, deadly)...)
	doubt := fate{outcome: outcome{name: "not sure to lead"}, doubts: true}
	all := map[effectKind][]fate{}
	for kind, faults := range map[effectKind][]outcome{
		apiEffect: apiFaults, contendedEffect: append(slices.Clone(apiFaults), contention), vaultEffect: vaultFaults,
	} {
		all[kind] = append(slices.Clone(begin), doubt)
		for _, v := range faults {
			all[kind] = append(all[kind], fate{outcome: v})
		}
	}
	all[waitEffect] = []fate{{outcome: done}, death, {outcome: outcome{name: "gives up"}, givesUp: true}}
	return all
}

// drawn chooses by a draw.
func (tr *trial) drawn(fates map[effectKind][]fate) func(*flight) fate {
	return func(f *flight) fate { return rapid.SampledFrom(fates[f.at.kind]).Draw(tr.t, "fate") }
}

// step takes a pass over one effect, however that goes.
func (tr *trial) step(f *flight) {
	what := tr.choose(f)
	tr.t.Logf("%s %s/%s: %s -> %s", tr.at(), f.process.name, f.session.Name, f.at, what.name)
	tr.figures.count("effects")
	if what.name != done.name {
		tr.figures.count(what.name)
	}
	switch {
	case what.dies:
		tr.crash(f.process)
	case what.died:
		tr.resume(f, done)
		tr.crash(f.process)
	case what.sleeps:
		tr.elapse(leaseDuration)
		tr.depose(f.process)
		f.process.unsure = what.wakes
		tr.start(0)
		tr.work()
		tr.resume(f, done)
	case what.doubts:
		f.doubts, f.process.unsure = true, true
		tr.resume(f, done)
	case what.taken:
		tr.asUser(func() {
			tr.deleteSecret(f.at.request.name.Name)
			tr.createForeign(f.at.request.name.Name)
		})
		tr.resume(f, done)
	case what.givesUp:
		f.stop()
		f.process.drop(f)
	default:
		tr.resume(f, what.outcome)
	}
}

// pass takes a pass to its end, if it gets there.
func (tr *trial) pass(f *flight) {
	for !f.ended && slices.Contains(f.process.flights, f) {
		tr.step(f)
	}
}
