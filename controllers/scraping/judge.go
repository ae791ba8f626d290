package scraping

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
)

const (
	// patience is how long a scrape waits for the API server, its turn to ask included.
	patience = 10 * time.Second
	// turns are how many ask the API server at a time. More tokens than that, made up by somebody who can reach the port, wait here.
	turns = 4
	// allowedFor bounds how long somebody reads on whose token or right has been taken away.
	allowedFor = time.Minute
	// refusedFor bounds how long somebody waits who has just been given the right.
	refusedFor = 10 * time.Second
	// remembered is how many verdicts of each kind are kept; far more than there are scrapers.
	remembered = 256
)

// question is what a request asks for.
type question struct{ token, verb, path string }

// verdict is what the API server says of a question: the status to answer with, and the user if it knows one.
type verdict struct {
	status int
	user   string
}

// fingerprint stands for a question in memory, where tokens are not kept.
type fingerprint [sha256.Size]byte

func (q question) fingerprint() fingerprint {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q", q.token, q.verb, q.path))
}

// judge has the API server's verdicts, and remembers them for a while, so that a scrape mostly costs no request.
type judge struct {
	ask    func(context.Context, question) (verdict, error)
	asking chan struct{} // holds one for each who is asking
	// Refusals have their own, so that whoever makes up tokens cannot push a scraper's verdict out.
	allowed, refused *cache.LRUExpireCache
}

func newJudge(ask func(context.Context, question) (verdict, error), c clock.PassiveClock) *judge {
	return &judge{
		ask:     ask,
		asking:  make(chan struct{}, turns),
		allowed: cache.NewLRUExpireCacheWithClock(remembered, c),
		refused: cache.NewLRUExpireCacheWithClock(remembered, c),
	}
}

// verdict returns an error if the API server does not say in time; the request is to be refused then. It asks to the end though the request
// is given up, which scrapers do at their own bound: the next one has the verdict.
func (j *judge) verdict(ctx context.Context, q question) (verdict, error) {
	key := q.fingerprint()
	if v, ok := j.recall(key); ok {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	select {
	case j.asking <- struct{}{}:
		defer func() { <-j.asking }()
	case <-ctx.Done():
		return verdict{}, fmt.Errorf("wait for others to ask the API server: %w", ctx.Err())
	}
	if v, ok := j.recall(key); ok { // another has asked the same meanwhile
		return v, nil
	}
	v, err := j.ask(ctx, q)
	if err != nil {
		return verdict{}, err
	}
	j.remember(key, v)
	return v, nil
}

func (j *judge) remember(key fingerprint, v verdict) {
	if v.status == http.StatusOK {
		j.allowed.Add(key, v, allowedFor)
	} else {
		j.refused.Add(key, v, refusedFor)
	}
}

func (j *judge) recall(key fingerprint) (verdict, bool) {
	for _, verdicts := range []*cache.LRUExpireCache{j.allowed, j.refused} {
		if found, ok := verdicts.Get(key); ok {
			v, ok := found.(verdict)
			return v, ok
		}
	}
	return verdict{}, false
}
