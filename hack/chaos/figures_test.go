package main

import (
	"strings"
	"testing"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// good are figures of a run that has nothing to be ashamed of.
func good() figures {
	return figures{
		times:   map[kind]int{vaultDown: 3, leaderReplaced: 4},
		skipped: map[kind]int{stateDeleted: 1},
		struck:  map[kind]int{apiConflicts: 12},
		stats: secretservertest.Stats{
			Grants: map[secretservertest.Operation]map[secretservertest.Result]int{
				secretservertest.Password: {secretservertest.Granted: 150}, secretservertest.Refresh: {secretservertest.Granted: 450},
			},
			Faults:       map[secretservertest.Effect]int{secretservertest.Drop: 5, secretservertest.Pass: 2},
			FailedLogins: map[string]int{"svc-00": 2},
		},
		allowed:  map[string]int{"svc-00": 2},
		books:    []watch{{invalid: 5 * time.Second, longest: 3 * time.Second}},
		recovery: recovery{worst: 20 * time.Second, median: 2 * time.Second},
		start:    resources{goroutines: 100, heap: 8 << 20}, end: resources{goroutines: 110, heap: 9 << 20},
	}
}

func TestWhatFailsARun(t *testing.T) {
	tests := map[string]struct {
		change func(*figures)
		line   string
	}{
		"a spent token again":   {func(f *figures) { f.stats.SpentRefreshTokensResent = 1 }, "spent refresh tokens sent again"},
		"a token twice":         {func(f *figures) { f.stats.RefreshTokensSeenTwice = 1 }, "refresh tokens seen twice"},
		"a bad login too many":  {func(f *figures) { f.stats.FailedLogins["svc-00"] = 3 }, "failed logins beyond that"},
		"somebody else's":       {func(f *figures) { f.stats.FailedLogins["svc-01"] = 1 }, "failed logins beyond that"},
		"a locked account":      {func(f *figures) { f.stats.Lockouts = map[string]int{"svc-00": 1} }, "accounts locked"},
		"an expired token":      {func(f *figures) { f.books[0].beyond = time.Millisecond }, "with both servers up"},
		"a slow recovery":       {func(f *figures) { f.recovery.worst = recoveryBound + 1 }, "time to full recovery, worst"},
		"no recovery":           {func(f *figures) { f.recovery.missing = []int{7} }, "not current and Ready at the end"},
		"more goroutines":       {func(f *figures) { f.end.goroutines += 100 }, "goroutines"},
		"no look at goroutines": {func(f *figures) { f.end.goroutines = 0 }, "goroutines"},
		"a larger heap":         {func(f *figures) { f.end.heap *= 4 }, "heap"},
		"a panic":               {func(f *figures) { f.panics = 1 }, "panics"},
		"a leak":                {func(f *figures) { f.leaks = 1 }, "secrets"},
		"a sick replica":        {func(f *figures) { f.sick = 1 }, "probes"},
	}
	if lines := bad(func() []line { f := good(); return f.verdict() }()); len(lines) != 0 {
		t.Fatalf("a good run fails: %+v", lines)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := good()
			test.change(&f)
			lines := bad(f.verdict())
			if len(lines) != 1 || !strings.Contains(lines[0].what, test.line) {
				t.Errorf("%+v, want %q", lines, test.line)
			}
			if !strings.Contains(f.table(), "FAILED") {
				t.Error("the table does not say so")
			}
		})
	}
}

func TestTheTableShowsWhatWasDone(t *testing.T) {
	f := good()
	table := f.table()
	for _, want := range []string{
		"Secret Server  refuses connections                               3",
		"operator       SIGKILL of the leader, its lease freed            4",
		"objects        a state Secret deleted                            0        1",
		"met a fault: delay 2, drop 5.",
		"logins                                                              150",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no line %q in\n%s", want, table)
		}
	}
	if strings.Contains(table, string(etcdDown)) || strings.Contains(table, "FAILED") {
		t.Errorf("too much in\n%s", table)
	}
}
