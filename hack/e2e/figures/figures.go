// Package figures counts what a consumer of tokens lives through: how many of its calls were refused, for how long its token
// was no good, and how late a new token came into its hands.
package figures

import "time"

// Outcome is what Secret Server made of a call.
type Outcome int

// The outcomes of a call.
const (
	// Accepted: the token was good.
	Accepted Outcome = iota
	// Refused: Secret Server answered that it was not.
	Refused
	// Failed: there was no answer, or one that says nothing of the token.
	Failed
)

// Token is what the mounted files told at one moment. The times are zero if they were not mounted, and all of it is if the files
// could not be read.
type Token struct {
	Value     string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Figures are what a consumer has lived through since it began. The zero Figures are a consumer's that has not.
type Figures struct {
	Calls   int `json:"calls"`
	Refused int `json:"refused"`
	Failed  int `json:"failed"`
	// Tokens is how many tokens were seen, one after the other.
	Tokens int `json:"tokens"`
	// LongestGap is the longest time from a refusal until a call was accepted again, in seconds; one that has not ended counts
	// as far as it goes.
	LongestGap float64 `json:"longestGapSeconds"`
	// Lags are how many seconds after it was asked for each token but the first was seen, if that is known.
	Lags []float64 `json:"lagsSeconds,omitempty"`
	// LeastReserve is how many seconds the token before had left when its successor was seen, at the least; absent if never known.
	LeastReserve *float64 `json:"leastReserveSeconds,omitempty"`

	token   Token
	refused time.Time // since when calls are refused; zero: the last one was not
}

// mostLags bounds what is kept.
const mostLags = 1000

// Note enters a call that was begun with a token at a moment and had an outcome.
func (f *Figures) Note(now time.Time, token Token, outcome Outcome) {
	f.see(now, token)
	f.Calls++
	switch outcome {
	case Accepted:
		f.measureGap(now)
		f.refused = time.Time{}
	case Refused:
		f.Refused++
		if f.refused.IsZero() {
			f.refused = now
		}
		f.measureGap(now)
	case Failed:
		f.Failed++
		f.measureGap(now)
	}
}

func (f *Figures) measureGap(now time.Time) {
	if !f.refused.IsZero() {
		f.LongestGap = max(f.LongestGap, now.Sub(f.refused).Seconds())
	}
}

// see compares the token with the one before.
func (f *Figures) see(now time.Time, token Token) {
	if token.Value == "" || token.Value == f.token.Value {
		return
	}
	if f.Tokens > 0 {
		if !token.IssuedAt.IsZero() && len(f.Lags) < mostLags {
			f.Lags = append(f.Lags, now.Sub(token.IssuedAt).Seconds())
		}
		if before := f.token.ExpiresAt; !before.IsZero() {
			reserve := before.Sub(now).Seconds()
			if f.LeastReserve == nil || reserve < *f.LeastReserve {
				f.LeastReserve = &reserve
			}
		}
	}
	f.Tokens++
	f.token = token
}

// Refreshes is how many times a new token came.
func (f *Figures) Refreshes() int { return max(f.Tokens-1, 0) }

// Add joins the figures of another consumer: counts are summed up, extremes are those of both.
func (f *Figures) Add(other Figures) {
	f.Calls += other.Calls
	f.Refused += other.Refused
	f.Failed += other.Failed
	f.Tokens += other.Tokens
	f.LongestGap = max(f.LongestGap, other.LongestGap)
	f.Lags = append(f.Lags, other.Lags...)
	if r := other.LeastReserve; r != nil && (f.LeastReserve == nil || *r < *f.LeastReserve) {
		f.LeastReserve = r
	}
}
