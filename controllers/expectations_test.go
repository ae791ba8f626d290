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

func TestNobodyLooksAtWhatAPassHasWrittenItself(t *testing.T) {
	secret := object{secretObject, named("target")}
	none := func() string { return "" }
	write := func(version string) func(*expectations) bool {
		return func(e *expectations) bool { e.wrote(secret, version, none); return false }
	}
	show := func(version string) func(*expectations) bool {
		return func(e *expectations) bool { return !e.observed(secret, version) }
	}
	begin := func(e *expectations) bool { e.begin(secret); return false }
	end := func(e *expectations) bool { return e.end(secret) }
	type story []func(*expectations) (look bool)
	for name, test := range map[string]struct {
		story
		looks int
	}{
		"the watch shows it after the answer":       {story{begin, write("10"), show("10"), end}, 0},
		"the watch shows it before the answer":      {story{begin, show("10"), write("10"), end}, 0},
		"the watch shows it after the pass":         {story{begin, write("10"), end, show("10")}, 0},
		"it writes twice, and both are shown later": {story{begin, write("10"), write("12"), end, show("10"), show("12")}, 0},
		"it writes twice, and one is shown between": {story{begin, write("10"), show("10"), show("12"), write("12"), end}, 0},
		"the answer is lost":                        {story{begin, show("10"), end}, 1},
		"somebody writes before":                    {story{begin, show("9"), write("10"), show("10"), end}, 1},
		"somebody writes afterwards":                {story{begin, write("10"), show("10"), show("11"), end}, 1},
		"somebody writes often":                     {story{begin, write("10"), show("11"), show("12"), end}, 1},
		"somebody writes after the pass":            {story{begin, write("10"), end, show("10"), show("11")}, 1},
		"two write it":                              {story{begin, begin, show("10"), write("10"), end, show("11"), write("11"), end}, 0},
		"somebody else writes while two do":         {story{begin, begin, show("9"), end, write("10"), end}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExpectations(clocktesting.NewFakeClock(noon))
			looks := 0
			for _, happens := range test.story {
				if happens(e) {
					looks++
				}
			}
			if looks != test.looks {
				t.Errorf("looked at %d times, want %d", looks, test.looks)
			}
			if len(e.writing) > 0 {
				t.Errorf("%d objects are still held back", len(e.writing))
			}
		})
	}
}
