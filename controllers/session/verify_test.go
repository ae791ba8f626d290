package session

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anInterval between two verifications, within the API's bounds.
func anInterval() *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.IntRange(30, 86400), func(s int) time.Duration { return time.Duration(s) * time.Second })
}

func TestVerificationsAreAnIntervalApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		issued, interval, seed := aMoment().Draw(t, "issued"), anInterval().Draw(t, "interval"), rapid.String().Draw(t, "seed")
		seen := issued.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "first seen")))

		at := VerifyAt(issued, interval, seed, seen)

		if wait := at.Sub(seen); wait <= 0 || wait > interval {
			t.Fatalf("verified %s after it was first seen, want at most %s", wait, interval)
		}
		if again := VerifyAt(issued, interval, seed, at); again.Sub(at) != interval {
			t.Errorf("verified again after %s, want %s", again.Sub(at), interval)
		}
		late := at.Add(time.Duration(rapid.Int64Range(0, int64(interval)-1).Draw(t, "late")))
		if again := VerifyAt(issued, interval, seed, late); again.Sub(at) != interval {
			t.Errorf("verified %s late, and again %s after the time of the first, want %s", late.Sub(at), again.Sub(at), interval)
		}
		// A restart in between plans what was planned before.
		restarted := seen.Add(time.Duration(rapid.Int64Range(0, int64(at.Sub(seen))-1).Draw(t, "restarted after")))
		if again := VerifyAt(issued, interval, seed, restarted); !again.Equal(at) {
			t.Errorf("planned for %s, and after a restart at %s for %s", at, restarted, again)
		}
	})
}

func TestVerificationsAroundAnyMomentArePlannedWithinTheInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		issued, interval, after := aTime().Draw(t, "issued"), anInterval().Draw(t, "interval"), aTime().Draw(t, "after")
		at := VerifyAt(issued, interval, "uid", after)
		if wait := at.Sub(after); wait <= 0 || wait > interval {
			t.Errorf("issued %s: planned %s after %s, want at most %s", issued, wait, after, interval)
		}
	})
}

// Sessions that were issued together, or seen together at a start, must not be verified together.
func TestVerificationsSpreadOverTheInterval(t *testing.T) {
	const many, slices, interval = 2000, 10, 5 * time.Minute
	for name, after := range map[string]time.Time{"after a mass apply": noon, "after a restart": noon.Add(7 * time.Minute)} {
		t.Run(name, func(t *testing.T) {
			var count [slices]int
			for i := range many {
				wait := VerifyAt(noon, interval, fmt.Sprintf("00000000-0000-4000-8000-%012d", i), after).Sub(after)
				count[min(int(wait*slices/interval), slices-1)]++
			}
			for i, n := range count {
				if n < many/slices/2 || n > many/slices*2 {
					t.Errorf("slice %d of %d holds %d of %d verifications: %v", i, slices, n, many, count)
				}
			}
		})
	}
}

func TestVerificationIsRarerWhileEveryTokenIsFoundDead(t *testing.T) {
	for _, tt := range []struct {
		name     string
		interval time.Duration
		dead     int
		want     time.Duration
	}{
		{"no dead token", 30 * time.Second, 0, 30 * time.Second},
		{"one dead token is nothing unusual", 30 * time.Second, 1, 30 * time.Second},
		{"two in a row", 30 * time.Second, 2, time.Minute},
		{"three in a row", 30 * time.Second, 3, 2 * time.Minute},
		{"seven in a row", 30 * time.Second, 7, 32 * time.Minute},
		{"eight in a row: an hour, and no more", 30 * time.Second, 8, time.Hour},
		{"more than can be counted in bits", 30 * time.Second, 1 << 40, time.Hour},
		{"an interval that is no even share of the hour", 7 * time.Minute, 5, time.Hour},
		{"an interval of an hour stays", time.Hour, 5, time.Hour},
		{"a longer interval stays", 24 * time.Hour, 5, 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := VerifyInterval(tt.interval, tt.dead); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
