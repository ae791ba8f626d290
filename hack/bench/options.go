package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parts of a run. What is needed for one is done even if it is not named.
const (
	partSaturated = "saturated" // all sessions due all the time, beside the bare client
	partSteady    = "steady"    // staggered expiries, at each size; with it the start of that many sessions
	partHerd      = "herd"      // sessions that began together, and sessions that are all overdue
	partIdle      = "idle"      // nothing due
	partReaction  = "reaction"  // a target is edited or deleted, credentials change
	partRestart   = "restart"   // of the operator, with nothing due
	partForeign   = "foreign"   // steady again, beside many Secrets of others
	partShards    = "shards"    // two operators, two Secret Servers
)

var allParts = []string{ //nolint:gochecknoglobals // a constant
	partSaturated, partSteady, partHerd, partIdle, partReaction, partRestart, partForeign, partShards,
}

// reported is the order of the report. Whatever needs sessions tells of their start.
var reported = append([]string{partSmoke, partStart}, allParts...) //nolint:gochecknoglobals // a constant

// options are what the command line says.
type options struct {
	parts     []string
	sizes     []int         // numbers of sessions, ascending
	herd      int           // sessions of the herd
	foreign   int           // Secrets of others
	saturated time.Duration // how long to measure under saturation
	steady    time.Duration // the same at each size
	idle      time.Duration
	reactions int // of each kind
	smoke     bool
	strict    bool

	operator, vault string // paths of the built programs
	config          string // the directory config of the repository
	out             string // directory of results and logs
}

func parse(arguments []string, stderr io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	parts := set.String("parts", strings.Join(allParts, ","), "comma list of what to measure")
	sizes := set.String("sizes", "100,1000,10000", "comma list of numbers of sessions, ascending")
	set.IntVar(&o.herd, "herd", 1000, "sessions of the herd")
	set.IntVar(&o.foreign, "foreign", 30000, "Secrets of 4 KiB that are not the operator's")
	set.DurationVar(&o.saturated, "saturated", time.Minute, "how long to measure under saturation; 30m shows whether memory grows")
	set.DurationVar(&o.steady, "steady", time.Minute, "how long to measure at each number of sessions")
	set.DurationVar(&o.idle, "idle", 5*time.Minute, "how long to watch at least that nothing happens")
	set.IntVar(&o.reactions, "reactions", 200, "how many targets to edit, and to delete")
	set.BoolVar(&o.smoke, "smoke", false, "only count, with few sessions: a minute or two")
	set.BoolVar(&o.strict, "strict", false, "fail on ratios too, which takes a quiet machine")
	set.StringVar(&o.operator, "operator", "bin/manager", "the built operator")
	set.StringVar(&o.vault, "vault", "bin/fake-secret-server", "the built fake Secret Server")
	set.StringVar(&o.config, "config", "config", "the directory with crd and rbac")
	set.StringVar(&o.out, "out", "bin/bench.out", "directory of the results and logs")
	if err := set.Parse(arguments); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	o.parts = strings.Split(*parts, ",")
	for _, part := range o.parts {
		if !slices.Contains(allParts, part) {
			return o, fmt.Errorf("-parts: %q is none of %s", part, strings.Join(allParts, ", "))
		}
	}
	var err error
	o.sizes, err = numbers(*sizes)
	if err != nil {
		return o, fmt.Errorf("-sizes: %w", err)
	}
	if o.herd < 1 || o.reactions < 1 || o.foreign < 0 || o.saturated < time.Second || o.steady < time.Second || o.idle < time.Second {
		return o, errors.New("-herd and -reactions must be at least 1, -foreign at least 0, and the durations at least 1s")
	}
	return o, nil
}

// numbers reads an ascending comma list.
func numbers(text string) ([]int, error) {
	var list []int
	for item := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(item))
		if err != nil || n < 1 || (len(list) > 0 && n <= list[len(list)-1]) {
			return nil, fmt.Errorf("%q is not a comma list of ascending numbers from 1", text)
		}
		list = append(list, n)
	}
	return list, nil
}

// wants reports whether one of the parts is to be measured.
func (o options) wants(parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return slices.Contains(o.parts, part) })
}

// largest is the greatest number of sessions, and smaller are the others.
func (o options) largest() int   { return o.sizes[len(o.sizes)-1] }
func (o options) smaller() []int { return o.sizes[:len(o.sizes)-1] }
