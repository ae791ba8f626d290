package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// GrantType is how an access token was had.
type GrantType string

// The grants of the token endpoint that are used.
const (
	Password     GrantType = "Password"
	RefreshToken GrantType = "RefreshToken"
)

// RefreshState tells what became of the present chain's refresh token.
type RefreshState string

const (
	// Held: the token is stored and was never sent.
	Held RefreshState = "Held"
	// Claimed: somebody set out to spend it. It may have been sent, so it must not be sent again.
	Claimed RefreshState = "Claimed"
	// NotIssued: the login returned none.
	NotIssued RefreshState = "NotIssued"
	// LimitReached: a refresh returned none, so the chain has come to its end.
	LimitReached RefreshState = "LimitReached"
)

// Identity names what a login is made with, without holding any of it: a changed identity is a reason to look at the
// credentials, not yet a reason to log in.
type Identity struct {
	// Source is a digest of the base URL, the domain, and the names of the credentials Secret and its keys.
	Source string `json:"source"`
	// Version is the UID and resource version of the credentials Secret.
	Version string `json:"version"`
}

// Attempt is a login that was begun and not followed by a success.
type Attempt struct {
	Identity Identity `json:"identity"`
	// Account is a digest of base URL, domain and user name: sessions that share an account share its lockout.
	Account string `json:"account"`
	// At is when the login was begun or, if Refused, when the refusal became known.
	At time.Time `json:"at"`
	// Refused means that Secret Server answered no. Otherwise the answer is not known, or does not matter.
	Refused bool `json:"refused,omitempty"`
	// Bad is how many logins of the account may have counted as bad ones at Secret Server by then, this one included.
	Bad int `json:"bad,omitempty"`
}

// Record is all that is stored of a session but its secrets. The zero Record is a session that never logged in.
type Record struct {
	// Identity of the login that began the present chain.
	Identity Identity `json:"identity"`
	// Account is a digest of base URL, domain and user name of that login.
	Account string `json:"account,omitempty"`
	// Token is a digest of the access token: one that does not match was not stored with this record.
	Token string `json:"token,omitempty"`
	// ServerURL is the base URL that the access token belongs to.
	ServerURL string `json:"serverURL,omitempty"`
	// Grant is how the present access token was had; empty when there is none.
	Grant GrantType `json:"grant,omitempty"`
	// IssuedAt is just before the request for the present access token was sent, ExpiresAt when it expires.
	IssuedAt  time.Time `json:"issuedAt,omitzero"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// EndedAt is when Secret Server said that the present access token is dead, though its time was not over; zero: it
	// did not.
	EndedAt time.Time `json:"endedAt,omitzero"`
	// Refresh is the state of the chain's refresh token, RefreshExpiresAt when the token expires if it is held.
	Refresh          RefreshState `json:"refresh,omitempty"`
	RefreshExpiresAt time.Time    `json:"refreshExpiresAt,omitzero"`
	// RefreshesSinceLogin counts in the chain; Logins and Refreshes in the object's life.
	RefreshesSinceLogin int64     `json:"refreshesSinceLogin,omitempty"`
	Logins              int64     `json:"logins,omitempty"`
	Refreshes           int64     `json:"refreshes,omitempty"`
	LastLoginAt         time.Time `json:"lastLoginAt,omitzero"`
	LastRefreshAt       time.Time `json:"lastRefreshAt,omitzero"`
	// Attempt is the last login, unless it succeeded.
	Attempt *Attempt `json:"attempt,omitempty"`
	// CodeStep is the time step of the last one-time code that was sent, or set aside to be sent: it is never sent again.
	CodeStep int64 `json:"codeStep,omitempty"`
	// Former is the token that the present chain has replaced, until it is revoked.
	Former *Former `json:"former,omitempty"`
	// Handled is the refresh request that was acted on last.
	Handled string `json:"handled,omitempty"`
}

// HasToken reports whether an access token is stored.
func (r Record) HasToken() bool { return r.Grant != "" }

// Sequence numbers the grants of an object's life: it tells whether two records speak of the same access token.
func (r Record) Sequence() int64 { return r.Logins + r.Refreshes }

// ErrRecord is what Decode returns for bytes that are no record of a known format.
var ErrRecord = errors.New("not a session record")

// format is the version of the stored form. A release reads what the last release wrote.
const format = 1

type envelope struct {
	Format int `json:"format"`
	Record
}

// Encode returns the stored form of a record. It refuses one that Decode would refuse.
func (r Record) Encode() (string, error) {
	if err := r.check(); err != nil {
		return "", err
	}
	text, err := json.Marshal(envelope{Format: format, Record: r})
	if err != nil {
		return "", fmt.Errorf("encode session record: %w", err)
	}
	return string(text), nil
}

// Decode reads the stored form. Any error is ErrRecord: what cannot be read, or cannot be true, is no session.
func Decode(text string) (Record, error) {
	var e envelope
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return Record{}, fmt.Errorf("%w: malformed", ErrRecord)
	}
	if e.Format != format {
		return Record{}, fmt.Errorf("%w: format %d", ErrRecord, e.Format)
	}
	if err := e.check(); err != nil {
		return Record{}, err
	}
	return e.Record, nil
}

func (r Record) check() error {
	switch r.Grant {
	case "", Password, RefreshToken:
	default:
		return fmt.Errorf("%w: unknown grant", ErrRecord)
	}
	switch r.Refresh {
	case "", Held, Claimed, NotIssued, LimitReached:
	default:
		return fmt.Errorf("%w: unknown refresh state", ErrRecord)
	}
	if r.HasToken() && !r.ExpiresAt.After(r.IssuedAt) {
		return fmt.Errorf("%w: expires before it was issued", ErrRecord)
	}
	if r.RefreshesSinceLogin < 0 || r.Logins < 0 || r.Refreshes < 0 || r.CodeStep < 0 || (r.Attempt != nil && r.Attempt.Bad < 0) {
		return fmt.Errorf("%w: negative count", ErrRecord)
	}
	return nil
}
