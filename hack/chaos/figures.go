package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// Tolerances of what the leader holds at the end of a run, against what the first leader held before the faults. Both are
// taken in quiet times, as the least of several looks: the heap includes what is not yet collected.
const (
	moreGoroutines = 30
	moreHeapFactor = 1.5
	moreHeap       = 8 << 20 // bytes
)

// resources are what a process holds.
type resources struct {
	goroutines, heap float64 // heap in bytes
	age              time.Duration
}

// figures are what a run has counted.
type figures struct {
	times, skipped map[kind]int // faults that were done, and that could not be
	struck         map[kind]int // requests to the API server that were struck
	stats          secretservertest.Stats
	allowed        map[string]int // refused logins by account that the faults explain
	turnovers      int
	books          []watch
	recovery       recovery
	unready        []string // sessions that are not current at the end, and what they say
	start, end     resources
	longest        time.Duration // pass
	ends           int           // processes that ended by themselves, as they do when they lose their lease
	panics, leaks  int           // in the operators' logs
	sick           int           // replicas whose probes fail at the end
}

// A line is one of the table. One that is not good fails the run.
type line struct {
	what, value, want string
	bad               bool
}

// verdict is what the figures mean.
func (f figures) verdict() []line {
	var total, own, beyond, longest time.Duration
	for i := range f.books {
		total += f.books[i].invalid
		own += f.books[i].ownInvalid
		beyond += f.books[i].beyond
		longest = max(longest, f.books[i].longest)
	}
	failed, unexplained := f.failedLogins()
	s := f.stats
	return []line{
		{what: "logins", value: strconv.Itoa(s.Granted(secretservertest.Password))},
		{what: "refreshes", value: strconv.Itoa(s.Granted(secretservertest.Refresh))},
		{what: "revocations", value: strconv.Itoa(s.Revocations)},
		zero("spent refresh tokens sent again", s.SpentRefreshTokensResent),
		zero("refresh tokens seen twice", s.RefreshTokensSeenTwice),
		{what: "failed logins where a wrong password was the fault", value: strconv.Itoa(failed - unexplained)},
		zero("failed logins beyond that", unexplained),
		zero("accounts locked", len(s.Lockouts)),
		{what: "seconds of a token that was not valid, all sessions", value: seconds(total)},
		{what: "the same while its password was wrong", value: seconds(own)},
		{what: "longest time without a valid token", value: seconds(longest)},
		{
			what: fmt.Sprintf("seconds of that with both servers up for more than %s", seconds(recoveryBound)), value: seconds(beyond),
			want: "0", bad: beyond > 0,
		},
		zero("sessions not current and Ready at the end", len(f.recovery.missing)),
		{
			what: "time to full recovery, worst", value: seconds(f.recovery.worst), want: "<= " + seconds(recoveryBound),
			bad: f.recovery.worst > recoveryBound,
		},
		{what: "time to full recovery, median", value: seconds(f.recovery.median)},
		{
			what: "goroutines of the leader, start and end", value: fmt.Sprintf("%.0f, %.0f", f.start.goroutines, f.end.goroutines),
			want: fmt.Sprintf("+%d at most", moreGoroutines), bad: f.end.goroutines > f.start.goroutines+moreGoroutines || f.end.goroutines == 0,
		},
		{
			what: "heap of the leader, start and end, MiB", value: fmt.Sprintf("%.1f, %.1f", f.start.heap/(1<<20), f.end.heap/(1<<20)),
			want: fmt.Sprintf("x %.1f + %d at most", moreHeapFactor, moreHeap>>20), bad: f.end.heap > f.start.heap*moreHeapFactor+moreHeap || f.end.heap == 0,
		},
		{what: "age of the leader, start and end", value: seconds(f.start.age) + ", " + seconds(f.end.age)},
		{what: "longest pass, at most", value: seconds(f.longest)},
		{what: "operator processes that ended by themselves", value: strconv.Itoa(f.ends)},
		zero("replicas whose probes fail at the end", f.sick),
		zero("panics", f.panics),
		zero("secrets in the operator's logs", f.leaks),
	}
}

// failedLogins are the refused ones, and those of them that the faults do not explain.
func (f figures) failedLogins() (failed, unexplained int) {
	for account, count := range f.stats.FailedLogins {
		failed += count
		unexplained += max(count-f.allowed[account], 0)
	}
	return failed, unexplained
}

func zero(what string, n int) line {
	return line{what: what, value: strconv.Itoa(n), want: "0", bad: n != 0}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// bad are the lines that fail the run.
func bad(lines []line) []line {
	return slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return !l.bad })
}

// table shows the figures.
func (f figures) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-14s %-44s %6s %8s %9s\n", "FAULTS", "", "DONE", "SKIPPED", "REQUESTS")
	for _, group := range kindGroups {
		for _, k := range group.kinds {
			if f.times[k]+f.skipped[k] == 0 {
				continue
			}
			fmt.Fprintf(&b, "%-14s %-44s %6d %8s %9s\n", group.name, k, f.times[k], some(f.skipped[k]), some(f.struck[k]))
		}
	}
	fmt.Fprintf(&b, "\nRequests to Secret Server that met a fault: %s.\n", f.struckByVault())
	fmt.Fprintf(&b, "\n%-56s %14s  %-20s\n", "RESULT", "SEEN", "WANTED")
	for _, l := range f.verdict() {
		mark := ""
		if l.bad {
			mark = "FAILED"
		}
		fmt.Fprintf(&b, "%-56s %14s  %-20s %s\n", l.what, l.value, l.want, mark)
	}
	return b.String()
}

func some(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (f figures) struckByVault() string {
	var parts []string
	for _, effect := range slices.Sorted(maps.Keys(f.stats.Faults)) {
		name := string(effect)
		if effect == secretservertest.Pass {
			name = "delay"
		}
		parts = append(parts, fmt.Sprintf("%s %d", name, f.stats.Faults[effect]))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
