// Command demo shows the operator at work: it starts a control plane and a fake Secret Server on this machine, runs the built
// operator against both, applies config/samples, and tells what happens as it happens. It is started by `make demo`, from the
// repository's root, with KUBEBUILDER_ASSETS naming the directory of the control plane's programs.
//
// It ends with Ctrl-C or after the seconds it is given, removes everything that it made, and exits 0 if it has shown what it
// promises, 1 if not, and 2 if the command line makes no sense.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// secondsVariable is the environment's default of --seconds.
const secondsVariable = "DEMO_SECONDS"

func main() {
	o, err := parse(os.Args[1:], os.Getenv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard))) // the libraries' own; the operator's goes to its log
	// SIGPIPE too: a reader that goes away ends the demo in order.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	screen := newScreen(os.Stdout, takesColours(os.Stdout, os.Getenv), time.Now())
	err = newDemo(o, screen).run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options are what the command line and the environment say.
type options struct {
	duration time.Duration // of the story; 0: until it is interrupted
	operator string        // path of the built operator
	config   string        // the directory config of the repository
}

func parse(arguments []string, getenv func(string) string, stderr io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("demo", flag.ContinueOnError)
	set.SetOutput(stderr)
	seconds := set.String("seconds", getenv(secondsVariable),
		"end so many seconds after the samples are applied, by default after "+secondsVariable+"; empty: not before Ctrl-C")
	set.StringVar(&o.operator, "operator", "bin/manager", "the built operator")
	set.StringVar(&o.config, "config", "config", "the directory with crd, rbac and samples")
	if err := set.Parse(arguments); err != nil {
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if *seconds == "" {
		return o, nil
	}
	number, err := strconv.ParseInt(*seconds, 10, 32)
	o.duration = time.Duration(number) * time.Second
	if err != nil || number < 1 {
		return o, fmt.Errorf("--seconds or %s: %q is not a whole number of seconds, 1 at least", secondsVariable, *seconds)
	}
	return o, nil
}
