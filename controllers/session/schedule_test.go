package session

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// floor is the least time between a grant and its renewal, where the lifetime allows it.
const floor = 5 * time.Second

// aLifetime is anything from a nanosecond to the 292 years that a Duration can hold.
func aLifetime() *rapid.Generator[time.Duration] {
	return rapid.OneOf(
		rapid.Map(rapid.Int64Range(1, 86400), func(s int64) time.Duration { return time.Duration(s) * time.Second }),
		rapid.Map(rapid.Int64Range(1, math.MaxInt64), func(ns int64) time.Duration { return time.Duration(ns) }),
	)
}

func aMoment() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.Int64Range(0, 4e9), func(s int64) time.Time { return time.Unix(s, 0).UTC() })
}

func TestRenewalIsPlannedAroundItsShareOfTheLifetime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		issued, lifetime := aMoment().Draw(t, "issued"), aLifetime().Draw(t, "lifetime")
		percent, seed := rapid.IntRange(10, 90).Draw(t, "percent"), rapid.String().Draw(t, "seed")
		expires := issued.Add(lifetime)
		share := time.Duration(float64(lifetime) * float64(percent) / 100)
		rounding := lifetime>>50 + 100*time.Nanosecond // of the arithmetic here and there

		at := RefreshAt(issued, expires, percent, seed)

		if !at.After(issued) || at.After(expires) {
			t.Fatalf("planned %s after the issue, of a lifetime of %s", at.Sub(issued), lifetime)
		}
		if wait := at.Sub(issued); wait > max(share, floor)+rounding {
			t.Errorf("planned after %s, later than %d%% of %s", wait, percent, lifetime)
		}
		if wait := at.Sub(issued); wait < share-lifetime/10-rounding {
			t.Errorf("planned after %s, more than a tenth of %s before its %d%%", wait, lifetime, percent)
		}
		if wait := at.Sub(issued); wait < min(floor, lifetime) {
			t.Errorf("planned after %s, sooner than the floor", wait)
		}
		if again := RefreshAt(issued, expires, percent, seed); !again.Equal(at) {
			t.Errorf("planned %s and then %s for the same session", at, again)
		}
	})
}

func TestRenewalOfAnOddLifetime(t *testing.T) {
	century := noon.AddDate(100, 0, 0)
	tests := []struct {
		name           string
		issued, expiry time.Time
		earliest, last time.Time
	}{
		{"one second: at its end", noon, noon.Add(time.Second), noon.Add(time.Second), noon.Add(time.Second)},
		{"five seconds: at its end", noon, noon.Add(floor), noon.Add(floor), noon.Add(floor)},
		{"six seconds: after the floor", noon, noon.Add(6 * time.Second), noon.Add(floor), noon.Add(floor)},
		{"a century", noon, century, noon.AddDate(56, 0, 0), noon.AddDate(67, 0, 1)},
		{"more than a Duration holds", noon, noon.AddDate(5000, 0, 0), noon.AddDate(166, 0, 0), noon.AddDate(196, 0, 0)},
		{"since the year 1", time.Time{}, noon, time.Time{}.AddDate(166, 0, 0), time.Time{}.AddDate(196, 0, 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range 100 {
				at := RefreshAt(tt.issued, tt.expiry, 67, fmt.Sprintf("session-%d", i))
				if at.Before(tt.earliest) || at.After(tt.last) {
					t.Fatalf("planned %s, want between %s and %s", at, tt.earliest, tt.last)
				}
			}
		})
	}
}

