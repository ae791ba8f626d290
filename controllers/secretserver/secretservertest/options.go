package secretservertest

import (
	"errors"
	"fmt"
	"log"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Defaults of Secret Server itself, as its documentation gives them.
const (
	DefaultTokenLifetime    = 20 * time.Minute
	DefaultRefreshGrace     = 15 * time.Minute // a refresh token outlives its access token by this
	DefaultMaxRefreshes     = 3
	DefaultMaxLoginFailures = 5
	DefaultLockoutDuration  = 60 * time.Minute
)

// Values of Options.UnlimitedExpiresIn. What Secret Server sends is not documented.
const (
	ExpiresInAbsent   = "absent"    // no such field: what Katana does without an expiry
	ExpiresInHuge     = "huge"      // the longest .NET time span, in seconds
	ExpiresInZero     = "zero"      // 0
	ExpiresInMinusOne = "minus-one" // -1
)

// Values of Options.Health.
const (
	HealthJSON      = "json"      // {"healthy":true,...}
	HealthText      = "text"      // the word Healthy, as older servers answer
	HealthUnhealthy = "unhealthy" // {"healthy":false,...}
)

// hugeExpiresIn is the longest .NET TimeSpan in whole seconds. It overflows a
// time.Duration.
const hugeExpiresIn = 922337203685

// Options say how a Server behaves. The zero value is a Secret Server as
// installed, on a free loopback port, with refresh tokens on and no accounts.
// Every field may be changed at run time by [Server.Configure]; Listen, Hosts and
// HTTP2 then matter at the next start only.
type Options struct {
	Listen   string    // TCP address to listen on; default 127.0.0.1:0
	BasePath string    // virtual directory, such as /SecretServer; default none
	Hosts    []string  // further names and addresses in the TLS certificate
	HTTP2    bool      // offer HTTP/2 over TLS; a dropped connection is then a reset stream
	Accounts []Account // who may log in

	Clock    func() time.Time // default time.Now; certificates and delays always use real time
	Seed     uint64           // of the faults' probabilities
	ErrorLog *log.Logger      // default: discard

	TokenLifetime   time.Duration // default 20 minutes
	LeastLifetime   time.Duration // each access token lasts from this to TokenLifetime, by chance; default always TokenLifetime
	RefreshLifetime time.Duration // default TokenLifetime + 15 minutes
	MaxRefreshes    *int          // refresh grants per login; default 3, 0 none, negative without limit
	RefreshDisabled bool          // no refresh tokens for web services
	Unlimited       bool          // API session timeout unlimited: tokens last, and no refresh tokens
	TokenSize       int           // characters of a token; default 256, at least 16

	UnlimitedExpiresIn string // expires_in when Unlimited; default absent
	ExpiresInAsString  bool   // "1199" rather than 1199, as the published schema has it
	ExpiresInOverride  string // raw JSON to send as expires_in in every grant, or "absent"
	ExactExpiresIn     bool   // 1200 for 20 minutes; default 1199, a second begun counting as spent

	RevokeOldOnRefresh        bool // a refresh ends the access token it replaces
	RefreshReuseKillsChain    bool // a spent refresh token sent again ends every token of its login
	OmitRefreshTokenOnLast    bool // the last permitted grant has no refresh_token; default one that fails
	RevocationKillsRefresh    bool // oauth-expiration also ends the refresh token granted with the token
	PasswordChangeWipesTokens bool // SetPassword forgets the account's tokens

	MaxLoginFailures        int           // refused logins until the account is locked; default 5, negative never
	LockoutDuration         time.Duration // default 60 minutes; negative until Unlock
	LockoutStopsRefresh     bool          // a locked account's refresh tokens are refused
	RefreshFailuresCount    bool          // a refused refresh counts as a login failure of its account
	ApplicationAccountsOnly bool          // "prevent direct API authentication": only application accounts log in
	OTPSingleUse            bool          // a one-time code that has been used is refused

	ExpiredStatus int    // for a token that ran out, 401 or 403; default 403
	ErrorKey      string // of a refused grant's text, "error" or "message"; default "error"
	RequireTLS    bool   // the token endpoint does not exist over plain HTTP
	Version       string // default 11.7.000049
	HideVersion   bool   // the setting that hides version numbers
	Health        string // json, text or unhealthy; default json

	Remember    int // dead tokens still told from unknown ones; default 262144
	JournalSize int // entries kept; default 1024
}

// Validate reports every option that has no meaning.
func (o *Options) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.TokenLifetime >= 0, "token lifetime %v is negative", o.TokenLifetime)
	check(o.LeastLifetime >= 0 && o.LeastLifetime <= o.tokenLifetime(),
		"least lifetime %v is not between 0 and the token lifetime", o.LeastLifetime)
	check(o.RefreshLifetime >= 0, "refresh lifetime %v is negative", o.RefreshLifetime)
	check(o.TokenSize == 0 || o.TokenSize >= 16, "token size %d is below 16", o.TokenSize)
	check(oneOf(o.UnlimitedExpiresIn, "", ExpiresInAbsent, ExpiresInHuge, ExpiresInZero, ExpiresInMinusOne),
		"unlimited expires_in %q is unknown", o.UnlimitedExpiresIn)
	check(o.ExpiredStatus == 0 || o.ExpiredStatus == 401 || o.ExpiredStatus == 403,
		"expired status %d is neither 401 nor 403", o.ExpiredStatus)
	check(oneOf(o.ErrorKey, "", "error", "message"), "error key %q is unknown", o.ErrorKey)
	check(oneOf(o.Health, "", HealthJSON, HealthText, HealthUnhealthy), "health %q is unknown", o.Health)
	check(o.Remember >= 0, "remember %d is negative", o.Remember)
	check(o.JournalSize >= 0, "journal size %d is negative", o.JournalSize)
	errs = append(errs, validateAccounts(o.Accounts))
	return errors.Join(errs...)
}

