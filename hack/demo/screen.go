package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// A line is one event of the story.
type line struct {
	at      time.Time
	session string // "" for what the demo does before there are sessions
	event   string // a word or two
	detail  string
	tone    tone
}

// A tone is the colour of a line's event, where there are colours.
type tone string

const (
	plain   tone = ""
	good    tone = "\x1b[32m"
	notable tone = "\x1b[33m"
	bad     tone = "\x1b[31m"
	reset   tone = "\x1b[0m"
)

// A screen shows lines in columns. It keeps the first error of its writer, after which it shows nothing more.
type screen struct {
	out     io.Writer
	colours bool
	start   time.Time // of the offsets
	width   int       // of the column of sessions
	err     error
}

func newScreen(out io.Writer, colours bool, start time.Time) *screen {
	return &screen{out: out, colours: colours, start: start, width: len("SESSION")}
}

// Write makes the screen an io.Writer for text that stands outside the columns.
func (s *screen) Write(text []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.out.Write(text)
	s.err = err
	return n, err
}

// printf writes text as it is. Its error is kept in s.err.
func (s *screen) printf(format string, arguments ...any) {
	fmt.Fprintf(s, format, arguments...) //nolint:errcheck // kept in s.err
}

// fit makes the column of sessions wide enough for these.
func (s *screen) fit(sessions []string) {
	for _, name := range sessions {
		s.width = max(s.width, len(name))
	}
}

// heading names the columns.
func (s *screen) heading() {
	s.printf("\n%8s  %-*s  %s\n", "TIME", s.width, "SESSION", "EVENT")
}

// show writes lines below each other.
func (s *screen) show(lines ...line) {
	for _, l := range lines {
		event := fmt.Sprintf("%-9s", l.event)
		if s.colours && l.tone != plain {
			event = string(l.tone) + event + string(reset)
		}
		s.printf("%6.1f s  %-*s  %s  %s\n", l.at.Sub(s.start).Seconds(), s.width, l.session, event, l.detail)
	}
}

// takesColours reports whether a file is a terminal whose user has not declined colours.
func takesColours(file *os.File, getenv func(string) string) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}
