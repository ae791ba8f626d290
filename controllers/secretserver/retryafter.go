package secretserver

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a server may ask for: a mistyped header must not put a session to sleep for a year.
const maxRetryAfter = 5 * time.Minute

// retryAfter reads how long the server asks to wait, from zero to maxRetryAfter. It is not ok when the server does not ask, or not
// in a form of RFC 9110, section 10.2.3. A date is counted from the answer's own Date, so that clocks which disagree do
// no harm, and from now if there is none.
func retryAfter(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 64)
		if err != nil || seconds > uint64(maxRetryAfter/time.Second) { // all digits, so the only error is "too many"
			return maxRetryAfter, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	from, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		from = now
	}
	return min(max(until.Sub(from), 0), maxRetryAfter), true
}
