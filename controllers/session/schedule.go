package session

import (
	"hash/fnv"
	"math"
	"strconv"
	"time"
)

const (
	// AssumedLifetime is taken for a token whose lifetime the server does not state: Secret Server's default session
	// timeout. Too short costs a login; too long would cost an outage.
	AssumedLifetime = 20 * time.Minute
	// RefreshGrace is how much longer than the access token a refresh token lives, as Secret Server documents it.
	RefreshGrace = 15 * time.Minute
	// shortestWait is the least time between a grant and its planned renewal, so that a server that issues tokens of
	// a second is not asked every second.
	shortestWait = 5 * time.Second
	// jitterShare of the lifetime is the most that a renewal is planned earlier than its percentage says.
	jitterShare = 10

	// toleratedSkew is how far the clocks of two replicas may differ.
	toleratedSkew = time.Minute

	firstBackoff = time.Second
	// LongestBackoff bounds the wait between two attempts.
	LongestBackoff = 5 * time.Minute

	// rarestVerification is the longest interval that tokens found dead one after the other lead to.
	rarestVerification = time.Hour

	firstProbeWait = time.Second
	// longestProbeWait is short: one probe stands for all sessions of a server, and all wait for it.
	longestProbeWait = 15 * time.Second
)

// RefreshAt is when to renew a token: after percent of its lifetime, up to a tenth of the lifetime and a quarter of the
// wait earlier. The jitter depends on seed and issue time alone, so a restart plans the same moment again. It lies after
// issued, and not after expires.
func RefreshAt(issued, expires time.Time, percent int, seed string) time.Time {
	lifetime := expires.Sub(issued)
	wait := lifetime / 100 * time.Duration(percent)
	wait -= jitter(min(lifetime/jitterShare, wait/4), seed, issued.Unix())
	wait = max(wait, shortestWait)
	return issued.Add(min(wait, lifetime))
}

// Backoff is the wait after the given number of consecutive failures (1 or more): 1 s, 2 s, 4 s and so on up to
// LongestBackoff, less up to a quarter.
func Backoff(failures int, seed string) time.Duration {
	wait := LongestBackoff
	if doublings := failures - 1; doublings < 16 {
		wait = min(firstBackoff<<max(doublings, 0), LongestBackoff)
	}
	return wait - jitter(wait/4, seed, int64(failures))
}

// VerifyAt is when to verify a token next: the first moment after the given one on a grid of the interval, which is
// positive. Seed and issue time alone place the grid, so that sessions of one moment do not verify together, and a
// restart waits for the moment that was planned before. It lies at most an interval after the given moment.
func VerifyAt(issued time.Time, interval time.Duration, seed string, after time.Time) time.Time {
	since := after.Sub(issued.Add(jitter(interval, seed, issued.Unix()))) % interval // the last moment on the grid
	if since < 0 {
		since += interval
	}
	return after.Add(interval - since)
}

// VerifyInterval is the interval for a session whose last so many verifications each found another token dead: twice
// as long for each after the first, up to an hour. A server, or a gateway before it, that says so of every token costs
// a renewal each time, and must not cost one every half minute. An interval that is longer by itself stays.
func VerifyInterval(interval time.Duration, dead int) time.Duration {
	slowed := interval
	for ; dead > 1 && slowed < rarestVerification; dead-- {
		slowed *= 2
	}
	return max(interval, min(slowed, rarestVerification))
}

// ProbeWait is the wait before a server that is down is asked again, after so many probes that failed (0 or more): 1 s,
// 2 s, 4 s and so on up to 15 s, and up to a quarter more.
func ProbeWait(failed int, seed string) time.Duration {
	wait := longestProbeWait
	if failed < 16 {
		wait = min(firstProbeWait<<max(failed, 0), longestProbeWait)
	}
	return wait + jitter(wait/4, seed, int64(failed))
}

// jitter spreads evenly over [0, limit), always the same for the same seed and salt.
func jitter(limit time.Duration, seed string, salt int64) time.Duration {
	if limit <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed)) // a hash.Hash never returns an error
	_, _ = h.Write(strconv.AppendInt(nil, salt, 10))
	// FNV's low bits are weak for inputs that differ in their last byte; fold the high half in, and leave the sign out.
	sum := h.Sum64()
	return time.Duration((sum^sum>>32)&math.MaxInt64) % limit
}
