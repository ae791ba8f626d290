package main

import (
	"io"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		arguments   []string
		environment map[string]string
		want        options
		refused     bool
	}{
		"nothing":              {want: options{length: 15 * time.Minute, sessions: 100}},
		"the environment":      {environment: map[string]string{"CHAOS_SECONDS": "180", "CHAOS_SESSIONS": "20", "CHAOS_SEED": "7"}, want: options{length: 3 * time.Minute, sessions: 20, seed: 7}},
		"flags win":            {arguments: []string{"-seconds=240"}, environment: map[string]string{"CHAOS_SECONDS": "180"}, want: options{length: 4 * time.Minute, sessions: 100}},
		"too short to be much": {arguments: []string{"-seconds=60"}, refused: true},
		"no sessions":          {arguments: []string{"-sessions=0"}, refused: true},
		"a seed that is none":  {arguments: []string{"-seed=x"}, refused: true},
		"a negative seed":      {arguments: []string{"-seed=-1"}, refused: true},
		"an argument":          {arguments: []string{"180"}, refused: true},
		"an unknown flag":      {arguments: []string{"-minutes=2"}, refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parse(test.arguments, func(name string) string { return test.environment[name] }, io.Discard)
			if refused := err != nil; refused != test.refused {
				t.Fatalf("error %v, want one: %v", err, test.refused)
			}
			if test.refused {
				return
			}
			if got.length != test.want.length || got.sessions != test.want.sessions || test.want.seed != 0 && got.seed != test.want.seed {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestTenSessionsShareAnAccountAndTheLastHasItsOwn(t *testing.T) {
	for sessions, accounts := range map[int]int{1: 1, 2: 2, 10: 2, 11: 3, 100: 11} {
		s := (options{sessions: sessions}).scale()
		if s.accounts != accounts {
			t.Errorf("%d sessions: %d accounts, want %d", sessions, s.accounts, accounts)
		}
		seen := 0
		for account := range s.accounts {
			served := s.sessionsOf(account)
			if seen += len(served); len(served) == 0 || len(served) > 11 || s.hasCodes(account) && len(served) != 1 {
				t.Errorf("%d sessions: account %d has %v", sessions, account, served)
			}
		}
		if seen != sessions {
			t.Errorf("%d sessions: %d have an account", sessions, seen)
		}
	}
}
