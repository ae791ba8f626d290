package secretserver

import (
	"net/http"
	"testing"
	"time"
)

// waits are the headers Retry-After and Date with what becomes of them, at noon.
func waits() []struct {
	name  string
	value string
	date  string
	want  time.Duration
	ok    bool
} {
	at := func(offset time.Duration) string { return noon().Add(offset).Format(http.TimeFormat) }
	return []struct {
		name  string
		value string
		date  string
		want  time.Duration
		ok    bool
	}{
		{"absent", "", "", 0, false},
		{"spaces", "  ", "", 0, false},
		{"seconds", "120", "", 2 * time.Minute, true},
		{"seconds with spaces", " 120 ", "", 2 * time.Minute, true},
		{"zero", "0", "", 0, true},
		{"the bound", "300", "", 5 * time.Minute, true},
		{"above the bound", "301", "", 5 * time.Minute, true},
		{"more than a Duration holds", "99999999999999", "", 5 * time.Minute, true},
		{"more than a uint64 holds", "99999999999999999999999", "", 5 * time.Minute, true},
		{"negative", "-5", "", 0, false},
		{"signed", "+5", "", 0, false},
		{"fraction", "1.5", "", 0, false},
		{"unit", "5s", "", 0, false},
		{"word", "soon", "", 0, false},
		{"date, by our clock", at(time.Minute), "", time.Minute, true},
		{"date, by the server's clock", at(time.Hour + time.Minute), at(time.Hour), time.Minute, true},
		{"date, server's clock unreadable", at(time.Minute), "noon()", time.Minute, true},
		{"date in the past", at(-time.Minute), "", 0, true},
		{"date far ahead", "Fri, 31 Dec 9999 23:59:59 GMT", "", 5 * time.Minute, true},
		{"date long ago", "Mon, 01 Jan 0001 00:00:00 GMT", "", 0, true},
		{"date of RFC 850", "Sunday, 01-Mar-26 12:01:00 GMT", "", time.Minute, true},
		{"date that is none", "Sun, 32 Mar 2026 12:00:00 GMT", "", 0, false},
	}
}

func TestRetryAfter(t *testing.T) {
	for _, test := range waits() {
		t.Run(test.name, func(t *testing.T) {
			got, ok := retryAfter(waitHeader(test.value, test.date), noon())
			if got != test.want || ok != test.ok {
				t.Errorf("got %v, %t, want %v, %t", got, ok, test.want, test.ok)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, test := range waits() {
		f.Add(test.value, test.date)
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		got, ok := retryAfter(waitHeader(value, date), noon())
		if got < 0 || got > maxRetryAfter {
			t.Errorf("waits %v", got)
		}
		if !ok && got != 0 {
			t.Errorf("waits %v without being asked to", got)
		}
	})
}

func waitHeader(value, date string) http.Header {
	return http.Header{"Retry-After": {value}, "Date": {date}}
}
