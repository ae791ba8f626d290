package session

import "time"

const (
	// CodePeriod is how long a one-time code is current: the time step of RFC 6238.
	CodePeriod = 30 * time.Second
	// LongestSkew is how far Secret Server's clock may be off for a one-time code to be made after it. A server that
	// could ask for the code of any time would collect codes for later.
	LongestSkew = 10 * time.Minute

	codeSeconds = int64(CodePeriod / time.Second)
	// farthestStep is how many time steps ahead a used one may lie: two servers may be off in opposite directions.
	farthestStep = int64(2 * LongestSkew / CodePeriod)
)

// CodeStep numbers the time steps of one-time codes, from 1970 on.
func CodeStep(t time.Time) int64 { return t.Unix() / codeSeconds }

// Tolerable reports whether a clock that is so far ahead of ours, or behind, is near enough for a one-time code.
func Tolerable(ahead time.Duration) bool { return -LongestSkew <= ahead && ahead <= LongestSkew }

// NextCodeAt is when, by our own clock, there is a one-time code that was not used yet; zero: now. used is the last time
// step whose code was, and ahead is how far Secret Server's clock is before ours, which must be Tolerable. A step that
// lies farther ahead than any clock can have led to is not believed: it would keep the account from logging in for as
// long.
func NextCodeAt(used int64, ahead time.Duration, now time.Time) time.Time {
	present := CodeStep(now.Add(ahead))
	if used < present || used > present+farthestStep {
		return time.Time{}
	}
	return time.Unix((used+1)*codeSeconds, 0).UTC().Add(-ahead)
}