func oneOf(value string, known ...string) bool {
	return slices.Contains(known, value)
}

// basePath is "" or begins with a slash and does not end with one.
func (o *Options) basePath() string {
	trimmed := strings.Trim(o.BasePath, "/")
	if trimmed == "" {
		return ""
	}
	return "/" + trimmed
}

func (o *Options) now() time.Time {
	if o.Clock == nil {
		return time.Now()
	}
	return o.Clock()
}

func (o *Options) tokenLifetime() time.Duration {
	return orDefault(o.TokenLifetime, DefaultTokenLifetime)
}

func (o *Options) refreshLifetime() time.Duration {
	return orDefault(o.RefreshLifetime, o.tokenLifetime()+DefaultRefreshGrace)
}

// mayRefresh tells whether a login that has been refreshed so many times may be
// refreshed once more.
func (o *Options) mayRefresh(refreshes int) bool {
	limit := DefaultMaxRefreshes
	if o.MaxRefreshes != nil {
		limit = *o.MaxRefreshes
	}
	return limit < 0 || refreshes < limit
}

// issuesRefreshToken tells whether a grant carries a refresh token, given how
// often its login has been refreshed, this grant included.
func (o *Options) issuesRefreshToken(refreshes int) bool {
	if o.RefreshDisabled || o.Unlimited {
		return false
	}
	return o.mayRefresh(refreshes) || !o.OmitRefreshTokenOnLast
}

// expiresIn is the JSON of the expires_in of a grant with this lifetime, "" for none.
func (o *Options) expiresIn(lifetime time.Duration) string {
	switch o.ExpiresInOverride {
	case "":
	case ExpiresInAbsent:
		return ""
	default:
		return o.ExpiresInOverride
	}
	var seconds int64
	switch {
	case !o.Unlimited && o.ExactExpiresIn:
		seconds = int64(lifetime / time.Second)
	case !o.Unlimited:
		// Katana counts from the beginning of the second, and rounds down.
		seconds = int64((lifetime - 1) / time.Second)
	case o.UnlimitedExpiresIn == ExpiresInHuge:
		seconds = hugeExpiresIn
	case o.UnlimitedExpiresIn == ExpiresInZero:
		seconds = 0
	case o.UnlimitedExpiresIn == ExpiresInMinusOne:
		seconds = -1
	default:
		return ""
	}
	if !o.Unlimited && seconds <= 0 {
		return "" // Katana leaves out an expiry that is not positive
	}
	if o.ExpiresInAsString {
		return strconv.Quote(strconv.FormatInt(seconds, 10))
	}
	return strconv.FormatInt(seconds, 10)
}

// orDefault is value, or fallback when value is zero.
func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
