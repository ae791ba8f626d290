package secretservertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Operation is what a request asks for.
type Operation string

// Operations. Any and Grant stand for several in a Fault.
const (
	Any      Operation = "any"
	Grant    Operation = "grant"    // Password and Refresh
	Password Operation = "password" // POST oauth2/token, grant_type=password
	Refresh  Operation = "refresh"  // POST oauth2/token, grant_type=refresh_token
	Verify   Operation = "verify"   // GET users/current
	Revoke   Operation = "revoke"   // POST oauth-expiration
	Read     Operation = "read"     // GET secrets
	Version  Operation = "version"
	Health   Operation = "health"
	Other    Operation = "other"
)

// Effect is what a Fault does to the answer.
type Effect string

// Effects. The ones that need the true answer (Pass, Half, Truncate, Alter) let
// the request take effect; with the others it does not, unless the fault says
// Processed.
const (
	Pass     Effect = ""         // the true answer: for a fault that is only a delay
	Status   Effect = "status"   // Status, Header and Body instead
	Drop     Effect = "drop"     // the connection is reset, nothing is sent
	Half     Effect = "half"     // half of the true answer, then the connection is reset
	Truncate Effect = "truncate" // half of the true body, complete as far as HTTP can tell
	HTML     Effect = "html"     // a web page with status 200
	Huge     Effect = "huge"     // the true body, if any, behind Size bytes of padding
	Drip     Effect = "drip"     // a body that never ends, a byte at a time
	Reflect  Effect = "reflect"  // an error with the request's body in its text
	Alter    Effect = "alter"    // a true grant with TokenType, ExpiresIn, Omit and TokenNewline applied
)

const defaultHugeSize = 8 << 20

// Fault is misbehaviour on demand. The first fault that matches a request is
// the only one that it meets.
type Fault struct {
	Operation   Operation `json:"operation,omitempty"`   // default Any
	Account     string    `json:"account,omitempty"`     // only requests of this account, by Account.Name
	Count       int       `json:"count,omitempty"`       // how often; 0 until cleared
	Probability float64   `json:"probability,omitempty"` // of striking, in (0, 1]; 0 always

	Effect    Effect        `json:"effect,omitempty"`
	Delay     time.Duration `json:"-"`                   // before the request takes effect; "delay" in JSON, as 1.5s
	Processed bool          `json:"processed,omitempty"` // the request takes effect first, before any delay

	Status int               `json:"status,omitempty"` // of Status, HTML, Reflect, Huge and Drip
	Header map[string]string `json:"header,omitempty"` // added to any answer
	Body   string            `json:"body,omitempty"`   // of Status; default a web page
	Size   int64             `json:"size,omitempty"`   // of Huge, in bytes; default 8 MiB

	TokenType    string   `json:"tokenType,omitempty"`    // of Alter
	ExpiresIn    string   `json:"expiresIn,omitempty"`    // of Alter, raw JSON
	Omit         []string `json:"omit,omitempty"`         // of Alter, such as access_token
	TokenNewline bool     `json:"tokenNewline,omitempty"` // of Alter: a line break inside the access token
}

// Validate reports a fault that could not do what it says.
func (f *Fault) Validate() error {
	var errs []error
	if !slices.Contains([]Operation{"", Any, Grant, Password, Refresh, Verify, Revoke, Read, Version, Health, Other}, f.Operation) {
		errs = append(errs, fmt.Errorf("operation %q is unknown", f.Operation))
	}
	if !slices.Contains([]Effect{Pass, Status, Drop, Half, Truncate, HTML, Huge, Drip, Reflect, Alter}, f.Effect) {
		errs = append(errs, fmt.Errorf("effect %q is unknown", f.Effect))
	}
	if f.Effect == Status && f.Status == 0 || f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		errs = append(errs, fmt.Errorf("status %d is not that of a final answer", f.Status))
	}
	if f.Count < 0 || f.Probability < 0 || f.Probability > 1 || f.Delay < 0 || f.Size < 0 {
		errs = append(errs, errors.New("count, probability, delay or size is out of range"))
	}
	for _, field := range f.Omit {
		if !oneOf(field, "access_token", "token_type", "expires_in", "refresh_token") {
			errs = append(errs, fmt.Errorf("a grant has no field %q", field))
		}
	}
	return errors.Join(errs...)
}

// plainFault is Fault without its JSON methods.
type plainFault Fault

type wireFault struct {
	plainFault
	Delay string `json:"delay,omitempty"`
}

// MarshalJSON writes the delay as a duration string.
func (f Fault) MarshalJSON() ([]byte, error) {
	wire := wireFault{plainFault: plainFault(f)}
	if f.Delay != 0 {
		wire.Delay = f.Delay.String()
	}
	return json.Marshal(wire)
}

// UnmarshalJSON accepts the known fields only.
func (f *Fault) UnmarshalJSON(data []byte) error {
	var wire wireFault
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wire); err != nil {
		return err
	}
	*f = Fault(wire.plainFault)
	if wire.Delay == "" {
		return nil
	}
	delay, err := time.ParseDuration(wire.Delay)
	f.Delay = delay
	return err
}

// matches tells whether the fault concerns a request.
func (f *Fault) matches(c *call) bool {
	if f.Account != "" && f.Account != c.account {
		return false
	}
	switch f.Operation {
	case "", Any:
		return true
	case Grant:
		return c.operation == Password || c.operation == Refresh
	default:
		return f.Operation == c.operation
	}
}

// needsAnswer tells whether the effect is made of the true answer.
func (e Effect) needsAnswer() bool {
	return e == Pass || e == Half || e == Truncate || e == Alter
}

// faults are the rules in force, in the order given. The server's lock guards them.
type faults struct {
	rules []*Fault
	dice  *rand.Rand
}

// strike finds the fault that a request meets, nil for none.
func (f *faults) strike(c *call) *Fault {
	for i, rule := range f.rules {
		if !rule.matches(c) || rule.Probability > 0 && f.dice.Float64() >= rule.Probability {
			continue
		}
		struck := *rule
		if rule.Count == 1 {
			f.rules = slices.Delete(f.rules, i, i+1)
		} else if rule.Count > 1 {
			rule.Count--
		}
		return &struck
	}
	return nil
}

// Inject adds faults behind those in force. It panics at one that Validate
// refuses: that is a mistake in the test.
func (s *Server) Inject(list ...Fault) {
	for i := range list {
		if err := list[i].Validate(); err != nil {
			panic("secretservertest: " + err.Error())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range list {
		s.faults.rules = append(s.faults.rules, &f)
	}
}

// Faults are those in force, each with the count that remains.
func (s *Server) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Fault, len(s.faults.rules))
	for i, rule := range s.faults.rules {
		list[i] = *rule
	}
	return list
}

// ClearFaults ends all faults. Requests that have already met one are not freed.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.rules = nil
}
