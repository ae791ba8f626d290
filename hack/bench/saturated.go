package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	// mostSaturated sessions are prepared for at most; see saturate.
	mostSaturated = 6000
	// At 10 percent of this lifetime a session is due again 7.5 to 10 s after its last refresh, and a token lasts long enough to
	// be renewed in time however long the queue is.
	saturatedLifetime, saturatedPercent = 100 * time.Second, 10
	soonDue                             = 10 * time.Second
	// soonAgain is when it is due on average.
	soonAgain = soonDue * 7 / 8
	// firstLifetime is that of the first tokens, which are due 52 to 70 s after the login: by then all have logged in. While
	// sessions with tokens that end are due all the time, new ones would wait for minutes.
	firstLifetime = 700 * time.Second
	firstDue      = firstLifetime * saturatedPercent / 100
	// bareAlone is how long the bare client refreshes one session at a time before its first turn: the API server has just started.
	bareAlone      = 2 * time.Second
	saturatedTurns = 10
	// longestBare bounds a turn of the bare client.
	longestBare = 15 * time.Second
	// bareBriefly is how long it does either where how it begins is what counts.
	bareBriefly = 5 * time.Second
)

// saturation is what was measured of an operator that has more to do than it can.
type saturation struct {
	span
	memory sample
	inside inner // the passes are those of the time
}

// plus is what was measured of two operators, one after the other. What is not counted is of the one that took more memory.
func (s saturation) plus(other saturation) saturation {
	reconciles := s.inside.reconciles + other.inside.reconciles
	gets := s.inside.requests["GET"] + other.inside.requests["GET"]
	larger := other
	if s.memory.median() > other.memory.median() {
		larger = s
	}
	larger.inside.reconciles = reconciles
	larger.inside.requests = map[string]float64{"GET": gets}
	larger.span = s.span.plus(other.span)
	return larger
}

// saturate has so many sessions that they are due twice as often as the bare client could refresh. The bare client works before, after and
// between, as long each time as the operator up to longestBare: what the machine can do changes within seconds. Its sessions stay, and are none
// of the operator's.
func (r *run) saturate(ctx context.Context, w *world) error {
	client, _, err := r.beginBare(ctx, w, "bare", bareSessions)
	if err != nil {
		return err
	}
	turns := r.turns()
	length := r.saturated / time.Duration(turns)
	first, err := r.bareTurn(ctx, w, client, bareAlone, min(length, longestBare))
	if err != nil {
		return err
	}
	bare := []yardstick{first}
	sessions := min(max(int(2*first.rate()*soonAgain.Seconds()), 100), mostSaturated)
	begin := func() (*subject, error) { return r.beginSaturated(ctx, w, sessions) }
	var whole saturation
	for range turns {
		earlier, err := w.vault.stats(ctx)
		if err != nil {
			return err
		}
		s, err := begin()
		if err != nil {
			return err
		}
		got, err := r.watchSaturated(ctx, w, s, length)
		if err := errors.Join(err, s.Stop()); err != nil {
			return err
		}
		later, err := w.vault.stats(ctx)
		if err != nil {
			return err
		}
		got.connections = later.Connections - earlier.Connections // they were made before there was so much to do
		whole = whole.plus(got)
		y, err := r.bareTurn(ctx, w, client, 0, min(length, longestBare))
		if err != nil {
			return err
		}
		bare = append(bare, y)
		begin = func() (*subject, error) { return resumeSaturated(ctx, w) }
	}
	r.tellSaturated(sessions, whole, bare)
	return client.close(ctx)
}

// bareTurn has the bare client refresh, with tokens that outlive all turns of the operator.
func (r *run) bareTurn(ctx context.Context, w *world, client *bareClient, alone, many time.Duration) (y yardstick, err error) {
	if err := w.vault.lifetimes(ctx, 0, quietLifetime); err != nil {
		return y, err
	}
	y, err = r.watchBare(ctx, w, client, alone, many)
	return y, errors.Join(err, w.vault.lifetimes(ctx, 0, saturatedLifetime))
}

// turns is how often the operator is saturated, with the bare client in between. Growth of memory, and a profile, are those of one process.
func (r *run) turns() int {
	if r.saturated >= longEnough || os.Getenv(profilingVariable) != "" {
		return 1
	}
	return saturatedTurns
}

// beginSaturated starts the operator, makes the sessions and waits until they are due all the time.
func (r *run) beginSaturated(ctx context.Context, w *world, sessions int) (*subject, error) {
	r.say("saturated: %d sessions log in", sessions)
	f, err := w.fleet(ctx, "bench")
	if err != nil {
		return nil, err
	}
	if err := w.vault.lifetimes(ctx, 0, firstLifetime); err != nil {
		return nil, err
	}
	s, err := w.startOperator(ctx, "operator", notBare)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := f.begin(ctx, w, sessions, saturatedPercent); err != nil {
		return nil, err
	}
	if err := w.vault.lifetimes(ctx, 0, saturatedLifetime); err != nil {
		return nil, err
	}
	return s, pause(ctx, max(time.Until(begun.Add(firstDue+soonAgain)), soonDue)) // until the queue is full
}

// resumeSaturated starts the operator again. All sessions are overdue, and those that are refreshed first are due again soon.
func resumeSaturated(ctx context.Context, w *world) (*subject, error) {
	s, err := w.startOperator(ctx, "operator", notBare)
	if err != nil {
		return nil, err
	}
	return s, pause(ctx, soonDue/2)
}

