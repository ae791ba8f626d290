package main

import (
	"context"
	"errors"
	"fmt"
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
	// bareAlone is how long the bare client refreshes one session at a time, and bareLength many, beside a saturated operator's figures.
	bareAlone, bareLength = 2 * time.Second, 15 * time.Second
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

// saturate has so many sessions that they are due twice as often as the bare client could refresh, with the bare client before
// and after.
func (r *run) saturate(ctx context.Context, w *world) error {
	first, err := r.measureBare(ctx, w, "bare-before", bareSessions, bareAlone, bareLength)
	if err != nil {
		return err
	}
	f, err := w.fleet(ctx, "bench")
	if err != nil {
		return err
	}
	sessions := min(max(int(2*first.rate()*soonAgain.Seconds()), 100), mostSaturated)
	r.say("saturated: %d sessions log in", sessions)
	if err := w.vault.lifetimes(ctx, 0, firstLifetime); err != nil {
		return err
	}
	s, err := w.startOperator(ctx, "operator")
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := f.begin(ctx, w, sessions, saturatedPercent); err != nil {
		return err
	}
	if err := w.vault.lifetimes(ctx, 0, saturatedLifetime); err != nil {
		return err
	}
	if err := pause(ctx, max(time.Until(begun.Add(firstDue+soonAgain)), soonDue)); err != nil { // until the queue is full
		return err
	}
	got, memory, inside, err := r.watchSaturated(ctx, w, s)
	if err := errors.Join(err, s.Stop()); err != nil {
		return err
	}
	second, err := r.measureBare(ctx, w, "bare-after", bareSessions, bareAlone, bareLength)
	if err != nil {
		return err
	}
	r.tellSaturated(sessions, got, first, second, memory, inside)
	return nil
}

// watchSaturated measures an operator that has more to do than it can. The passes are those of the time between.
func (r *run) watchSaturated(ctx context.Context, w *world, s *subject) (got span, memory sample, inside inner, err error) {
	r.say("saturated: measuring for %v", r.saturated)
	earlier, err := s.look(ctx)
	if err != nil {
		return got, memory, inside, err
	}
	before, err := w.now(ctx, s)
	if err != nil {
		return got, memory, inside, err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- r.saveProfiles(ctx, w) }()
	memory, err = r.sampleLong(ctx, partSaturated, s.ID(), r.saturated)
	if err != nil {
		return got, memory, inside, err
	}
	after, err := w.now(ctx, s)
	if err != nil {
		return got, memory, inside, err
	}
	inside, err = s.look(ctx)
	return before.until(after), memory, inside.since(earlier), errors.Join(err, <-profiled)
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

func (r *run) tellSaturated(sessions int, got span, first, second yardstick, memory sample, inside inner) {
	rate := (first.rate() + second.rate()) / 2
	cpu := (first.perThousand(first.self) + second.perThousand(second.self)) / 2
	api := (first.perThousand(first.api) + second.perThousand(second.api)) / 2
	per := func(n int) float64 { return float64(n) / float64(max(got.refreshes, 1)) }
	writes, edge := got.perRefresh(got.requests.writes())
	r.tell(partSaturated, sessions,
		figure{What: "throughput", Value: got.rate() / rate, Unit: ratio}.atLeast(0.85).timed().
			with("%.0f refreshes/s; bare client %.0f before, %.0f after", got.rate(), first.rate(), second.rate()),
		figure{What: "CPU of the operator per refresh", Value: got.perThousand(got.operator) / cpu, Unit: ratio}.atMost(1.6).timed().
			with("%.2f s per 1,000; bare client %.2f before, %.2f after", got.perThousand(got.operator),
				first.perThousand(first.self), second.perThousand(second.self)),
		figure{What: "CPU of kube-apiserver per refresh", Value: got.perThousand(got.api) / api, Unit: ratio}.timed().
			with("%.2f s per 1,000; with the bare client %.2f", got.perThousand(got.api), api),
		figure{What: "CPU of etcd per 1,000 refreshes", Value: got.perThousand(got.db), Unit: "s"}.timed(),
		figure{What: "Kubernetes requests per refresh", Value: writes}.atMost(4+edge).atLeast(4-edge).with("%s", got.requests),
		figure{What: "of those GET or LIST", Value: per(got.requests.reads())}.exactly(0).with("%s", inside.gets()),
		figure{What: "HTTPS requests per refresh", Value: 1 + per(got.others+got.logins)}.exactly(1).with("%d refreshes", got.refreshes),
		figure{What: "TCP connections to Secret Server", Value: float64(got.connections)}.atMost(endpointConcurrency).
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
	apart := r.saturated * 3 / 5
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
