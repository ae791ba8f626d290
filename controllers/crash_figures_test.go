package controllers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// figures count what the trials of a property went through.
type figures struct {
	counts, maxima map[string]int
}

func newFigures() *figures { return &figures{counts: map[string]int{}, maxima: map[string]int{}} }

func (f *figures) count(what string) { f.counts[what]++ }

func (f *figures) most(what string, n int) { f.maxima[what] = max(f.maxima[what], n) }

func (f *figures) grants() int { return f.counts["logins"] + f.counts["refreshes"] }

func (f *figures) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(f.counts)) {
		fmt.Fprintf(&b, "%8d %s\n", f.counts[what], what)
	}
	for _, what := range slices.Sorted(maps.Keys(f.maxima)) {
		fmt.Fprintf(&b, "%8d %s at most\n", f.maxima[what], what)
	}
	return b.String()
}
