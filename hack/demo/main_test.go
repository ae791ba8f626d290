package main

import (
	"io"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		arguments   []string
		environment string
		want        time.Duration
		refused     bool
	}{
		"nothing: no end":            {},
		"the environment":            {environment: "120", want: 2 * time.Minute},
		"the flag":                   {arguments: []string{"--seconds=90"}, want: 90 * time.Second},
		"the flag wins":              {arguments: []string{"--seconds=90"}, environment: "120", want: 90 * time.Second},
		"the flag can take the end":  {arguments: []string{"--seconds="}, environment: "120"},
		"no time at all":             {environment: "0", refused: true},
		"a negative time":            {environment: "-5", refused: true},
		"no number":                  {environment: "soon", refused: true},
		"a unit":                     {environment: "2m", refused: true},
		"more than a clock can hold": {environment: "9999999999999", refused: true},
		"an argument":                {arguments: []string{"120"}, refused: true},
		"an unknown flag":            {arguments: []string{"--minutes=2"}, refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			getenv := func(string) string { return test.environment }
			got, err := parse(test.arguments, getenv, io.Discard)
			if refused := err != nil; refused != test.refused {
				t.Fatalf("error %v, want one: %v", err, test.refused)
			}
			if !test.refused && got.duration != test.want {
				t.Errorf("duration %v, want %v", got.duration, test.want)
			}
		})
	}
}