// watchSaturated measures an operator for so long.
func (r *run) watchSaturated(ctx context.Context, w *world, s *subject, length time.Duration) (got saturation, err error) {
	r.say("saturated: measuring for %v", length)
	earlier, err := s.look(ctx)
	if err != nil {
		return got, err
	}
	before, err := w.now(ctx, s)
	if err != nil {
		return got, err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- r.saveProfiles(ctx, w) }()
	got.memory, err = r.sampleLong(ctx, partSaturated, s.ID(), length)
	if err != nil {
		return got, err
	}
	after, err := w.now(ctx, s)
	if err != nil {
		return got, err
	}
	got.span = before.until(after)
	inside, err := s.look(ctx)
	got.inside = inside.since(earlier)
	return got, errors.Join(err, <-profiled)
}

// begin makes a fleet of its first sessions, and waits until they are Ready.
func (f *fleet) begin(ctx context.Context, w *world, sessions int, percent int32) error {
	if err := f.credentials(ctx, sessions); err != nil {
		return err
	}
	o, err := w.observe(ctx, int(percent))
	if err != nil {
		return err
	}
	if err := f.grow(ctx, sessions, percent); err != nil {
		return err
	}
	if _, _, err := o.readiness(ctx, f, 0, patienceFor(sessions)); err != nil {
		return err
	}
	return o.close()
}

// patienceFor bounds the wait for something that all sessions go through: far more than it takes on a loaded machine.
func patienceFor(sessions int) time.Duration {
	return 2*time.Minute + time.Duration(sessions)*100*time.Millisecond
}

func (r *run) tellSaturated(sessions int, got saturation, yardsticks []yardstick) {
	var bare span
	var rates, costs []string
	for _, y := range yardsticks {
		bare = bare.plus(y.span)
		rates = append(rates, fmt.Sprintf("%.0f", y.rate()))
		costs = append(costs, fmt.Sprintf("%.2f", y.perThousand(y.self)))
	}
	memory, inside := got.memory, got.inside
	per := func(n int) float64 { return float64(n) / float64(max(got.refreshes, 1)) }
	writes, edge := got.perRefresh(got.requests.writes())
	edge *= float64(len(yardsticks) - 1)
	r.tell(partSaturated, sessions,
		figure{What: "throughput", Value: got.rate() / bare.rate(), Unit: ratio}.atLeast(0.85).timed().
			with("%.0f refreshes/s; bare client %.0f: %s, with the operator in between", got.rate(), bare.rate(), strings.Join(rates, ", ")),
		figure{What: "CPU of the operator per refresh", Value: got.perThousand(got.operator) / bare.perThousand(bare.self), Unit: ratio}.atMost(1.6).timed().
			with("%.2f s per 1,000; bare client %.2f: %s", got.perThousand(got.operator), bare.perThousand(bare.self), strings.Join(costs, ", ")),
		figure{What: "CPU of kube-apiserver per refresh", Value: got.perThousand(got.api) / bare.perThousand(bare.api), Unit: ratio}.timed().
			with("%.2f s per 1,000; with the bare client %.2f", got.perThousand(got.api), bare.perThousand(bare.api)),
		figure{What: "CPU of etcd per 1,000 refreshes", Value: got.perThousand(got.db), Unit: "s"}.timed(),
		figure{What: "Kubernetes requests per refresh", Value: writes}.atMost(4+edge).atLeast(4-edge).with("%s", got.requests),
		figure{What: "of those GET or LIST", Value: per(got.requests.reads())}.exactly(0).with("%s", inside.gets()),
		figure{What: "HTTPS requests per refresh", Value: 1 + per(got.others+got.logins)}.exactly(1).with("%d refreshes", got.refreshes),
		figure{What: "TCP connections to Secret Server", Value: float64(got.connections)}.atMost(endpointConcurrency*float64(len(yardsticks))).
			with("%d for each process, and as many again in the first, where they are idle too long between login and refresh", endpointConcurrency),
		figure{What: "memory, resident", Value: mib(memory.median()), Unit: "MiB"}.atMost(memoryBound(sessions, 0)).
			with("peak %.1f MiB, heap in use %.1f MiB", mib(float64(memory.peak)), mib(inside.heap)),
		r.growth(memory),
		figure{What: "passes per refresh", Value: inside.reconciles / float64(max(got.refreshes, 1))}.timed(),
		figure{What: "goroutines", Value: inside.goroutines},
	)
}

// longEnough is how long memory must be watched for its growth to say something: garbage comes and goes meanwhile.
const longEnough = 10 * time.Minute

// growth compares the memory of the last fifth of the time with that of the second: in the first, a process still takes what it
// will go on to need.
func (r *run) growth(memory sample) figure {
	fifth := max(len(memory.rss)/5, 1)
	early, late := sample{rss: memory.rss[min(fifth, len(memory.rss)-1):][:fifth]}.mean(), sample{rss: memory.rss[len(memory.rss)-fifth:]}.mean()
	apart := time.Duration(len(memory.rss)) * time.Second * 3 / 5 // it was looked at each second
	f := figure{What: "its growth, last fifth over second", Value: late / early, Unit: "x"}.timed().
		with("from %.1f to %.1f MiB in %v", mib(early), mib(late), apart)
	if r.saturated < longEnough {
		return f
	}
	f.Absolute += fmt.Sprintf(": %+.2f MiB an hour", mib(late-early)/apart.Hours())
	return f.atMost(1.05)
}

// endpointConcurrency is the operator's default: requests at a time to one Secret Server.
const endpointConcurrency = 8

// memoryBound is what is wanted, in MiB: 60 MiB, 5 KiB for each session and 1 KiB for each Secret of others.
func memoryBound(sessions, foreign int) float64 {
	return 60 + (5*float64(sessions)+float64(foreign))/1024
}
