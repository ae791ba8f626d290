package secretservertest

import (
	"maps"
	"slices"
	"time"
)

// unknownAccount stands for every username that no account has.
const unknownAccount = "(unknown)"

// Stats counts what the server has seen since New or ResetStats. Accounts are
// named by Account.Name; usernames that no account has count as "(unknown)".
type Stats struct {
	Grants       map[Operation]map[Result]int `json:"grants"`       // of Password and Refresh
	Requests     map[string]int               `json:"requests"`     // by path below the base; unknown ones as "other"
	Faults       map[Effect]int               `json:"faults"`       // struck, by effect
	FailedLogins map[string]int               `json:"failedLogins"` // refused password grants by account
	Lockouts     map[string]int               `json:"lockouts"`     // by account
	Locked       []string                     `json:"locked"`       // accounts locked now

	SpentRefreshTokensResent int `json:"spentRefreshTokensResent"` // times a token came again after it had been spent
	RefreshTokensSeenTwice   int `json:"refreshTokensSeenTwice"`   // distinct tokens that came more than once

	Revocations      int `json:"revocations"`
	ExpiredTokenUses int `json:"expiredTokenUses"` // requests with an access token that had run out
	RevokedTokenUses int `json:"revokedTokenUses"` // ... that had been ended
	UnknownTokenUses int `json:"unknownTokenUses"` // ... that was never issued, or none at all

	Connections int `json:"connections"` // TCP connections accepted
	InFlight    int `json:"inFlight"`    // requests being answered now
	MaxInFlight int `json:"maxInFlight"`

	LiveTokens    map[string]int `json:"liveTokens"`    // access tokens by account
	MaxLiveTokens map[string]int `json:"maxLiveTokens"` // the most there were at a time
}

// Granted is how many grants of a kind succeeded.
func (t Stats) Granted(o Operation) int {
	return t.Grants[o][Granted]
}

// Refused is how many grants of a kind were decided and refused.
func (t Stats) Refused(o Operation) int {
	refused := 0
	for result, count := range t.Grants[o] {
		if result != Granted && result != Unprocessed {
			refused += count
		}
	}
	return refused
}

// Entry is one request in the journal. Tokens stand in it as fingerprints.
type Entry struct {
	Time      time.Time `json:"time"` // of the answer, by the server's clock
	Operation Operation `json:"operation"`
	Path      string    `json:"path"`
	Account   string    `json:"account,omitempty"`
	Result    Result    `json:"result"`
	Status    int       `json:"status,omitempty"` // as sent; 0 for a dropped connection
	Fault     *Effect   `json:"fault,omitempty"`
	UserAgent string    `json:"userAgent,omitempty"`
	Presented string    `json:"presented,omitempty"` // the bearer or refresh token sent
	Issued    string    `json:"issued,omitempty"`    // the access token granted
}

const defaultJournalSize = 1024

// emptyStats has its maps made.
func emptyStats() Stats {
	return Stats{
		Grants:       map[Operation]map[Result]int{Password: {}, Refresh: {}},
		Requests:     map[string]int{},
		Faults:       map[Effect]int{},
		FailedLogins: map[string]int{},
		Lockouts:     map[string]int{},
	}
}

// Stats is a copy, true at one moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.settle()
	t := s.stats
	t.Grants = map[Operation]map[Result]int{}
	for operation, results := range s.stats.Grants {
		t.Grants[operation] = maps.Clone(results)
	}
	t.Requests = maps.Clone(t.Requests)
	t.Faults = maps.Clone(t.Faults)
	t.FailedLogins = maps.Clone(t.FailedLogins)
	t.Lockouts = maps.Clone(t.Lockouts)
	t.Locked = []string{}
	t.LiveTokens, t.MaxLiveTokens = map[string]int{}, map[string]int{}
	for _, a := range s.accounts {
		if a.isLocked(now) {
			t.Locked = append(t.Locked, a.Name())
		}
		t.LiveTokens[a.Name()] = a.live
		t.MaxLiveTokens[a.Name()] = a.maxLive
	}
	slices.Sort(t.Locked)
	return t
}

// ResetStats counts from zero again and empties the journal. Tokens, failures
// that count towards a lockout, and faults stay.
func (s *Server) ResetStats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	inFlight := s.stats.InFlight
	s.stats = emptyStats()
	s.stats.InFlight, s.stats.MaxInFlight = inFlight, inFlight
	for _, a := range s.accounts {
		a.maxLive = a.live
	}
	s.journal, s.journalStart = nil, 0
}

// Journal is the latest requests answered, oldest first, at most
// Options.JournalSize of them.
func (s *Server) Journal() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.journal[s.journalStart:], s.journal[:s.journalStart])
}

// note enters an answer in the books, before it is written: a client that has the
// answer finds it counted.
func (s *Server) note(c *call, answer *reply, f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Requests[c.route]++
	if results, ok := s.stats.Grants[c.operation]; ok {
		results[answer.result]++
	}
	e := Entry{
		Time: s.options.now(), Operation: c.operation, Path: c.route, Account: answer.account,
		Result: answer.result, Status: answer.status, UserAgent: c.userAgent, Issued: answer.issued,
	}
	if c.presented != "" {
		e.Presented = Fingerprint(c.presented)
	}
	if f != nil {
		s.stats.Faults[f.Effect]++
		e.Fault = &f.Effect
	}
	s.record(e)
}

// record keeps the journal as a ring. The lock is held.
func (s *Server) record(e Entry) {
	size := orDefault(s.options.JournalSize, defaultJournalSize)
	if len(s.journal) < size {
		s.journal = append(s.journal, e)
		return
	}
	s.journal[s.journalStart] = e
	s.journalStart = (s.journalStart + 1) % size
}
