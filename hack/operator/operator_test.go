package operator

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asOperator makes the test binary behave as an operator; its value is the manner.
const asOperator = "OPERATOR_TEST_STAND_IN"

// Manners of the stand-in.
const (
	obedient = "obedient" // ends well when it is asked to
	stubborn = "stubborn" // does not end when it is asked to
	failing  = "failing"  // ends by itself, with exit status 3
	finished = "finished" // ends by itself, with exit status 0
)

func TestMain(m *testing.M) {
	if manner := os.Getenv(asOperator); manner != "" {
		os.Exit(standIn(manner))
	}
	os.Exit(m.Run())
}

// standIn does what the tests need of an operator. It says "up" when it is ready for signals.
func standIn(manner string) int {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	set := flag.NewFlagSet("stand-in", flag.ExitOnError)
	set.String("kubeconfig", "", "")
	set.String("zap-encoder", "", "")
	set.Bool("metrics-secure", true, "")
	metrics := set.String("metrics-bind-address", "0", "")
	probes := set.String("health-probe-bind-address", ":8081", "")
	if err := set.Parse(os.Args[1:]); err != nil {
		return 2
	}
	if *metrics != "0" {
		go serve(*metrics, map[string]string{"/metrics": "# HELP up Whether.\nup{name=\"a b\"} 1\nup{name=\"c\"} 2e+00\nupper 7\n"})
		go serve(*probes, map[string]string{"/healthz": "ok"})
	}
	fmt.Println("up", os.Args[1:])
	switch manner {
	case failing:
		return 3
	case finished:
		return 0
	case stubborn:
		select {}
	}
	<-asked
	fmt.Println("bye")
	return 0
}

func serve(address string, pages map[string]string) {
	mux := http.NewServeMux()
	for path, page := range pages {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page)) })
	}
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Second}
	fmt.Println(server.ListenAndServe())
}

// start starts a stand-in and waits until it is up.
func start(t *testing.T, manner string, change func(*Options)) *Process {
	t.Helper()
	t.Setenv(asOperator, manner)
	options := Options{
		Binary: os.Args[0], Kubeconfig: "the.kubeconfig", Log: filepath.Join(t.TempDir(), "log"), StopTimeout: 30 * time.Second,
	}
	if change != nil {
		change(&options)
	}
	ups := func() int { return strings.Count((&Process{log: options.Log}).LastWords(), "up [") }
	before := ups()
	p, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "it is up", func() bool { return ups() > before })
	return p
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	for !is() {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			t.Fatalf("within 30 s, not so: %s", what)
		}
	}
}

func ended(p *Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

func TestStopEndsTheProcessInOrder(t *testing.T) {
	p := start(t, obedient, func(o *Options) { o.Args = []string{"--metrics-secure=false"} })
	if words := p.LastWords(); !strings.Contains(words, "up [--kubeconfig=the.kubeconfig") || !strings.Contains(words, "--metrics-secure=false]") {
		t.Errorf("arguments: %s", words)
	}
	if ended(p) || p.Err() != nil {
		t.Fatalf("it ended at once: %v", p.Err())
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if !ended(p) || p.Err() != nil || !strings.Contains(p.LastWords(), "bye") {
		t.Errorf("ended: %v; %v; %s", ended(p), p.Err(), p.LastWords())
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopped again: %v", err)
	}
}

func TestStopIsBounded(t *testing.T) {
	p := start(t, stubborn, func(o *Options) { o.StopTimeout = 100 * time.Millisecond })
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("%v; want that it was killed", err)
	}
	if !ended(p) {
		t.Error("it runs")
	}
}

func TestStopContinuesAPausedProcess(t *testing.T) {
	p := start(t, obedient, nil)
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func TestKillGivesNoTime(t *testing.T) {
	p := start(t, obedient, nil)
	if err := errors.Join(p.Pause(), p.Kill()); err != nil {
		t.Fatal(err)
	}
	if !ended(p) || p.Err() != nil || strings.Contains(p.LastWords(), "bye") {
		t.Errorf("ended: %v; %v; %s", ended(p), p.Err(), p.LastWords())
	}
	if err := errors.Join(p.Kill(), p.Stop(), p.Pause(), p.Continue()); err != nil {
		t.Errorf("once it is gone: %v", err)
	}
}

func TestAPausedProcessDoesNothingUntilItContinues(t *testing.T) {
	p := start(t, obedient, func(o *Options) { o.Serve = true })
	eventually(t, "it is healthy", func() bool { return p.Healthy(t.Context()) == nil })
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := p.Healthy(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("paused: %v", err)
	}
	if err := p.Continue(); err != nil {
		t.Fatal(err)
	}
	if err := p.Healthy(t.Context()); err != nil {
		t.Errorf("continued: %v", err)
	}
}

func TestErrTellsHowItEndedByItself(t *testing.T) {
	for manner, want := range map[string]string{failing: "exit status 3", finished: "exit status 0"} {
		t.Run(manner, func(t *testing.T) {
			p := start(t, manner, nil)
			<-p.Done()
			if err := errors.Join(p.Stop(), p.Kill()); err != nil {
				t.Error(err)
			}
			if err := p.Err(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestProcessesCanShareALog(t *testing.T) {
	p := start(t, obedient, nil)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	q := start(t, obedient, func(o *Options) { o.Log = p.Log() })
	if err := q.Stop(); err != nil {
		t.Fatal(err)
	}
	if words := q.LastWords(); strings.Count(words, "bye") != 2 {
		t.Errorf("want both: %s", words)
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	_, err := Start(t.Context(), Options{Binary: filepath.Join(t.TempDir(), "none"), Log: filepath.Join(t.TempDir(), "log")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such program: %v", err)
	}
	_, err = Start(t.Context(), Options{Binary: os.Args[0], Log: filepath.Join(t.TempDir(), "none", "log")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no place for the log: %v", err)
	}
}

func TestMetricsAndProbes(t *testing.T) {
	p := start(t, obedient, func(o *Options) { o.Serve = true })
	var metrics Metrics
	eventually(t, "metrics are served", func() bool {
		var err error
		metrics, err = p.Metrics(t.Context())
		return err == nil
	})
	if metrics[`up{name="a b"}`] != 1 || metrics.Sum("up") != 3 || metrics.Sum("upper") != 7 || metrics.Sum("down") != 0 {
		t.Errorf("%v", metrics)
	}
	if err := p.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a probe that is not there: %v", err)
	}
}

func TestNothingIsServedUnlessAskedFor(t *testing.T) {
	p := start(t, obedient, nil)
	_, err := p.Metrics(t.Context())
	for _, err := range []error{err, p.Healthy(t.Context()), p.Ready(t.Context())} {
		if !errors.Is(err, errNotServed) {
			t.Error(err)
		}
	}
}

func TestABrokenMetricsPageIsAnError(t *testing.T) {
	for _, page := range []string{"up\n", "up one\n"} {
		if _, err := parseMetrics(page); err == nil {
			t.Errorf("%q is accepted", page)
		}
	}
}
