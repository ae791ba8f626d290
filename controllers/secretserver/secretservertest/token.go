package secretservertest

import (
	"container/heap"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"
)

const (
	defaultTokenSize = 256
	defaultRemember  = 1 << 18
)

// Fingerprint names a token in statistics, journals and test output without
// giving it away: the first eight hexadecimal digits of its SHA-256.
func Fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:4])
}

// tokenID stands for a token, which is itself never kept.
type tokenID [16]byte

func idOf(raw string) tokenID {
	sum := sha256.Sum256([]byte(raw))
	return tokenID(sum[:16])
}

type tokenKind int

const (
	accessToken tokenKind = iota
	refreshToken
)

// fate is what has become of a token. The first one that befalls it stays.
type fate int

const (
	alive      fate = iota
	expired         // its time ran out
	spent           // a refresh token that was exchanged
	revoked         // ended by oauth-expiration, or with the token it was granted with
	superseded      // an access token ended by its own refresh
	forgotten       // the server no longer knows it
)

// chain is one login and the grants refreshed from it.
type chain struct {
	refreshes int
}

type token struct {
	id      tokenID
	kind    tokenKind
	fate    fate
	account *account
	chain   *chain
	peer    *token    // granted together with this one
	expires time.Time // zero: never
	seen    int       // how often a refresh token has been presented
	place   int       // in the ledger's heap, -1 when not there
	next    *token    // in the ledger's queue of the dead
}

// ledger holds the tokens issued: every live one, and the most recently dead so
// that "expired" and "spent" can be told from "unknown". Its size is bounded by
// the live tokens plus remember. The server's lock guards it.
type ledger struct {
	remember  int
	tokens    map[tokenID]*token
	expiries  expiryHeap // live tokens that will expire
	firstDead *token
	lastDead  *token
	dead      int
}

func newLedger() *ledger {
	return &ledger{tokens: map[tokenID]*token{}}
}

// issue makes a token of size characters. A zero expires means never.
func (l *ledger) issue(kind tokenKind, size int, a *account, c *chain, expires time.Time) (string, *token) {
	prefix := ""
	if kind == accessToken {
		prefix = "Ag" // as every published sample begins
	}
	raw := opaque(prefix, size)
	return raw, l.admit(kind, raw, a, c, expires)
}

// admit makes a token known.
func (l *ledger) admit(kind tokenKind, raw string, a *account, c *chain, expires time.Time) *token {
	t := &token{id: idOf(raw), kind: kind, account: a, chain: c, expires: expires, place: -1}
	l.tokens[t.id] = t
	if !expires.IsZero() {
		heap.Push(&l.expiries, t)
	}
	if kind == accessToken {
		a.live++
		a.maxLive = max(a.maxLive, a.live)
	}
	return t
}

// opaque is a random string of the base64url alphabet.
func opaque(prefix string, size int) string {
	random := make([]byte, (size-len(prefix))*3/4+1)
	rand.Read(random) // documented never to fail
	return (prefix + base64.RawURLEncoding.EncodeToString(random))[:size]
}

// find returns nil for a token that was never issued, or died long ago.
func (l *ledger) find(raw string) *token {
	return l.tokens[idOf(raw)]
}

// end gives a live token its fate. A dead or a nil one is left as it is.
func (l *ledger) end(t *token, f fate) {
	if t == nil || t.fate != alive {
		return
	}
	t.fate = f
	if t.kind == accessToken {
		t.account.live--
	}
	if t.place >= 0 {
		heap.Remove(&l.expiries, t.place)
	}
	if l.lastDead == nil {
		l.firstDead = t
	} else {
		l.lastDead.next = t
	}
	l.lastDead = t
	l.dead++
	l.bury()
}

// bury drops the longest dead beyond the number to remember.
func (l *ledger) bury() {
	for l.dead > orDefault(l.remember, defaultRemember) {
		t := l.firstDead
		l.firstDead = t.next // there is one: at least one is remembered
		t.next, t.peer = nil, nil
		delete(l.tokens, t.id)
		l.dead--
	}
}

// expire ends the tokens whose time has come. A token is good until the instant
// of its expiry, exclusively.
func (l *ledger) expire(now time.Time) {
	for len(l.expiries) > 0 && !now.Before(l.expiries[0].expires) {
		l.end(l.expiries[0], expired)
	}
}

// each visits the live tokens.
func (l *ledger) each(visit func(*token)) {
	for _, t := range l.tokens {
		if t.fate == alive {
			visit(t)
		}
	}
}

// endChain ends the live tokens of one login.
func (l *ledger) endChain(c *chain) {
	l.each(func(t *token) {
		if t.chain == c {
			l.end(t, revoked)
		}
	})
}

// forget ends the live tokens that match, as if they had never been issued.
func (l *ledger) forget(match func(*token) bool) int {
	count := 0
	l.each(func(t *token) {
		if match(t) {
			l.end(t, forgotten)
			count++
		}
	})
	return count
}

// expiryHeap is a heap.Interface with the earliest expiry first.
type expiryHeap []*token

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *expiryHeap) Push(x any) {
	t, _ := x.(*token)
	t.place = len(*h)
	*h = append(*h, t)
}

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.place = -1
	return t
}
