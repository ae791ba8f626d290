package secretservertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestDroppedConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		processed bool
		secure    bool
		granted   int
		next      fake.Result
	}{
		"before the token is consumed":           {false, false, 0, fake.Granted},
		"after it is consumed":                   {true, false, 1, fake.TokenSpent},
		"before the token is consumed, over TLS": {false, true, 0, fake.Granted},
		"after it is consumed, over TLS":         {true, true, 1, fake.TokenSpent},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, fake.Options{}, tt.secure)
			got := n.login(t)
			n.Inject(fake.Fault{Operation: fake.Refresh, Effect: fake.Drop, Processed: tt.processed, Count: 1})
			if _, err := n.post(t, refreshForm(got.refresh())); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Fatalf("error %v, want a reset connection", err)
			}
			stats := n.Stats()
			if stats.Granted(fake.Refresh) != tt.granted {
				t.Errorf("%d refreshes granted, want %d", stats.Granted(fake.Refresh), tt.granted)
			}
			n.tryRefresh(t, got.refresh())
			if r := n.lastResult(t); r != tt.next {
				t.Errorf("the same token again: %q, want %q", r, tt.next)
			}
			if stats := n.Stats(); stats.RefreshTokensSeenTwice != 1 || stats.SpentRefreshTokensResent != tt.granted {
				t.Errorf("seen twice %d, resent %d", stats.RefreshTokensSeenTwice, stats.SpentRefreshTokensResent)
			}
		})
	}
}

func TestHalfAnAnswerThenAReset(t *testing.T) {
	for name, o := range map[string]fake.Options{"HTTP/1.1": {}, "HTTP/2": {HTTP2: true}} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, o, true)
			n.Inject(fake.Fault{Effect: fake.Half, Count: 1})
			if body, err := n.post(t, passwordForm(user, password)); err == nil {
				t.Errorf("%d bytes came without an error", len(body))
			}
			if g := n.Stats().Granted(fake.Password); g != 1 {
				t.Errorf("%d logins granted, want 1: the answer was a true one", g)
			}
			n.login(t)
		})
	}
}

func TestTruncatedJSONLooksCompleteToHTTP(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	n.Inject(fake.Fault{Effect: fake.Truncate, Count: 1})
	body, err := n.post(t, passwordForm(user, password))
	if err != nil {
		t.Fatal(err)
	}
	if len(body) == 0 || json.Valid(body) {
		t.Errorf("%d bytes, valid JSON: %v", len(body), json.Valid(body))
	}
}

func TestHugeBody(t *testing.T) {
	for name, processed := range map[string]bool{"of padding only": false, "with a grant at its end": true} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, fake.Options{}, false)
			n.Inject(fake.Fault{Effect: fake.Huge, Size: 3 << 20, Processed: processed})
			body, err := n.post(t, passwordForm(user, password))
			if err != nil || len(body) < 3<<20 || !json.Valid(body) {
				t.Fatalf("%d bytes, %v", len(body), err)
			}
			if has := strings.Contains(string(body), `"access_token"`); has != processed {
				t.Errorf("has a grant: %v", has)
			}
		})
	}
}

func TestHugeBodyEndsWhenTheClientLeaves(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	n.Inject(fake.Fault{Effect: fake.Huge, Size: 1 << 40})
	answer, err := n.client.Do(n.request(t, passwordForm(user, password)))
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	n.eventuallyIdle(t)
}

func TestDripEndsWithTheClientOrTheServer(t *testing.T) {
	for name, end := range map[string]func(n *network, leave context.CancelFunc){
		"the client leaves":    func(_ *network, leave context.CancelFunc) { leave() },
		"the server closes":    func(n *network, _ context.CancelFunc) { n.Close() },
		"the server goes down": func(n *network, _ context.CancelFunc) { n.Down() },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, fake.Options{}, false)
			n.Inject(fake.Fault{Effect: fake.Drip})
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			answer, err := n.client.Do(n.request(t, passwordForm(user, password)).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if _, err := io.ReadFull(answer.Body, make([]byte, 20)); err != nil {
				t.Fatalf("the drip dried up: %v", err)
			}
			end(n, leave)
			if _, err := io.Copy(io.Discard, answer.Body); err == nil {
				t.Error("the body ended as if it were complete")
			}
			n.eventuallyIdle(t)
		})
	}
}

func TestDelay(t *testing.T) {
	n := newNetwork(t, fake.Options{}, false)
	n.Inject(fake.Fault{Delay: 50 * time.Millisecond, Count: 1})
	start := time.Now()
	n.login(t)
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("the answer took %v", took)
	}
}

func TestDelayedRequestWhoseClientLeft(t *testing.T) {
	for name, tt := range map[string]struct {
		processed bool
		result    fake.Result
	}{
		"is never processed":             {false, fake.Unprocessed},
		"was processed before the delay": {true, fake.Granted},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, fake.Options{}, false)
			got := n.login(t)
			n.Inject(fake.Fault{Operation: fake.Refresh, Delay: time.Hour, Processed: tt.processed, Count: 1})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			answer, err := n.client.Do(n.request(t, refreshForm(got.refresh())).WithContext(ctx))
			if err == nil {
				answer.Body.Close()
				t.Fatal("an answer came")
			}
			n.eventuallyIdle(t)
			if r := n.lastResult(t); r != tt.result {
				t.Errorf("result %q, want %q", r, tt.result)
			}
			if journal := n.Journal(); journal[len(journal)-1].Status != 0 {
				t.Error("the journal tells a status that nobody saw")
			}
		})
	}
}
