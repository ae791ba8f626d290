package main

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestScreenAlignsColumns(t *testing.T) {
	lines := []line{
		{after(3.21).when(), "", "start", "the operator", plain},
		{after(12.34).when(), "billing", "valid", "a token", good},
		{after(112.3).when(), "reporting", "fall-back", "a login", notable},
	}
	tests := map[string]struct {
		colours bool
		want    string
	}{
		"without colours": {false, `
    TIME  SESSION    EVENT
   3.2 s             start      the operator
  12.3 s  billing    valid      a token
 112.3 s  reporting  fall-back  a login
`},
		"with colours": {true, `
    TIME  SESSION    EVENT
   3.2 s             start      the operator
  12.3 s  billing    ` + "\x1b[32mvalid    \x1b[0m" + `  a token
 112.3 s  reporting  ` + "\x1b[33mfall-back\x1b[0m" + `  a login
`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s := newScreen(&out, test.colours, begin)
			s.fit([]string{"billing", "reporting"})
			s.heading()
			s.show(lines...)
			if out.String() != test.want || s.err != nil {
				t.Errorf("shown (error %v):%s\nwant:%s", s.err, out.String(), test.want)
			}
		})
	}
}

func TestScreenKeepsTheFirstErrorAndFallsSilent(t *testing.T) {
	out := &closedPipe{}
	s := newScreen(out, false, begin)
	s.printf("a")
	s.printf("b")
	if !errors.Is(s.err, os.ErrClosed) || out.writes != 1 {
		t.Errorf("error %v after %d writes, want the first error after one", s.err, out.writes)
	}
}

type closedPipe struct{ writes int }

func (p *closedPipe) Write([]byte) (int, error) {
	p.writes++
	return 0, os.ErrClosed
}

func TestFileTakesNoColours(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/output")
	if err != nil {
		t.Fatal(err)
	}
	if takesColours(file, func(string) string { return "" }) {
		t.Error("a file is not a terminal")
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}
