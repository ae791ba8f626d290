package secretservertest

import (
	"flag"
	"io"
	"strconv"
)

// Flags defines a flag for every option that describes behaviour, with the
// present values as defaults. The same names and texts of values are the
// vocabulary of POST /configure.
func (o *Options) Flags(set *flag.FlagSet) {
	o.tokenFlags(set)
	o.refreshFlags(set)
	o.loginFlags(set)
	set.IntVar(&o.ExpiredStatus, "expired-status", orDefault(o.ExpiredStatus, 403), "status for a token that ran out: 401 or 403")
	set.StringVar(&o.ErrorKey, "error-key", orDefault(o.ErrorKey, "error"), "key of a refused grant's text: error or message")
	set.BoolVar(&o.RequireTLS, "require-tls", o.RequireTLS, "hide the token endpoint from plain HTTP")
	set.StringVar(&o.Version, "server-version", orDefault(o.Version, defaultVersion), "version that the server gives")
	set.BoolVar(&o.HideVersion, "hide-version", o.HideVersion, "give no version")
	set.StringVar(&o.Health, "health", orDefault(o.Health, HealthJSON), "answer of the health check: json, text or unhealthy")
	set.IntVar(&o.Remember, "remember", orDefault(o.Remember, defaultRemember), "dead tokens still told from unknown ones")
	set.IntVar(&o.JournalSize, "journal-size", orDefault(o.JournalSize, defaultJournalSize), "requests kept in the journal")
}

func (o *Options) tokenFlags(set *flag.FlagSet) {
	set.DurationVar(&o.TokenLifetime, "token-lifetime", orDefault(o.TokenLifetime, DefaultTokenLifetime), "lifetime of an access token")
	set.DurationVar(&o.LeastLifetime, "least-lifetime", o.LeastLifetime,
		"if set, each access token lasts from this to the token lifetime, by chance")
	set.IntVar(&o.TokenSize, "token-size", orDefault(o.TokenSize, defaultTokenSize), "characters of a token")
	set.BoolVar(&o.Unlimited, "unlimited", o.Unlimited, "unlimited API session timeout: tokens last, no refresh tokens")
	set.StringVar(&o.UnlimitedExpiresIn, "unlimited-expires-in", orDefault(o.UnlimitedExpiresIn, ExpiresInAbsent),
		"expires_in when unlimited: absent, huge, zero or minus-one")
	set.BoolVar(&o.ExpiresInAsString, "expires-in-as-string", o.ExpiresInAsString, "send expires_in as a JSON string")
	set.StringVar(&o.ExpiresInOverride, "expires-in-override", o.ExpiresInOverride, "raw JSON to send as expires_in, or absent")
	set.BoolVar(&o.ExactExpiresIn, "exact-expires-in", o.ExactExpiresIn, "expires_in is the lifetime itself, not a second less")
}

func (o *Options) refreshFlags(set *flag.FlagSet) {
	set.DurationVar(&o.RefreshLifetime, "refresh-lifetime", o.RefreshLifetime, "lifetime of a refresh token; 0 is 15 minutes more than the access token's")
	set.Var(&optionalInt{&o.MaxRefreshes, DefaultMaxRefreshes}, "max-refreshes", "refresh grants per login; 0 none, negative without limit")
	set.BoolVar(&o.RefreshDisabled, "refresh-disabled", o.RefreshDisabled, "issue and accept no refresh tokens")
	set.BoolVar(&o.RevokeOldOnRefresh, "revoke-old-on-refresh", o.RevokeOldOnRefresh, "a refresh ends the access token it replaces")
	set.BoolVar(&o.RefreshReuseKillsChain, "refresh-reuse-kills-chain", o.RefreshReuseKillsChain,
		"a spent refresh token sent again ends every token of its login")
	set.BoolVar(&o.OmitRefreshTokenOnLast, "omit-refresh-token-on-last", o.OmitRefreshTokenOnLast,
		"the last permitted grant has no refresh_token, rather than one that fails")
	set.BoolVar(&o.RevocationKillsRefresh, "revocation-kills-refresh", o.RevocationKillsRefresh, "oauth-expiration also ends the refresh token")
	set.BoolVar(&o.LockoutStopsRefresh, "lockout-stops-refresh", o.LockoutStopsRefresh, "refuse the refresh tokens of a locked account")
	set.BoolVar(&o.RefreshFailuresCount, "refresh-failures-count", o.RefreshFailuresCount, "a refused refresh counts as a login failure")
}

func (o *Options) loginFlags(set *flag.FlagSet) {
	set.IntVar(&o.MaxLoginFailures, "max-login-failures", orDefault(o.MaxLoginFailures, DefaultMaxLoginFailures),
		"refused logins until an account is locked; negative never")
	set.DurationVar(&o.LockoutDuration, "lockout-duration", orDefault(o.LockoutDuration, DefaultLockoutDuration),
		"time until a locked account is free; negative until unlocked")
	set.BoolVar(&o.ApplicationAccountsOnly, "application-accounts-only", o.ApplicationAccountsOnly, "refuse logins of other accounts")
	set.BoolVar(&o.OTPSingleUse, "otp-single-use", o.OTPSingleUse, "refuse a one-time code used before")
	set.BoolVar(&o.PasswordChangeWipesTokens, "password-change-wipes-tokens", o.PasswordChangeWipesTokens,
		"forget an account's tokens when its password changes")
}

// settings are the behaviour in force, by flag name.
func (o Options) settings() map[string]string {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	o.Flags(set)
	values := map[string]string{}
	set.VisitAll(func(f *flag.Flag) { values[f.Name] = f.Value.String() })
	return values
}

// set changes behaviour by flag name. Values not named stay as they are.
func (o *Options) set(values map[string]string) error {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	o.Flags(set)
	for name, value := range values {
		if err := set.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// optionalInt is the flag.Value of a number whose absence has a meaning.
type optionalInt struct {
	value    **int
	fallback int
}

func (v *optionalInt) String() string {
	switch {
	case v.value == nil: // the zero optionalInt, which package flag asks for its text
		return ""
	case *v.value == nil:
		return strconv.Itoa(v.fallback)
	}
	return strconv.Itoa(**v.value)
}

func (v *optionalInt) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	*v.value = &n
	return nil
}
