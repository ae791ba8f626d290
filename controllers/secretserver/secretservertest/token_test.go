package secretservertest

import (
	"testing"
	"time"
)

func TestLedgerRemembersOnlySoManyDead(t *testing.T) {
	l := newLedger()
	l.remember = 10
	a := &account{}
	now := time.Unix(0, 0)
	var raws []string
	for i := range 1000 {
		raw, _ := l.issue(accessToken, 32, a, &chain{}, now.Add(time.Duration(i)*time.Second))
		raws = append(raws, raw)
	}
	forever, _ := l.issue(accessToken, 32, a, &chain{}, time.Time{})
	l.expire(now.Add(899 * time.Second))
	if len(l.tokens) != 111 || l.dead != 10 || a.live != 101 || a.maxLive != 1001 {
		t.Errorf("%d tokens, %d dead, %d live, at most %d; want 111, 10, 101 and 1001", len(l.tokens), l.dead, a.live, a.maxLive)
	}
	if l.find(raws[889]) != nil || l.find(raws[890]).fate != expired || l.find(raws[900]).fate != alive {
		t.Error("want the tenth latest dead to be the last one known")
	}
	l.expire(now.Add(time.Hour))
	if len(l.expiries) != 0 || len(l.tokens) != 11 || l.find(forever).fate != alive {
		t.Errorf("%d expiries, %d tokens, want 0 and 11 with the one that never expires", len(l.expiries), len(l.tokens))
	}
}

func TestLedgerExpiresInOrderOfExpiry(t *testing.T) {
	l := newLedger()
	a := &account{}
	now := time.Unix(0, 0)
	tokens := map[time.Duration]*token{}
	for _, after := range []time.Duration{5, 1, 4, 2, 3} {
		_, tokens[after] = l.issue(refreshToken, 32, a, &chain{}, now.Add(after))
	}
	l.end(tokens[2], spent)
	l.end(tokens[2], revoked)
	l.expire(now.Add(3))
	want := map[time.Duration]fate{1: expired, 2: spent, 3: expired, 4: alive, 5: alive}
	for after, f := range want {
		if tokens[after].fate != f {
			t.Errorf("token of %d ns: fate %d, want %d", after, tokens[after].fate, f)
		}
	}
	if a.live != 0 {
		t.Errorf("refresh tokens count as %d live access tokens", a.live)
	}
}

func TestLedgerForgetsAccountsDeadTokensToo(t *testing.T) {
	l := newLedger()
	l.remember = 1
	a := &account{}
	for range 5 {
		l.issue(accessToken, 32, a, &chain{}, time.Time{})
	}
	if n := l.forget(func(*token) bool { return true }); n != 5 || len(l.tokens) != 1 || a.live != 0 {
		t.Errorf("%d forgotten, %d known, %d live; want 5, 1 and 0", n, len(l.tokens), a.live)
	}
}

func BenchmarkRefresh(b *testing.B) {
	clock := time.Unix(0, 0)
	s := New(Options{
		Clock: func() time.Time { return clock }, MaxRefreshes: new(-1), TokenLifetime: 30 * time.Second,
		Accounts: []Account{{Username: "u", Password: "p"}},
	})
	login := s.login(Account{Username: "u"}, "p", "")
	raw := unquoted(login.grant.refreshToken)
	for b.Loop() {
		clock = clock.Add(10 * time.Millisecond)
		answer := s.refresh(raw, false)
		raw = unquoted(answer.grant.refreshToken)
	}
}

func unquoted(json string) string {
	return json[1 : len(json)-1]
}
