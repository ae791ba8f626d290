package session

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNextCodeAt(t *testing.T) {
	var rightAway time.Time
	step := CodeStep(noon)
	tests := []struct {
		name  string
		used  int64
		ahead time.Duration
		now   time.Time
		want  time.Time
	}{
		{"no code was ever used", 0, 0, noon, rightAway},
		{"the one before was used", step - 1, 0, noon, rightAway},
		{"the present one was used", step, 0, noon, noon.Add(30 * time.Second)},
		{"the present one was used, in the middle of its time", step, 0, noon.Add(17 * time.Second), noon.Add(30 * time.Second)},
		{"the present one was used, until its last nanosecond", step, 0, noon.Add(30*time.Second - 1), noon.Add(30 * time.Second)},
		{"the next one is there", step, 0, noon.Add(30 * time.Second), rightAway},
		{"the next one was used by somebody whose clock is ahead", step + 1, 0, noon, noon.Add(60 * time.Second)},
		{"it is the server's clock that counts, and it is ahead", step, 20 * time.Second, noon, noon.Add(10 * time.Second)},
		{"and it is behind", step, -20 * time.Second, noon.Add(30 * time.Second), noon.Add(50 * time.Second)},
		{"two servers whose clocks are off in opposite directions", step + farthestStep, 0, noon, noon.Add(20*time.Minute + 30*time.Second)},
		{"a step that no clock can have led to is not believed", step + farthestStep + 1, 0, noon, rightAway},
		{"nor is one beyond all time", 1<<63 - 1, 0, noon, rightAway},
		{"nor is a negative one", -1 << 63, 0, noon, rightAway},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := NextCodeAt(tt.used, tt.ahead, tt.now); !got.Equal(tt.want) {
				t.Errorf("got %s, want %s", clock(got), clock(tt.want))
			}
		})
	}
}

func TestToleratedClocksAreTenMinutesOffAtMost(t *testing.T) {
	for ahead, want := range map[time.Duration]bool{
		0: true, time.Second: true, 10 * time.Minute: true, -10 * time.Minute: true,
		10*time.Minute + 1: false, -10*time.Minute - 1: false, 1<<63 - 1: false, -1 << 63: false,
	} {
		if got := Tolerable(ahead); got != want {
			t.Errorf("a clock that is %s ahead: tolerable is %t, want %t", ahead, got, want)
		}
	}
}

// Logins that are made whenever NextCodeAt allows one never send the code of a time step twice, and none waits for longer
// than it takes the next code to come.
func TestNoCodeIsSentTwice(t *testing.T) {
	skew := rapid.Map(rapid.Int64Range(-600_000, 600_000), func(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond })
	rapid.Check(t, func(t *rapid.T) {
		now, ahead, used := noon, skew.Draw(t, "ahead"), int64(0)
		sent := map[int64]bool{}
		for range rapid.IntRange(1, 20).Draw(t, "logins") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Minute)).Draw(t, "later")))
			at := NextCodeAt(used, ahead, now)
			if wait := at.Sub(now); !at.IsZero() && (wait <= 0 || wait > CodePeriod) {
				t.Fatalf("at %s: a wait of %s", clock(now), wait)
			}
			if now.Before(at) {
				now = at
			}
			step := CodeStep(now.Add(ahead))
			if sent[step] {
				t.Fatalf("at %s: the code of time step %d is sent again", clock(now), step)
			}
			sent[step], used = true, step
		}
	})
}
