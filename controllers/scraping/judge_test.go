package scraping

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// expectScrape holds the status that a token gets, and what the API server is asked for it.
func expectScrape(t *testing.T, g *gate, c *cluster, token string, status int, asked string) {
	t.Helper()
	if got := g.scrape(t, token); got != status {
		t.Errorf("status %d, want %d", got, status)
	}
	if got := c.questions(); got != asked {
		t.Errorf("the API server was asked for reviews of %q, want %q", got, asked)
	}
}

func TestARightIsRememberedForAMinute(t *testing.T) {
	c := newCluster(t)
	g := newGate(t, c)
	expectScrape(t, g, c, readerToken, http.StatusOK, "token access")
	delete(c.rights, "reader get /metrics")
	g.clock.SetTime(g.clock.Now().Add(allowedFor))
	expectScrape(t, g, c, readerToken, http.StatusOK, "")
	g.clock.SetTime(g.clock.Now().Add(time.Second))
	expectScrape(t, g, c, readerToken, http.StatusForbidden, "token access")
	if allowedFor > time.Minute {
		t.Errorf("a right that is taken away lasts %v", allowedFor)
	}
}

func TestARefusalIsRememberedForSeconds(t *testing.T) {
	for _, test := range []struct {
		name, token string
		status      int
		asked       string
		grant       func(*cluster)
	}{
		{"of a right", strangerToken, http.StatusForbidden, "token access", func(c *cluster) { c.rights["stranger get /metrics"] = true }},
		{"of a token", unknownToken, http.StatusUnauthorized, "token", func(c *cluster) { c.users[unknownToken] = c.users[readerToken] }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t)
			g := newGate(t, c)
			expectScrape(t, g, c, test.token, test.status, test.asked)
			test.grant(c)
			g.clock.SetTime(g.clock.Now().Add(refusedFor))
			expectScrape(t, g, c, test.token, test.status, "")
			g.clock.SetTime(g.clock.Now().Add(time.Second))
			expectScrape(t, g, c, test.token, http.StatusOK, "token access")
		})
	}
}

func TestNothingIsRememberedOfAnAPIServerThatDidNotAnswer(t *testing.T) {
	c := newCluster(t)
	g := newGate(t, c)
	c.away = errors.New("connection refused")
	expectScrape(t, g, c, readerToken, http.StatusInternalServerError, "")
	c.away = nil
	expectScrape(t, g, c, readerToken, http.StatusOK, "token access")
}

func TestAVerdictIsOfOneTokenVerbAndPath(t *testing.T) {
	seen := map[fingerprint]question{}
	for _, q := range []question{
		{"token", "get", "/metrics"},
		{"token2", "get", "/metrics"},
		{"token", "head", "/metrics"},
		{"token", "get", "/debug"},
		{"token get", "/metrics", ""},
		{"token", "get /metrics", ""},
		{`token" "get`, "/metrics", ""},
	} {
		if other, ok := seen[q.fingerprint()]; ok {
			t.Errorf("%q and %q are the same", q, other)
		}
		seen[q.fingerprint()] = q
	}
}

func TestMadeUpTokensFillNoMemoryAndForgetNobody(t *testing.T) {
	asked := map[string]int{}
	j := newJudge(func(_ context.Context, q question) (verdict, error) {
		asked[q.token]++
		if q.token == readerToken {
			return verdict{status: http.StatusOK}, nil
		}
		return verdict{status: http.StatusUnauthorized}, nil
	}, clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0)))
	tokens := []string{readerToken}
	for i := range 2 * remembered {
		tokens = append(tokens, fmt.Sprintf("made up %d", i))
	}
	for _, token := range append(tokens, readerToken) {
		if _, err := j.verdict(t.Context(), question{token: token}); err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(j.refused.Keys()); kept != remembered {
		t.Errorf("%d refusals are kept, want %d", kept, remembered)
	}
	if asked[readerToken] != 1 {
		t.Errorf("the API server was asked %d times about who has the right, want once", asked[readerToken])
	}
}

func TestFewAskAtATime(t *testing.T) {
	for _, test := range []struct {
		name  string
		token func(i int) string
		asks  int64
	}{
		{"of different tokens, each in its turn", func(i int) string { return fmt.Sprintf("made up %d", i) }, 10 * turns},
		{"of the same token, and the others take their answer", func(int) string { return readerToken }, turns},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asking, asks atomic.Int64
				j := newJudge(func(context.Context, question) (verdict, error) {
					asks.Add(1)
					if asking.Add(1) > turns {
						t.Errorf("more than %d ask at a time", turns)
					}
					defer asking.Add(-1)
					<-time.After(time.Second / 2)
					return verdict{status: http.StatusOK}, nil
				}, clocktesting.NewFakePassiveClock(time.Now()))
				var all sync.WaitGroup
				for i := range 10 * turns {
					all.Go(func() {
						if _, err := j.verdict(t.Context(), question{token: test.token(i)}); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				if got := asking.Load(); got != turns {
					t.Errorf("%d ask at a time, want %d", got, turns)
				}
				all.Wait()
				if got := asks.Load(); got != test.asks {
					t.Errorf("the API server was asked %d times, want %d", got, test.asks)
				}
			})
		})
	}
}

func TestAnAPIServerThatHangsIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.tokenReviews = func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() }
		g := newGate(t, c)
		start := time.Now()
		var all sync.WaitGroup
		// More than may ask: the rest wait for their turn, no longer than these for their answer.
		for i := range turns + 1 {
			all.Go(func() {
				if got := g.answer(scrapeOf(t, fmt.Sprint(readerToken, i))).Code; got != http.StatusInternalServerError {
					t.Errorf("status %d, want 500", got)
				}
			})
		}
		all.Wait()
		if waited := time.Since(start); waited != patience {
			t.Errorf("the last was answered after %v, want %v", waited, patience)
		}
	})
}

func TestAScrapeThatIsGivenUpLeavesItsVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := 0
		j := newJudge(func(ctx context.Context, _ question) (verdict, error) {
			asks++
			select {
			case <-time.After(5 * time.Second):
				return verdict{status: http.StatusOK}, nil
			case <-ctx.Done():
				return verdict{}, ctx.Err()
			}
		}, clocktesting.NewFakePassiveClock(time.Now()))
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, ctx := range []context.Context{impatient, t.Context()} {
			if v, err := j.verdict(ctx, question{token: readerToken}); err != nil || v.status != http.StatusOK {
				t.Errorf("got status %d and %v", v.status, err)
			}
		}
		if asks != 1 {
			t.Errorf("the API server was asked %d times, want once", asks)
		}
	})
}
