package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A fault is one thing that goes wrong, from a moment on, for some time.
type fault struct {
	at, lasts time.Duration // at counts from the first moment of the faults; lasts is 0 for what is done at once
	kind      kind
	subject   int     // which session, account or replica it befalls, for kinds that befall one
	dose      float64 // in [0, 1): how bad it is, for kinds that may be more or less bad
}

func (f fault) String() string {
	return fmt.Sprintf("%6.1f s  for %5.1f s  %-42s subject %2d, dose %.2f", f.at.Seconds(), f.lasts.Seconds(), f.kind, f.subject, f.dose)
}

// A scale says how long the faults go on and how many there are of each subject.
type scale struct {
	length             time.Duration
	sessions, accounts int
}

const (
	// A cycle of the weather: servers are well in its first part, fair weather, and fail in the rest, foul weather, while
	// all other faults go on. The fair part is longer than recoveryBound, so that there is something to be measured.
	cycle, foulPart = 200 * time.Second, 90 * time.Second
	// foulShare is that of the only cycle of a run which is shorter than that.
	foulShare = 0.6
	// longOutageFrom is the least length of a run that has a long outage of the API server: minutes do not fit another.
	longOutageFrom = 2 * cycle
	// Beyond the lease, which is 15 s, and beyond the deadline at which a leader that cannot renew it gives up, 10 s.
	shortestPause, longestPause = 17 * time.Second, 26 * time.Second
	// A leader that is killed is missed until its lease is over. Kills every few seconds would leave nobody to be disturbed,
	// so after most of them the lease is freed.
	shortestVacancy, longestVacancy     = 16 * time.Second, 24 * time.Second
	shortestPartition, longestPartition = 12 * time.Second, 20 * time.Second
	shortestOutage, longestOutage       = time.Minute, 2 * time.Minute
)

// steadyFrom is when the last third begins, in which no process is killed, paused or stopped, and nothing is done that takes
// the lease from its leader: what a process gathers in that time shows.
func (s scale) steadyFrom() time.Duration { return s.length * 2 / 3 }

// foulUntil is the end of the foul weather at t; zero: the weather is fair. fairUntil is when the next foul weather begins.
// A run ends with foul weather, so that there is something to recover from.
func (s scale) foulUntil(t time.Duration) (end, fairUntil time.Duration) {
	span, part := cycle, foulPart
	if s.length < cycle {
		span, part = s.length, time.Duration(float64(s.length)*foulShare)
	}
	start := t - t%span
	if turn := start + span - part; t < turn {
		return 0, turn
	}
	return min(start+span, s.length), 0
}

// latest is when a fault is to be over.
func (s scale) latest(f fault) time.Duration {
	end := s.length
	if foul, _ := s.foulUntil(f.at); foul > 0 && f.kind.takesServerDown() && f.lasts < shortestOutage {
		end = foul
	}
	if f.at < s.steadyFrom() && f.kind.disturbsLeader() {
		end = min(end, s.steadyFrom())
	}
	return end
}

// A choice is a kind that a stream may choose.
type choice struct {
	kind     kind
	weight   int
	min, max time.Duration // how long it lasts; 0 for what is done at once
}

// A stream is a sequence of faults of which one is over before the next begins.
type stream struct {
	choices        []choice
	minGap, maxGap time.Duration
	from, until    time.Duration
	foulOnly       bool
	subjects       int
	inTurn         bool // each subject once, in random order, before any again
	entire         bool // its faults end before until, or there is none: a pause that is cut short does not outlast a lease
}

