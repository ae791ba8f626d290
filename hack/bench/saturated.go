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
	// bareAlone is how long the bare client refreshes one session at a time; for bareLength it refreshes many before a saturated operator,
	// and for as long after it; with more turns, for as long as both in all of them together.
	bareAlone, bareLength = 2 * time.Second, 30 * time.Second
	saturatedTurns        = 5
	// bareBriefly is how long it does either where how it begins is what counts.
	bareBriefly = 5 * time.Second
)

// A yardstick is what the bare client can do.
type yardstick struct {
	span
	alone  time.Duration // one refresh while nothing else goes on: the median
	logins float64       // a second, each with its writes
	makes  float64       // sessions made a second
}

// begins is how long the bare client takes to make sessions, and to log each in.
func (y yardstick) begins(sessions int) time.Duration {
	return time.Duration(float64(sessions) * (1/y.makes + 1/y.logins) * float64(time.Second))
}

// measureBare has the bare client log in and refresh, one session at a time and then many, for so long. No operator must run.
func (r *run) measureBare(ctx context.Context, w *world, prefix string, sessions int, alone, many time.Duration) (yardstick, error) {
	b, y, err := r.beginBare(ctx, w, prefix, sessions)
	if err != nil {
		return y, err
	}
	times, err := b.refresh(ctx, 1, alone)
	if err != nil {
		return y, err
	}
	y.alone, _, _ = quantiles(times)
	before, err := w.now(ctx, nil)
	if err != nil {
		return y, err
	}
	if _, err := b.refresh(ctx, bareWorkers, many); err != nil {
		return y, err
	}
	after, err := w.now(ctx, nil)
	if err != nil {
		return y, err
	}
	y.span = before.until(after)
	r.say("bare client: %.0f refreshes/s, %.2f CPU s per 1,000, one alone takes %.1f ms; %.0f logins/s; %.0f sessions made/s",
		y.rate(), y.perThousand(y.self), ms(y.alone), y.logins, y.makes)
	return y, b.close(ctx)
}

// beginBare makes sessions, and has the bare client log in, while the observer looks on: so it does when the operator begins, and it
// takes its part of the machine.
func (r *run) beginBare(ctx context.Context, w *world, prefix string, sessions int) (b *bareClient, y yardstick, err error) {
	r.say("bare client: %d sessions", sessions)
	o, err := w.observe(ctx, percent)
	if err != nil {
		return nil, y, err
	}
	if b, err = w.openBare(ctx, prefix, sessions); err != nil {
		return nil, y, errors.Join(err, o.close())
	}
	y.makes = b.makes
	half := sessions / 2 // see openBare
	err = b.logIn(ctx, 0, half)
	if err == nil {
		start := time.Now()
		err = b.logIn(ctx, half, sessions)
		y.logins = float64(sessions-half) / time.Since(start).Seconds()
	}
	return b, y, errors.Join(err, o.close())
}

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
// between: what the machine can do changes within minutes.
func (r *run) saturate(ctx context.Context, w *world) error {
	turns := r.turns()
	length := 2 * bareLength / time.Duration(turns+1)
	first, err := r.measureBare(ctx, w, "bare-0", bareSessions, bareAlone, length)
	if err != nil {
		return err
	}
	bare := []yardstick{first}
	sessions := min(max(int(2*first.rate()*soonAgain.Seconds()), 100), mostSaturated)
	begin := func() (*subject, error) { return r.beginSaturated(ctx, w, sessions) }
	var whole saturation
	for turn := range turns {
		s, err := begin()
		if err != nil {
			return err
		}
		got, err := r.watchSaturated(ctx, w, s, r.saturated/time.Duration(turns))
		if err := errors.Join(err, s.Stop()); err != nil {
			return err
		}
		whole = whole.plus(got)
		y, err := r.measureBare(ctx, w, fmt.Sprintf("bare-%d", turn+1), bareSessions, bareAlone/2, length)
		if err != nil {
			return err
		}
		bare = append(bare, y)
		begin = func() (*subject, error) { return resumeSaturated(ctx, w) }
	}
	r.tellSaturated(sessions, whole, bare)
	return nil
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
	s, err := w.startOperator(ctx, "operator")
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
	s, err := w.startOperator(ctx, "operator")
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
		figure{What: "TCP connections to Secret Server", Value: float64(got.connections)}.atMost(endpointConcurrency*float64(len(yardsticks)-1)).
			with("for %d grants; %d at a time", got.refreshes, endpointConcurrency),
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
