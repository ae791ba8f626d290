package main

import (
	"slices"
	"testing"
	"time"
)

// A stretch of a session's life, seen every second.
type stretch struct {
	seconds int
	invalid bool
	down    bool // a server is
	own     bool
}

func live(stretches ...stretch) watch {
	var w watch
	now := time.Unix(1_000_000, 0)
	up := now.Add(-time.Hour)
	for _, s := range stretches {
		for range s.seconds {
			now = now.Add(time.Second)
			seen := sight{at: now, since: time.Second, valid: !s.invalid, ready: !s.invalid, own: s.own, upSince: up}
			if s.down {
				seen.upSince, up = time.Time{}, now
			}
			w.see(seen)
		}
	}
	return w
}

func TestSecondsOfAnInvalidTokenCountWhenBothServersWereUpForLongEnough(t *testing.T) {
	bound := int(recoveryBound.Seconds())
	tests := map[string]struct {
		life                          []stretch
		beyond, invalid, own, longest int // seconds
	}{
		"always valid":                  {life: []stretch{{seconds: 1000}}},
		"as long as the bound":          {life: []stretch{{seconds: bound + 1, invalid: true}}, invalid: bound + 1, longest: bound},
		"a second longer":               {life: []stretch{{seconds: bound + 2, invalid: true}}, invalid: bound + 2, longest: bound + 1, beyond: 1},
		"while a server is down":        {life: []stretch{{seconds: 1000, invalid: true, down: true}}, invalid: 1000, longest: 999},
		"down and then not recovered":   {life: []stretch{{seconds: 500, invalid: true, down: true}, {seconds: bound + 5, invalid: true}}, invalid: 505 + bound, longest: 504 + bound, beyond: 5},
		"down in between":               {life: []stretch{{seconds: bound, invalid: true}, {seconds: 1, invalid: true, down: true}, {seconds: bound, invalid: true}}, invalid: 2*bound + 1, longest: 2 * bound},
		"valid in between":              {life: []stretch{{seconds: bound, invalid: true}, {seconds: 1}, {seconds: bound, invalid: true}}, invalid: 2 * bound, longest: bound - 1},
		"its own fault":                 {life: []stretch{{seconds: 1000, invalid: true, own: true}}, own: 1000},
		"recovered from its own fault":  {life: []stretch{{seconds: 1000, invalid: true, own: true}, {seconds: bound, invalid: true}}, own: 1000, invalid: bound, longest: bound - 1},
		"not recovered from it":         {life: []stretch{{seconds: 1000, invalid: true, own: true}, {seconds: bound + 3, invalid: true}}, own: 1000, invalid: bound + 3, longest: bound + 2, beyond: 2},
		"valid in spite of a bad entry": {life: []stretch{{seconds: 1000, own: true}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := live(test.life...)
			got := []float64{w.beyond.Seconds(), w.invalid.Seconds(), w.ownInvalid.Seconds(), w.longest.Seconds()}
			want := []float64{float64(test.beyond), float64(test.invalid), float64(test.own), float64(test.longest)}
			if !slices.Equal(got, want) {
				t.Errorf("beyond, invalid, own, longest: %v, want %v", got, want)
			}
		})
	}
}

func TestRecoveryIsUntilASessionIsCurrentForGood(t *testing.T) {
	calm := time.Unix(1_000_000, 0)
	after := func(s int) time.Time { return calm.Add(time.Duration(s) * time.Second) }
	watches := []watch{
		{current: true},                      // never was otherwise
		{current: true, lastNot: after(-50)}, // was well before
		{current: true, lastNot: after(10)},
		{current: true, lastNot: after(20)},
		{current: true, lastNot: after(30)},
	}
	r := recoveryOf(watches, calm, after(100))
	if r.worst != 30*time.Second || r.median != 10*time.Second || r.missing != nil {
		t.Errorf("%+v", r)
	}
	watches[0].current, watches[0].lastNot = false, after(100)
	if r = recoveryOf(watches, calm, after(100)); r.worst != 100*time.Second || !slices.Equal(r.missing, []int{0}) {
		t.Errorf("one is not current: %+v", r)
	}
}

func TestServersAreUpSinceTheLastFaultOfEither(t *testing.T) {
	var s servers
	moment := func(n int64) time.Time { return time.Unix(n, 0) }
	s.fail()
	s.fail()
	s.mend(moment(1))
	if !s.upSince().IsZero() {
		t.Error("up while one is down")
	}
	s.mend(moment(2))
	if !s.upSince().Equal(moment(2)) {
		t.Errorf("up since %v", s.upSince())
	}
}