// Sessions that were issued together must not be renewed together, and those of one session not in step with a server.
func TestRenewalsSpreadOverTheirTenth(t *testing.T) {
	const many, slices = 2000, 10
	tests := []struct {
		name string
		at   func(i int) time.Duration // after the issue
	}{
		{"many sessions of one moment", func(i int) time.Duration {
			return RefreshAt(noon, expires, 67, fmt.Sprintf("00000000-0000-4000-8000-%012d", i)).Sub(noon)
		}},
		{"one session at many moments", func(i int) time.Duration {
			issued := noon.Add(time.Duration(i) * time.Second)
			return RefreshAt(issued, issued.Add(20*time.Minute), 67, "uid").Sub(issued)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			latest := 67 * 20 * time.Minute / 100
			var count [slices]int
			for i := range many {
				early := latest - tt.at(i)
				count[min(int(early*slices/(2*time.Minute)), slices-1)]++
			}
			for i, n := range count {
				if n < many/slices/2 || n > many/slices*2 {
					t.Errorf("slice %d of %d holds %d of %d renewals: %v", i, slices, n, many, count)
				}
			}
		})
	}
}

// nominal is the backoff before its jitter, as it is documented.
func nominal(failures int) time.Duration {
	doc := []int{1, 2, 4, 8, 16, 32, 64, 128, 256}
	switch {
	case failures < 1:
		return time.Second
	case failures > len(doc):
		return 5 * time.Minute
	}
	return time.Duration(doc[failures-1]) * time.Second
}

func TestBackoffIsItsNominalWaitLessAtMostAQuarter(t *testing.T) {
	failures := rapid.OneOf(rapid.IntRange(1, 12), rapid.IntRange(1, math.MaxInt), rapid.IntRange(-100, 0))
	rapid.Check(t, func(t *rapid.T) {
		n, seed := failures.Draw(t, "failures"), rapid.String().Draw(t, "seed")
		wait := Backoff(n, seed)
		if wait > nominal(n) || wait < nominal(n)*3/4 {
			t.Errorf("after %d failures %s, want %s less at most a quarter", n, wait, nominal(n))
		}
		if again := Backoff(n, seed); again != wait {
			t.Errorf("after %d failures %s and then %s", n, wait, again)
		}
	})
}

func TestBackoffGrowsUntilItIsCapped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.String().Draw(t, "seed")
		for n := 1; n <= 8; n++ {
			if now, next := Backoff(n, seed), Backoff(n+1, seed); next <= now {
				t.Errorf("%s after %d failures, but %s after %d", now, n, next, n+1)
			}
		}
	})
}

func TestBackoffOfAnAbsurdCountIsTheLongest(t *testing.T) {
	for _, n := range []int{10, 16, 17, 18, 63, 64, 65, math.MaxInt32, math.MaxInt, math.MinInt} {
		if wait := Backoff(n, "uid"); wait > LongestBackoff || wait < LongestBackoff*3/4 {
			t.Errorf("after %d failures %s, want the longest, less at most a quarter", n, wait)
		}
	}
}

func TestBackoffsOfManySessionsSpread(t *testing.T) {
	const many = 1000
	seen := map[time.Duration]bool{}
	for i := range many {
		seen[Backoff(9, fmt.Sprintf("session-%d", i)).Truncate(time.Second)] = true
	}
	if want := 60; len(seen) < want {
		t.Errorf("%d sessions try again in %d different seconds of 64, want at least %d", many, len(seen), want)
	}
}

func TestProbesOfAServerThatIsDownGrowRareAndNeverRarerThanHumanPatience(t *testing.T) {
	for failed, seconds := range []int{1, 2, 4, 8, 15, 15, 15} {
		want := time.Duration(seconds) * time.Second
		for _, seed := range []string{"", "https://vault.example.com", "another"} {
			if got := ProbeWait(failed, seed); got < want || got > want+want/4 {
				t.Errorf("after %d probes that failed the next one comes after %s, want %s and up to a quarter more", failed, got, want)
			}
		}
	}
	for _, failed := range []int{-1, 1 << 40} {
		if got := ProbeWait(failed, "uid"); got < time.Second || got > 19*time.Second {
			t.Errorf("after %d probes: %s", failed, got)
		}
	}
}
