package secretservertest

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Server is a Secret Server. It may be mounted anywhere as an http.Handler, or
// listen by itself: see Start and StartTLS. All methods are safe for concurrent
// use.
type Server struct {
	mu            sync.Mutex // guards everything down to the blank line
	options       Options    // Accounts are in accounts instead
	accounts      map[string]*account
	lastAccountID int
	tokens        *ledger
	faults        faults
	dice          *rand.Rand // of lifetimes
	stats         Stats
	journal       []Entry // a ring once full
	journalStart  int     // of its oldest entry
	closed        bool

	closing  chan struct{} // closed by Close
	handlers sync.WaitGroup

	lifecycle sync.Mutex // guards what follows; never taken while mu is held
	front     *front     // nil while not listening
	address   string     // of the first front, kept by later ones
	authority *authority // nil for plain HTTP
}

// New makes a Server, which does not listen yet. It panics at options that
// Validate refuses: that is a mistake in the test.
func New(o Options) *Server {
	s := &Server{
		tokens:  newLedger(),
		stats:   emptyStats(),
		faults:  faults{dice: rand.New(rand.NewPCG(o.Seed, o.Seed))}, // #nosec G404 -- repeatable, not secret
		dice:    rand.New(rand.NewPCG(o.Seed, 1)),                    // #nosec G404 -- the same
		closing: make(chan struct{}),
	}
	s.Configure(func(current *Options) { *current = o })
	return s
}

// Configure changes options at run time; tokens already issued keep their times.
// The function sees the accounts as they are now, and may change them too. It
// must not call the Server. Configure panics at options that Validate refuses,
// and then changes nothing.
func (s *Server) Configure(change func(*Options)) {
	err := s.configure(func(o *Options) error {
		change(o)
		return nil
	})
	if err != nil {
		panic("secretservertest: " + err.Error())
	}
}

func (s *Server) configure(change func(*Options) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.options
	next.Accounts = s.accountList()
	if err := change(&next); err != nil {
		return err
	}
	if err := next.Validate(); err != nil {
		return err
	}
	resized := next.JournalSize != s.options.JournalSize
	s.options = next
	s.setAccounts(next.Accounts)
	s.options.Accounts = nil
	s.tokens.remember = next.Remember
	if resized {
		s.journal, s.journalStart = nil, 0
	}
	return nil
}

// Options are those in force, accounts included.
func (s *Server) Options() Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.options
	o.Accounts = s.accountList()
	return o
}

// settle brings the tokens up to the present, which it returns. The lock is held.
func (s *Server) settle() time.Time {
	now := s.options.now()
	s.tokens.expire(now)
	return now
}

// call is a request understood, and how to answer it.
type call struct {
	route     string
	operation Operation
	userAgent string
	account   string // that the request is about, "" when it is nobody's
	presented string // the token that came with it; a secret
	body      []byte // of a request to the token endpoint; holds secrets
	process   func() reply
}

// ServeHTTP answers one request. After Close it answers 503.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, "closed", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	s.date(w)
	c := s.call(r)
	c.userAgent = r.UserAgent()
	if f := s.strike(&c); f != nil {
		s.suffer(w, r, &c, f)
		return
	}
	answer := c.process()
	s.note(&c, &answer, nil)
	answer.write(w)
}

// date puts the server's clock into the answer, if it has one of its own.
func (s *Server) date(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.Clock != nil {
		w.Header().Set("Date", s.options.Clock().UTC().Format(http.TimeFormat))
	}
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.handlers.Add(1)
	s.stats.InFlight++
	s.stats.MaxInFlight = max(s.stats.MaxInFlight, s.stats.InFlight)
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	s.stats.InFlight--
	s.mu.Unlock()
	s.handlers.Done()
}

func (s *Server) strike(c *call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.strike(c)
}
