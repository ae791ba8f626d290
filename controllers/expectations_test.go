package controllers

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestPassWaitsForItsOwnWriteOnly(t *testing.T) {
	c := clocktesting.NewFakeClock(noon)
	secret := object{secretObject, named("target")}
	none := func() string { return "" }
	for name, story := range map[string]struct {
		happens func(*expectations)
		behind  bool
	}{
		"nothing was written": {func(*expectations) {}, false},
		"the watch lacks it":  {func(e *expectations) { e.wrote(secret, "10", none) }, true},
		"the watch shows an older one": {func(e *expectations) {
			e.wrote(secret, "10", none)
			e.observed(secret, "9")
		}, true},
		"the watch shows it": {func(e *expectations) {
			e.wrote(secret, "10", none)
			e.observed(secret, "10")
		}, false},
		"the watch shows a newer one": {func(e *expectations) {
			e.wrote(secret, "10", none)
			e.observed(secret, "11")
		}, false},
		"the watch shows its deletion": {func(e *expectations) {
			e.wrote(secret, "10", none)
			e.deleted(secret)
		}, false},
		"the watch was faster than the answer": {func(e *expectations) {
			e.wrote(secret, "10", func() string { return "10" })
		}, false},
		"the watch never shows it": {func(e *expectations) {
			e.wrote(secret, "10", none)
			c.Step(patience + time.Second)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExpectations(c)
			story.happens(e)
			if got := e.behind(secret); got != story.behind {
				t.Errorf("behind = %v, want %v", got, story.behind)
			}
		})
	}
}

func TestOwnWriteIsToldFromOthers(t *testing.T) {
	e := newExpectations(clocktesting.NewFakeClock(noon))
	secret := object{secretObject, named("target")}
	e.wrote(secret, "10", func() string { return "" })
	if e.observed(secret, "9") {
		t.Error("an older version was taken for our write")
	}
	if !e.observed(secret, "10") {
		t.Error("our write was not known")
	}
	if e.observed(secret, "10") {
		t.Error("a second event of the same version was taken for our write")
	}
}
