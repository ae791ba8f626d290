package figures_test

import (
	"encoding/json"
	"testing"
	"time"

	"tokensync.dev/secret-server-operator/hack/e2e/figures"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

// token is one that lives for a minute.
func token(value string, issued float64) figures.Token {
	return figures.Token{Value: value, IssuedAt: at(issued), ExpiresAt: at(issued + 60)}
}

type call struct {
	at      float64
	token   figures.Token
	outcome figures.Outcome
}

// expect compares figures as a consumer prints them.
func expect(t *testing.T, got, want figures.Figures) {
	t.Helper()
	if printed(t, got) != printed(t, want) {
		t.Errorf("\n got %s\nwant %s", printed(t, got), printed(t, want))
	}
}

func printed(t *testing.T, f figures.Figures) string {
	t.Helper()
	text, err := json.Marshal(&f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFiguresTellWhatAConsumerLivedThrough(t *testing.T) {
	one, two := token("one", 0), token("two", 40)
	for name, c := range map[string]struct {
		calls []call
		want  figures.Figures
	}{
		"nothing": {nil, figures.Figures{}},
		"one token": {
			[]call{{1, one, figures.Accepted}, {2, one, figures.Accepted}},
			figures.Figures{Calls: 2, Tokens: 1},
		},
		"a new token in time": {
			[]call{{39, one, figures.Accepted}, {45, two, figures.Accepted}},
			figures.Figures{Calls: 2, Tokens: 2, Lags: []float64{5}, LeastReserve: new(15.0)},
		},
		"a new token too late": {
			[]call{{59, one, figures.Accepted}, {60, one, figures.Refused}, {62, one, figures.Refused}, {63, two, figures.Accepted}},
			figures.Figures{Calls: 4, Refused: 2, Tokens: 2, LongestGap: 3, Lags: []float64{23}, LeastReserve: new(-3.0)},
		},
		"the longest of two gaps": {
			[]call{{1, one, figures.Refused}, {6, one, figures.Accepted}, {8, one, figures.Refused}, {9, one, figures.Accepted}},
			figures.Figures{Calls: 4, Refused: 2, Tokens: 1, LongestGap: 5},
		},
		"a gap that does not end": {
			[]call{{1, one, figures.Refused}, {2, one, figures.Failed}, {9, one, figures.Refused}},
			figures.Figures{Calls: 3, Refused: 2, Failed: 1, Tokens: 1, LongestGap: 8},
		},
		"a call without an answer is no gap": {
			[]call{{1, one, figures.Accepted}, {2, one, figures.Failed}, {9, one, figures.Accepted}},
			figures.Figures{Calls: 3, Failed: 1, Tokens: 1},
		},
		"a token that could not be read": {
			[]call{{1, one, figures.Accepted}, {2, figures.Token{}, figures.Failed}, {3, one, figures.Accepted}},
			figures.Figures{Calls: 3, Failed: 1, Tokens: 1},
		},
		"times that are not mounted": {
			[]call{{1, figures.Token{Value: "one"}, figures.Accepted}, {2, figures.Token{Value: "two"}, figures.Accepted}},
			figures.Figures{Calls: 2, Tokens: 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got figures.Figures
			for _, c := range c.calls {
				got.Note(at(c.at), c.token, c.outcome)
			}
			expect(t, got, c.want)
		})
	}
}

func TestFiguresOfSeveralConsumersAreJoined(t *testing.T) {
	got := figures.Figures{Calls: 1, Refused: 2, Tokens: 3, LongestGap: 4, Lags: []float64{5}, LeastReserve: new(6.0)}
	got.Add(figures.Figures{Calls: 10, Refused: 20, Failed: 30, Tokens: 40, LongestGap: 1, Lags: []float64{50}, LeastReserve: new(3.0)})
	got.Add(figures.Figures{})
	want := figures.Figures{
		Calls: 11, Refused: 22, Failed: 30, Tokens: 43, LongestGap: 4, Lags: []float64{5, 50}, LeastReserve: new(3.0),
	}
	expect(t, got, want)
}
