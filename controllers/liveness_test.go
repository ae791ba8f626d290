package controllers

import (
	"testing"
	"time"
)

// alive is a process under observation.
type alive struct {
	*liveness

	clocks  *twoClocks
	waiting int // sessions due
}

func newAlive(t *testing.T, elected bool) *alive {
	t.Helper()
	channel := make(chan struct{})
	if elected {
		close(channel)
	}
	a := &alive{clocks: newTwoClocks()}
	a.liveness = newLiveness(a.clocks.read, func() int { return a.waiting }, channel)
	return a
}

// probe asks all the checks.
func (a *alive) probe() error {
	for _, check := range []func() error{
		func() error { return a.clocksAgree(nil) },
		func() error { return a.passesEnd(nil) },
		func() error { return a.queueMoves(nil) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// probeFor probes as the kubelet does, and returns the first failure.
func (a *alive) probeFor(d time.Duration) error {
	const period = 20 * time.Second
	for ; d > 0; d -= period {
		if err := a.probe(); err != nil {
			return err
		}
		a.clocks.pass(period)
	}
	return a.probe()
}

func (a *alive) mustLive(t *testing.T, d time.Duration, why string) {
	t.Helper()
	if err := a.probeFor(d); err != nil {
		t.Errorf("%s: %v", why, err)
	}
}

func (a *alive) mustDie(t *testing.T, d time.Duration, why string) {
	t.Helper()
	if a.probeFor(d) == nil {
		t.Errorf("%s: still alive", why)
	}
}

func TestAProcessWithNothingToDoLives(t *testing.T) {
	newAlive(t, true).mustLive(t, 48*time.Hour, "idle")
}

func TestAStandbyLivesHoweverFullItsQueue(t *testing.T) {
	a := newAlive(t, false)
	a.waiting = 2000
	a.mustLive(t, 48*time.Hour, "standby")
}

func TestAStandbyThatTakesOverIsGivenItsTime(t *testing.T) {
	a := newAlive(t, false)
	a.waiting = 2000
	a.mustLive(t, 48*time.Hour, "standby")
	elected := make(chan struct{})
	close(elected)
	a.elected = elected
	a.mustLive(t, longestPass-time.Minute, "leader with a full queue")
	a.mustDie(t, 3*time.Minute, "leader that works on nothing")
}

func TestAClockThatJumpsEndsTheProcess(t *testing.T) {
	for _, test := range []struct {
		name         string
		wall, steady time.Duration
		dies         bool
	}{
		{"a year goes by", 365 * 24 * time.Hour, 365 * 24 * time.Hour, false},
		{"set forward by five minutes", mostClockJump, 0, false},
		{"set forward by more", mostClockJump + time.Second, 0, true},
		{"set back by five minutes", -mostClockJump, 0, false},
		{"set back by more", -mostClockJump - time.Second, 0, true},
		{"suspended for an hour", time.Hour, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAlive(t, true)
			a.clocks.advance(test.wall, test.steady)
			if err := a.probe(); (err != nil) != test.dies {
				t.Errorf("probe: %v", err)
			}
		})
	}
}

func TestSmallJumpsAddUp(t *testing.T) {
	a := newAlive(t, true)
	for range 6 {
		a.clocks.advance(time.Minute, 0)
	}
	a.mustDie(t, 0, "six steps of a minute")
}

func TestAPassThatDoesNotEndEndsTheProcess(t *testing.T) {
	a := newAlive(t, true)
	end := a.begin(named("stuck"))
	for range 100 {
		a.begin(named("other"))()
	}
	a.mustLive(t, longestPass-time.Minute, "a pass that takes as long as it may")
	a.mustDie(t, 3*time.Minute, "a pass without end")
	end()
	a.mustLive(t, time.Hour, "after it has ended all the same")
}

func TestAQueueThatDoesNotMoveEndsTheProcess(t *testing.T) {
	a := newAlive(t, true)
	a.begin(named("one"))()
	a.mustLive(t, 24*time.Hour, "idle")
	a.waiting = 1
	a.mustLive(t, longestPass-time.Minute, "all workers may be busy")
	a.mustDie(t, 3*time.Minute, "nobody takes what is due")
	a.begin(named("one"))()
	a.mustLive(t, longestPass-time.Minute, "after a pass has begun")
}

func TestAQueueThatIsNeverEmptyLivesAsLongAsItMoves(t *testing.T) {
	a := newAlive(t, true)
	a.waiting = 5000
	for range 100 {
		a.mustLive(t, longestPass/2, "busy")
		a.begin(named("next"))()
	}
}

// A probe that meets the moment between a session's turn and its pass must not take it for a standstill.
func TestADueSessionAfterALongIdleTimeIsNoStandstill(t *testing.T) {
	a := newAlive(t, true)
	a.mustLive(t, time.Minute, "idle")
	a.clocks.pass(24 * time.Hour)
	a.waiting = 1
	a.mustLive(t, time.Minute, "first due after a day")
}
