package secretservertest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Account is a user of the Secret Server.
type Account struct {
	Username    string   `json:"username"`
	Password    string   `json:"password"`
	Domain      string   `json:"domain,omitempty"`      // Active Directory domain; a login must name it
	OTPSeed     string   `json:"otpSeed,omitempty"`     // base32; a login then needs the OTP header
	Application bool     `json:"application,omitempty"` // may use the API only, not the web site
	Secrets     []Secret `json:"secrets,omitempty"`     // that the account may read
}

// Name is the account as the statistics show it: user, or DOMAIN\user.
func (a Account) Name() string {
	if a.Domain == "" {
		return a.Username
	}
	return a.Domain + `\` + a.Username
}

// key finds an account: names are compared without regard to case.
func (a Account) key() string {
	return strings.ToLower(a.Name())
}

func validateAccounts(accounts []Account) error {
	var errs []error
	seen := map[string]bool{}
	for i, a := range accounts {
		if a.Username == "" {
			errs = append(errs, fmt.Errorf("account %d has no username", i))
			continue
		}
		if seen[a.key()] {
			errs = append(errs, fmt.Errorf("account %s is listed twice", a.Name()))
		}
		seen[a.key()] = true
		if a.OTPSeed != "" {
			if _, err := decodeSeed(a.OTPSeed); err != nil {
				errs = append(errs, fmt.Errorf("account %s: %w", a.Name(), err))
			}
		}
		errs = append(errs, validateSecrets(a))
	}
	return errors.Join(errs...)
}

// account is an Account and what the server knows about it. The server's lock
// guards it.
type account struct {
	Account
	id          int
	otpKey      []byte
	otpUsed     int64 // the last time step whose code was accepted
	failures    int   // refused logins since the last one that worked
	locked      bool
	lockedUntil time.Time // zero: until unlocked by hand
	live        int       // access tokens
	maxLive     int
}

// become takes over a description that Validate has accepted, and keeps the rest.
func (a *account) become(described Account) {
	a.Account = described
	a.otpKey = nil
	if described.OTPSeed == "" {
		return
	}
	key, err := decodeSeed(described.OTPSeed)
	if err != nil {
		panic(err) // Validate has read it
	}
	a.otpKey = key
}

// admit decides a password login and keeps the count of failures. A login to a
// locked account is refused whatever the password, and does not lengthen the lock.
func (a *account) admit(password, otp string, now time.Time, o *Options) Result {
	if a.isLocked(now) {
		return AccountLocked
	}
	if password != a.Password {
		return WrongPassword
	}
	if !a.acceptOTP(otp, now, o.OTPSingleUse) {
		return WrongOTP
	}
	if o.ApplicationAccountsOnly && !a.Application {
		return DirectLoginDenied
	}
	a.failures = 0
	return Granted
}

func (a *account) acceptOTP(code string, now time.Time, singleUse bool) bool {
	if a.otpKey == nil {
		return true
	}
	step, ok := otpMatch(a.otpKey, code, now)
	if !ok || singleUse && step <= a.otpUsed {
		return false
	}
	a.otpUsed = step
	return true
}

// fail counts a refused login, and reports whether it locked the account.
func (a *account) fail(now time.Time, o *Options) bool {
	a.failures++
	limit := orDefault(o.MaxLoginFailures, DefaultMaxLoginFailures)
	if a.locked || limit < 0 || a.failures < limit {
		return false
	}
	a.locked = true
	a.lockedUntil = time.Time{}
	if span := orDefault(o.LockoutDuration, DefaultLockoutDuration); span > 0 {
		a.lockedUntil = now.Add(span)
	}
	return true
}

// isLocked also ends a lock that has run its time; failures then count from zero.
func (a *account) isLocked(now time.Time) bool {
	if a.locked && !a.lockedUntil.IsZero() && !now.Before(a.lockedUntil) {
		a.unlock()
	}
	return a.locked
}

func (a *account) unlock() {
	a.locked = false
	a.failures = 0
}

// SetPassword gives an account another password, as an administrator would. The
// user is named user or DOMAIN\user; a bare user finds an account of any domain.
// It reports false for an account that does not exist.
func (s *Server) SetPassword(user, password string) bool {
	return s.withAccount(user, func(a *account) {
		a.Password = password
		if s.options.PasswordChangeWipesTokens {
			s.tokens.forget(func(t *token) bool { return t.account == a })
		}
	})
}

// Unlock ends an account's lockout and clears its count of failures. It reports
// false for an account that does not exist.
func (s *Server) Unlock(user string) bool {
	return s.withAccount(user, (*account).unlock)
}

// Locked tells whether an account is locked now.
func (s *Server) Locked(user string) bool {
	locked := false
	s.withAccount(user, func(a *account) { locked = a.isLocked(s.options.now()) })
	return locked
}

// AddAccount creates an account. One of the same name takes over the new
// description and keeps its tokens and its failures.
func (s *Server) AddAccount(a Account) error {
	return s.configure(func(o *Options) error {
		o.Accounts = slices.DeleteFunc(o.Accounts, func(b Account) bool { return b.key() == a.key() })
		o.Accounts = append(o.Accounts, a)
		return nil
	})
}

func (s *Server) withAccount(user string, do func(*account)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.accounts[strings.ToLower(user)]
	if !ok {
		a, ok = s.accountOfAnyDomain(user)
	}
	if ok {
		do(a)
	}
	return ok
}

// accountOfAnyDomain is the oldest account of that username.
func (s *Server) accountOfAnyDomain(username string) (*account, bool) {
	var oldest *account
	for _, a := range s.accounts {
		if strings.EqualFold(a.Username, username) && (oldest == nil || a.id < oldest.id) {
			oldest = a
		}
	}
	return oldest, oldest != nil
}

// setAccounts makes the accounts those of the list. One that stays keeps its
// tokens and its failures; one that goes loses its tokens. The lock is held.
func (s *Server) setAccounts(list []Account) {
	next := make(map[string]*account, len(list))
	for _, described := range list {
		a, known := s.accounts[described.key()]
		if !known {
			s.lastAccountID++
			a = &account{id: s.lastAccountID}
		}
		newPassword := known && a.Password != described.Password
		a.become(described)
		if newPassword && s.options.PasswordChangeWipesTokens {
			s.tokens.forget(func(t *token) bool { return t.account == a })
		}
		next[described.key()] = a
	}
	s.tokens.forget(func(t *token) bool { return next[t.account.key()] != t.account })
	s.accounts = next
}

// accountList is the live state of the accounts as options, oldest first. The
// lock is held.
func (s *Server) accountList() []Account {
	byAge := slices.SortedFunc(maps.Values(s.accounts), func(a, b *account) int { return a.id - b.id })
	list := make([]Account, len(byAge))
	for i, a := range byAge {
		list[i] = a.Account
	}
	return list
}
