package controllers

import (
	"fmt"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

const (
	crashUser = "billing"

	// What must turn up nowhere but where it belongs begins with these.
	passwordMark = "PASSWORD-"
	refreshMark  = "REFRESH-"
	accessMark   = "ACCESS-"

	lockoutThreshold = 5 // Secret Server's default
	lockoutTime      = time.Hour
)

// vault is a model of one Secret Server with one account, as far as its token endpoint goes. It keeps time of its own:
// nobody sets it.
type vault struct {
	vaultSettings

	url      string
	down     bool
	seeded   bool           // a login needs a one-time code
	codes    map[int64]bool // time steps whose code was used
	now      func() time.Time
	password string

	issued  int
	access  map[string]time.Time // when it expires; for ever known, so that a target can be told to be of this server
	ended   map[string]bool
	refresh map[string]refreshTicket

	// What the properties speak of.
	sent      map[string]int // refresh tokens, by how often each was presented
	badLogins []time.Time    // since the last success
	lockedTo  time.Time
}

// vaultSettings are what an administrator decides.
type vaultSettings struct {
	lifetime      time.Duration // of an access token
	refreshTokens bool          // logins bring one
	refreshLimit  int           // how many refreshes follow a login
	endsOld       bool          // a refresh ends the old access token
}

// refreshTicket is a refresh token that was not used yet.
type refreshTicket struct {
	left    int
	access  string
	expires time.Time
}

func newVault(url string, settings vaultSettings, password string, now func() time.Time) *vault {
	return &vault{
		vaultSettings: settings, url: url, now: now, password: password,
		access: map[string]time.Time{}, ended: map[string]bool{}, refresh: map[string]refreshTicket{}, sent: map[string]int{}, codes: map[int64]bool{},
	}
}

// accepts tells whether a request with this access token would be served.
func (v *vault) accepts(token string) bool {
	expires, known := v.access[token]
	return known && !v.ended[token] && v.now().Before(expires)
}

func (v *vault) issue(left int) secretserver.Grant {
	v.issued++
	g := secretserver.Grant{AccessToken: fmt.Sprintf("%s%d@%s", accessMark, v.issued, v.url), TokenType: "bearer", ExpiresIn: v.lifetime}
	v.access[g.AccessToken] = v.now().Add(v.lifetime)
	if v.refreshTokens && left > 0 {
		g.RefreshToken = fmt.Sprintf("%s%d@%s", refreshMark, v.issued, v.url)
		v.refresh[g.RefreshToken] = refreshTicket{left: left - 1, access: g.AccessToken, expires: v.now().Add(v.lifetime + 15*time.Minute)}
	}
	return g
}

// authenticate is the password grant.
func (v *vault) authenticate(c secretserver.Credentials) (secretserver.Grant, error) {
	locked := v.now().Before(v.lockedTo)
	if locked || c.Username != crashUser || c.Password != v.password || (v.seeded && !v.takes(c.OTP)) {
		v.badLogins = append(v.badLogins, v.now())
		if !locked && v.badLoginsSince(v.now().Add(-lockoutTime)) >= lockoutThreshold {
			v.lockedTo = v.now().Add(lockoutTime)
		}
		return secretserver.Grant{}, status400(secretserver.PasswordGrant)
	}
	v.badLogins = nil
	return v.issue(v.refreshLimit), nil
}

// spend is the refresh grant.
func (v *vault) spend(token string) (secretserver.Grant, error) {
	ticket, valid := v.refresh[token]
	delete(v.refresh, token)
	if !valid || !v.now().Before(ticket.expires) {
		return secretserver.Grant{}, status400(secretserver.RefreshGrant)
	}
	if v.endsOld {
		v.ended[ticket.access] = true
	}
	return v.issue(ticket.left), nil
}

// forget ends every token, as a restored backup or a changed password does.
func (v *vault) forget() {
	clear(v.refresh)
	for token := range v.access {
		v.ended[token] = true
	}
}

// badLoginsSince counts those after a moment.
func (v *vault) badLoginsSince(moment time.Time) int {
	n := 0
	for _, at := range v.badLogins {
		if at.After(moment) {
			n++
		}
	}
	return n
}

func status400(operation secretserver.Operation) *secretserver.Error {
	return &secretserver.Error{Operation: operation, Kind: secretserver.Refused, Cause: secretserver.ErrorStatus, Status: 400}
}