func newPlan(seed uint64, s scale) []fault {
	var plan []fault
	for i, stream := range streams(s) {
		// A generator for each: a change to one stream leaves the others as they are.
		dice := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // repeatable, not secret; a small number
		plan = append(plan, stream.faults(dice, s)...)
	}
	slices.SortStableFunc(plan, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return plan
}

const sec = time.Second

func streams(s scale) []stream {
	steady := s.steadyFrom()
	return []stream{
		{foulOnly: true, until: s.length, minGap: sec, maxGap: 4 * sec, choices: []choice{
			{vaultDown, 3, 2 * sec, 10 * sec}, {vaultSlow, 1, 3 * sec, 8 * sec},
			{vaultHangs, 2, 3 * sec, 8 * sec}, {vaultHangsDone, 2, 3 * sec, 8 * sec},
			{vaultFails, 2, 2 * sec, 8 * sec}, {vaultGateway, 1, 2 * sec, 6 * sec},
			{vaultThrottles, 2, 2 * sec, 8 * sec}, {vaultBusy, 2, 2 * sec, 8 * sec},
			{vaultResets, 2, 2 * sec, 6 * sec}, {vaultLoses, 2, 2 * sec, 6 * sec}, {vaultHalves, 2, 2 * sec, 6 * sec},
			{vaultHTML, 2, 2 * sec, 6 * sec}, {vaultTruncates, 2, 2 * sec, 6 * sec}, {vaultOmits, 2, 2 * sec, 6 * sec},
			{vaultDrips, 1, 2 * sec, 5 * sec},
		}},
		{foulOnly: true, until: steady, minGap: sec, maxGap: 5 * sec, choices: append(
			[]choice{{apiDown, 1, 2 * sec, 5 * sec}, {etcdDown, 1, sec, 3 * sec}}, wayToAPIServer()...)}, // some 10 s more, until it is back
		{foulOnly: true, from: steady, until: s.length, minGap: sec, maxGap: 5 * sec, choices: wayToAPIServer()},
		{from: 2 * sec, until: steady, minGap: 2 * sec, maxGap: 8 * sec, subjects: replicaCount, entire: true, choices: []choice{
			{leaderReplaced, 12, 0, 0}, {leaderKilled, 2, shortestVacancy, longestVacancy}, {standbyKilled, 2, 0, 0},
			{leaderStopped, 3, 0, 0}, {leaderPaused, 1, shortestPause, longestPause}, {leaderPartition, 1, shortestPartition, longestPartition},
		}},
		{until: s.length, minGap: 8 * sec, maxGap: 25 * sec, subjects: s.accounts, inTurn: true, choices: []choice{
			{wrongPassword, 3, 3 * sec, 12 * sec}, {rotation, 2, 0, 2 * sec},
		}},
		{until: s.length, minGap: sec, maxGap: 4 * sec, subjects: s.sessions, choices: []choice{
			{stateDeleted, 1, 0, 0}, {stateGarbled, 1, 0, 0}, {targetEdited, 1, 0, 0}, {targetDeleted, 1, 0, 0},
			{sessionRemade, 1, 0, 0}, {tokenEnded, 1, 0, 0},
		}},
		{until: s.length, minGap: 50 * sec, maxGap: 120 * sec, choices: []choice{{tokensWiped, 1, 0, 0}}},
		longOutage(s),
	}
}

// wayToAPIServer are the faults of the connection between operator and API server.
func wayToAPIServer() []choice {
	return []choice{
		{apiCut, 2, 0, 0}, {apiConflicts, 1, 3 * sec, 8 * sec}, {apiThrottles, 1, 3 * sec, 8 * sec}, {apiFails, 1, 3 * sec, 8 * sec},
		{apiHangs, 1, 3 * sec, 8 * sec}, {apiResets, 1, 3 * sec, 8 * sec}, {apiLoses, 2, 3 * sec, 8 * sec}, {apiSlowWatch, 1, 4 * sec, 10 * sec},
	}
}

// longOutage is one outage of the API server while several tokens of each session fall due; none in a short run.
func longOutage(s scale) stream {
	if s.length < longOutageFrom {
		return stream{}
	}
	return stream{
		from: 2*cycle - foulPart, until: 2*cycle - foulPart + 5*sec, minGap: sec, maxGap: 4 * sec,
		choices: []choice{{apiDown, 1, shortestOutage, longestOutage}},
	}
}

// faults are those of one stream.
func (s stream) faults(dice *rand.Rand, scale scale) []fault {
	var faults []fault
	var turns []int
	for t := s.from + between(dice, 0, s.maxGap); len(s.choices) > 0; t += between(dice, s.minGap, s.maxGap) {
		end := scale.length
		if s.foulOnly {
			foul, fair := scale.foulUntil(t)
			if foul == 0 {
				t = fair + between(dice, 0, s.minGap)
				foul, _ = scale.foulUntil(t)
			}
			end = foul
		}
		if t >= s.until || t >= end {
			return faults
		}
		if s.entire {
			end = s.until
		}
		if len(turns) == 0 && s.subjects > 0 {
			turns = dice.Perm(s.subjects)
		}
		c := s.choose(dice)
		f := fault{at: t, kind: c.kind, dose: dice.Float64(), lasts: min(between(dice, c.min, c.max), end-t)}
		f.lasts = min(f.lasts, scale.latest(f)-t)
		if s.entire && f.lasts < c.min {
			continue
		}
		switch {
		case s.inTurn:
			f.subject, turns = turns[0], turns[1:]
		case s.subjects > 0:
			f.subject = dice.IntN(s.subjects)
		}
		faults = append(faults, f)
		t += f.lasts
	}
	return faults
}

func (s stream) choose(dice *rand.Rand) choice {
	total := 0
	for _, c := range s.choices {
		total += c.weight
	}
	left := dice.IntN(total)
	for _, c := range s.choices {
		if left -= c.weight; left < 0 {
			return c
		}
	}
	panic("unreachable: the weights add up")
}

// between is a duration in [least, most), to the millisecond.
func between(dice *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return (least + time.Duration(dice.Int64N(int64(most-least)))).Truncate(time.Millisecond)
}

// show is the plan in words.
func show(plan []fault) string {
	var b strings.Builder
	for _, f := range plan {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}
