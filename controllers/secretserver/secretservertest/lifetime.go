package secretservertest

import "time"

// TokenValid tells whether an access token would be accepted now. Asking is free:
// it is not counted as a use.
func (s *Server) TokenValid(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.expire(s.options.now())
	t := s.tokens.find(token)
	return t != nil && t.kind == accessToken && t.fate == alive
}

// ExpireToken makes the time of an access or refresh token run out now. It
// reports false when the token was not live.
func (s *Server) ExpireToken(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.expire(s.options.now())
	t := s.tokens.find(token)
	if t == nil || t.fate != alive {
		return false
	}
	s.tokens.end(t, expired)
	return true
}

// RevokeAll forgets every token, as a server does that was restored from a
// backup, and returns how many were live.
func (s *Server) RevokeAll() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.expire(s.options.now())
	return s.tokens.forget(func(*token) bool { return true })
}

// Plant makes two tokens known, as if a login of the account had been answered with them now: a client that has kept them from
// elsewhere finds them good. They count as no grant. It reports false when there is no such account.
func (s *Server) Plant(user, access, refresh string) bool {
	return s.withAccount(user, func(a *account) {
		now := s.settle()
		c := &chain{}
		one := s.tokens.admit(accessToken, access, a, c, s.expiry(now, s.options.tokenLifetime()))
		other := s.tokens.admit(refreshToken, refresh, a, c, s.expiry(now, s.options.refreshLifetime()))
		one.peer, other.peer = other, one
	})
}

// lifetime is that of the next access token. Those of different lengths keep sessions that began together from renewing
// together. The lock is held.
func (s *Server) lifetime() time.Duration {
	least, most := s.options.LeastLifetime, s.options.tokenLifetime()
	if least == 0 || least == most {
		return most
	}
	return least + time.Duration(s.dice.Int64N(int64(most-least)))
}

// expiry is when something granted now with this lifetime ends; zero is never.
func (s *Server) expiry(now time.Time, lifetime time.Duration) time.Time {
	if s.options.Unlimited {
		return time.Time{}
	}
	return now.Add(lifetime)
}
