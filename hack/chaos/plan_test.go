package main

import (
	"slices"
	"testing"
	"time"
)

// long and short are the forms of `make chaos` and of continuous integration.
func long() scale  { return options{length: 15 * time.Minute, sessions: 100}.scale() }
func short() scale { return options{length: 3 * time.Minute, sessions: 100}.scale() }

// eachPlan runs a test for plans of several seeds and both lengths.
func eachPlan(t *testing.T, test func(*testing.T, scale, []fault)) {
	t.Helper()
	for name, s := range map[string]scale{"long": long(), "short": short(), "shortest": {length: shortestRun - overhead, sessions: 1, accounts: 1}} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				test(t, s, newPlan(seed, s))
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func TestTheSameSeedIsTheSamePlan(t *testing.T) {
	if !slices.Equal(newPlan(1, long()), newPlan(1, long())) {
		t.Error("two plans of a seed differ")
	}
	if slices.Equal(newPlan(1, long()), newPlan(2, long())) {
		t.Error("the plans of two seeds are the same")
	}
}

func TestALongPlanHasEveryKindOfFault(t *testing.T) {
	missing := map[kind]int{}
	for seed := range uint64(20) {
		plan := newPlan(seed, long())
		for _, group := range kindGroups {
			for _, k := range group.kinds {
				if !slices.ContainsFunc(plan, func(f fault) bool { return f.kind == k }) {
					missing[k]++
				}
			}
		}
	}
	for k, plans := range missing {
		if plans > 15 { // a rare kind may be absent from a plan, but not from most
			t.Errorf("%q is in %d of 20 plans", k, 20-plans)
		}
	}
}

func TestAPlanIsInOrderAndEndsInTime(t *testing.T) {
	eachPlan(t, func(t *testing.T, s scale, plan []fault) {
		t.Helper()
		var last time.Duration
		for _, f := range plan {
			if f.at < last || f.lasts < 0 || f.at+f.lasts > s.latest(f) || s.latest(f) > s.length {
				t.Errorf("%s, by %s of %s", f, s.latest(f), s.length)
			}
			last = f.at
		}
	})
}

func TestSubjectsExist(t *testing.T) {
	eachPlan(t, func(t *testing.T, s scale, plan []fault) {
		t.Helper()
		for _, f := range plan {
			limit := 1
			switch {
			case f.kind.is(kindGroups[groupOperator].kinds):
				limit = replicaCount
			case f.kind == wrongPassword, f.kind == rotation:
				limit = s.accounts
			case f.kind.is(kindGroups[groupObjects].kinds), f.kind == tokenEnded:
				limit = s.sessions
			}
			if f.subject < 0 || f.subject >= limit {
				t.Errorf("%s: there are %d", f, limit)
			}
		}
	})
}

func TestServersAreWellInFairWeather(t *testing.T) {
	eachPlan(t, func(t *testing.T, s scale, plan []fault) {
		t.Helper()
		for _, f := range plan {
			foul, _ := s.foulUntil(f.at)
			if f.kind.takesServerDown() && f.lasts < shortestOutage && (foul == 0 || f.at+f.lasts > foul) {
				t.Errorf("%s, foul weather until %s", f, foul)
			}
		}
	})
}

// What a long run measures beyond the recovery bound, it measures in fair weather.
func TestFairWeatherIsLongerThanTheRecoveryBound(t *testing.T) {
	if fair := cycle - foulPart; fair < recoveryBound+30*time.Second {
		t.Errorf("%s of fair weather, a bound of %s", fair, recoveryBound)
	}
}

func TestTheLastThirdIsSteady(t *testing.T) {
	eachPlan(t, func(t *testing.T, s scale, plan []fault) {
		t.Helper()
		for _, f := range plan {
			if f.kind.is(kindGroups[groupOperator].kinds) && f.at+f.lasts > s.steadyFrom() {
				t.Errorf("%s, steady from %s", f, s.steadyFrom())
			}
			if f.at >= s.steadyFrom() && f.kind.disturbsLeader() {
				t.Errorf("%s, steady from %s", f, s.steadyFrom())
			}
		}
	})
}

func TestOnlyALongRunHasALongOutage(t *testing.T) {
	outages := func(plan []fault) int {
		n := 0
		for _, f := range plan {
			if f.kind == apiDown && f.lasts >= shortestOutage {
				n++
			}
		}
		return n
	}
	eachPlan(t, func(t *testing.T, s scale, plan []fault) {
		t.Helper()
		want := 0
		if s.length >= longOutageFrom {
			want = 1
		}
		if got := outages(plan); got != want {
			t.Errorf("%d long outages, want %d", got, want)
		}
	})
}

// An account's bad logins are counted for an hour, until one succeeds. Two faults of an account in a row would add up.
func TestAnAccountIsLeftAloneForAWhile(t *testing.T) {
	s := long()
	for seed := range uint64(20) {
		last := map[int]time.Duration{}
		var order []int
		for _, f := range newPlan(seed, s) {
			if f.kind != wrongPassword && f.kind != rotation {
				continue
			}
			last[f.subject] = f.at + f.lasts
			order = append(order, f.subject)
		}
		for i := 0; i+s.accounts <= len(order); i += s.accounts {
			turn := slices.Sorted(slices.Values(order[i : i+s.accounts]))
			if len(slices.Compact(turn)) != s.accounts {
				t.Errorf("seed %d: accounts in the order %v", seed, order)
			}
		}
		if len(last) < s.accounts {
			t.Errorf("seed %d: only %d accounts are disturbed", seed, len(last))
		}
	}
}
