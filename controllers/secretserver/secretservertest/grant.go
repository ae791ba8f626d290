package secretservertest

import (
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxRequestBody is far above any grant request.
const maxRequestBody = 1 << 20

// Texts of refused grants. The first is documented; the others are Katana's, and
// a client must not depend on them.
const (
	loginFailed          = "Login failed."
	invalidGrant         = "invalid_grant"
	invalidRequest       = "invalid_request"
	unsupportedGrantType = "unsupported_grant_type"
)

// tokenCall reads a request to the token endpoint. The form counts whatever the
// content type, and whatever the method, as with Katana.
func (s *Server) tokenCall(r *http.Request) call {
	c := call{route: tokenPath, operation: Other}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody))
	if err != nil {
		c.process = func() reply { return s.refuse(Malformed, invalidRequest) }
		return c
	}
	c.body = body
	form, err := url.ParseQuery(string(body))
	if err != nil {
		c.process = func() reply { return s.refuse(Malformed, invalidRequest) }
		return c
	}
	switch form.Get("grant_type") { // compared with regard to case
	case "password":
		who := Account{Username: form.Get("username"), Domain: form.Get("domain")}
		c.operation = Password
		c.account = s.knownName(who)
		c.process = func() reply { return s.login(who, form.Get("password"), r.Header.Get("OTP")) }
	case "refresh_token":
		raw := form.Get("refresh_token")
		c.operation = Refresh
		c.presented = raw
		arrival := s.arrive(raw)
		c.account = arrival.account
		c.process = func() reply { return s.refresh(raw, arrival.resent) }
	default:
		c.process = func() reply { return s.refuse(Unsupported, unsupportedGrantType) }
	}
	return c
}

// refuse answers a grant that is nobody's.
func (s *Server) refuse(result Result, text string) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal(result, text)
}

func (s *Server) refusal(result Result, text string) reply {
	return refusal(result, orDefault(s.options.ErrorKey, "error"), text)
}

// knownName is the account's name, "" when there is no such account: what a
// client sends as a username may be anything, a mistyped password included.
func (s *Server) knownName(who Account) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.accounts[who.key()]; ok {
		return a.Name()
	}
	return ""
}

// login is the password grant. It tells no cause of a refusal from another.
func (s *Server) login(who Account, password, otp string) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.settle()
	a, ok := s.accounts[who.key()]
	if !ok {
		s.stats.FailedLogins[unknownAccount]++
		return s.refusal(UnknownUser, loginFailed)
	}
	result := a.admit(password, otp, now, &s.options)
	if result == Granted {
		return s.grant(a, &chain{}, now)
	}
	s.failLogin(a, result, now)
	answer := s.refusal(result, loginFailed)
	answer.account = a.Name()
	return answer
}

// failLogin counts a refused login, towards the lockout too if the credentials
// were at fault.
func (s *Server) failLogin(a *account, result Result, now time.Time) {
	s.stats.FailedLogins[a.Name()]++
	if result != WrongPassword && result != WrongOTP {
		return
	}
	if a.fail(now, &s.options) {
		s.stats.Lockouts[a.Name()]++
	}
}

// arrival is what is known of a refresh token when it comes in, before any fault.
type arrival struct {
	account string
	resent  bool // it had been spent, and was counted as sent again
}

// arrive keeps the count of refresh tokens that come more than once.
func (s *Server) arrive(raw string) arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	t := s.tokens.find(raw)
	if t == nil || t.kind != refreshToken {
		return arrival{}
	}
	t.seen++
	if t.seen == 2 {
		s.stats.RefreshTokensSeenTwice++
	}
	if t.fate == spent {
		s.stats.SpentRefreshTokensResent++
	}
	return arrival{account: t.account.Name(), resent: t.fate == spent}
}

// refresh is the refresh_token grant. The token is spent by its success only.
func (s *Server) refresh(raw string, resent bool) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.settle()
	t := s.tokens.find(raw)
	result := s.refreshable(t, now)
	if result == Granted {
		s.tokens.end(t, spent)
		if s.options.RevokeOldOnRefresh {
			s.tokens.end(t.peer, superseded)
		}
		t.chain.refreshes++
		return s.grant(t.account, t.chain, now)
	}
	if result == TokenSpent {
		if !resent { // it lost a race against its twin
			s.stats.SpentRefreshTokensResent++
		}
		if s.options.RefreshReuseKillsChain {
			s.tokens.endChain(t.chain)
		}
	}
	text := invalidGrant
	if result == LimitReached {
		text = invalidRequest
	}
	answer := s.refusal(result, text)
	if t != nil {
		answer.account = t.account.Name()
		if s.options.RefreshFailuresCount && t.account.fail(now, &s.options) {
			s.stats.Lockouts[t.account.Name()]++
		}
	}
	return answer
}

// refreshable decides about a refresh token, nil when it is not known.
func (s *Server) refreshable(t *token, now time.Time) Result {
	o := &s.options
	switch {
	case o.RefreshDisabled || o.Unlimited:
		return RefreshOff
	case t == nil || t.kind != refreshToken || t.fate == forgotten:
		return TokenUnknown
	case t.fate == spent:
		return TokenSpent
	case t.fate == expired:
		return TokenExpired
	case t.fate != alive:
		return TokenRevoked
	case o.LockoutStopsRefresh && t.account.isLocked(now):
		return AccountLocked
	case !o.mayRefresh(t.chain.refreshes):
		return LimitReached
	}
	return Granted
}

// grant issues the tokens of a login or a refresh. The lock is held.
func (s *Server) grant(a *account, c *chain, now time.Time) reply {
	o := &s.options
	size := orDefault(o.TokenSize, defaultTokenSize)
	lifetime := s.lifetime()
	g := grant{tokenType: quote("bearer"), expiresIn: o.expiresIn(lifetime)}
	rawAccess, access := s.tokens.issue(accessToken, size, a, c, s.expiry(now, lifetime))
	g.accessToken = quote(rawAccess)
	if o.issuesRefreshToken(c.refreshes) {
		rawRefresh, refresh := s.tokens.issue(refreshToken, size, a, c, s.expiry(now, o.refreshLifetime()))
		g.refreshToken = quote(rawRefresh)
		access.peer, refresh.peer = refresh, access
	}
	answer := grantReply(g)
	answer.account = a.Name()
	answer.issued = Fingerprint(rawAccess)
	return answer
}
