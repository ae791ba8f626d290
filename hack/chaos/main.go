// Command chaos lets everything go wrong that may, and shows that sessions survive it: it runs two replicas of the built
// operator against a control plane and a fake Secret Server on this machine, does faults at random to all of them, and counts
// what a pod would have seen. It is started by `make chaos`, from the repository's root, with KUBEBUILDER_ASSETS naming the
// directory of the control plane's programs.
//
// What goes wrong, and when, depends on the seed alone. It ends by itself; it exits 1 if a figure is not what it must be, and
// 2 if the command line makes no sense.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func main() {
	o, err := parse(os.Args[1:], os.Getenv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	if o.planOnly {
		fmt.Print(show(newPlan(o.seed, o.scale())))
		return
	}
	ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard))) // the libraries' own; the operator's goes to its log
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err = chaos(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// chaos makes one run. The logs of one that fails are kept.
func chaos(ctx context.Context, o options, out io.Writer) error {
	logs, err := os.MkdirTemp(o.logs, "secret-server-chaos-")
	if err != nil {
		return err
	}
	w, err := newWorld(o, logs)
	if err != nil {
		return err
	}
	r := &run{world: w, options: o, out: out}
	r.say("seed %d; logs in %s", o.seed, logs)
	if err := r.do(ctx); err != nil {
		return fmt.Errorf("%w\nThe same faults again: CHAOS_SEED=%d CHAOS_SECONDS=%.0f CHAOS_SESSIONS=%d make chaos\n"+
			"Look at %s: events.log tells what was done when, journal.log what Secret Server was asked, operator-*.log what the "+
			"operator said, and the rest is the control plane's", err, o.seed, o.length.Seconds(), o.sessions, logs)
	}
	if o.logs != "" {
		return nil
	}
	return os.RemoveAll(logs)
}

// options are what the command line and the environment say.
type options struct {
	length   time.Duration // of the whole run
	seed     uint64
	sessions int
	planOnly bool
	operator string // path of the built operator
	config   string // the directory config of the repository
	logs     string // directory for the directory of logs, which is then kept; "" for a temporary one
}

// scale has so many accounts that ten sessions share one, and one more: see accountOf.
func (o options) scale() scale {
	s := scale{length: o.length - overhead, sessions: o.sessions, accounts: (o.sessions + 9) / 10}
	if o.sessions > 1 {
		s.accounts++
	}
	return s
}

func parse(arguments []string, getenv func(string) string, stderr io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("chaos", flag.ContinueOnError)
	set.SetOutput(stderr)
	seconds := set.String("seconds", getenv("CHAOS_SECONDS"), "how long the whole takes, by default after CHAOS_SECONDS; empty: 900")
	seed := set.String("seed", getenv("CHAOS_SEED"), "what goes wrong, and when, by default after CHAOS_SEED; empty: random")
	sessions := set.String("sessions", getenv("CHAOS_SESSIONS"), "how many sessions, by default after CHAOS_SESSIONS; empty: 100")
	set.BoolVar(&o.planOnly, "plan", false, "print what would go wrong, and end")
	set.StringVar(&o.operator, "operator", "bin/manager", "the built operator")
	set.StringVar(&o.config, "config", "config", "the directory with crd and rbac")
	set.StringVar(&o.logs, "logs", "", "directory in which to keep the logs, also those of a run that does not fail")
	if err := set.Parse(arguments); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	number, err := whole("CHAOS_SECONDS", *seconds, 900, uint64(shortestRun.Seconds()))
	if err != nil {
		return o, err
	}
	o.length = time.Duration(number) * time.Second //nolint:gosec // whole bounds it
	if number, err = whole("CHAOS_SESSIONS", *sessions, 100, 1); err != nil {
		return o, err
	}
	o.sessions = int(number)                                           //nolint:gosec // the same
	o.seed, err = whole("CHAOS_SEED", *seed, uint64(rand.Uint32()), 0) //nolint:gosec // not secret: it is printed
	return o, err
}

// whole reads a number, which has a default.
func whole(name, text string, fallback, least uint64) (uint64, error) {
	if text == "" {
		return fallback, nil
	}
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil || number < least {
		return 0, fmt.Errorf("%s: %q is not a whole number of at least %d", name, text, least)
	}
	return number, nil
}
