// Command screens writes into documents what kubectl shows of sessions in several states, or with --check tells whether they
// still show it. It starts a control plane and two fake Secret Servers on this machine, runs the built operator against them, applies
// world.yaml, and runs kubectl. It is started by `make screens`, from the repository's root, with KUBEBUILDER_ASSETS naming the
// directory of the control plane's programs.
//
// Between the line
//
//	<!-- screen: kubectl get sss -n payments -o wide -->
//
// and the line <!-- end of screen --> of a document stands what that command prints. It exits 1 if something fails or differs, and
// 2 if the command line makes no sense.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func main() {
	check := flag.Bool("check", false, "write nothing, and fail if a document shows something else")
	operator := flag.String("operator", "bin/manager", "the built operator")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "screens: name the documents")
		os.Exit(2)
	}
	ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard))) // the libraries' own
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *operator, *check, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "screens:", err)
		os.Exit(1)
	}
}

// run makes the world, and takes each screen of each document in it.
func run(ctx context.Context, operator string, check bool, paths []string) (err error) {
	w, err := newWorld(ctx, operator)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.settle(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, w.operator.LastWords())
	}
	var errs []error
	for _, path := range paths {
		if err := w.show(ctx, path, check); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// A session whose Secret Server is down has no next try planned while it makes one. So a screen that differs is taken again.
const (
	takes   = 5
	between = time.Second
)

// show takes the screens of a document, and writes them into it or, to check it, compares them with it.
func (w *world) show(ctx context.Context, path string, check bool) error {
	text, err := os.ReadFile(path) //nolint:gosec // the user names the document
	if err != nil {
		return err
	}
	for take := 1; ; take++ {
		renewed, err := renew(string(text), func(command []string) (string, error) { return w.kubectl(ctx, command...) })
		if err != nil {
			return err
		}
		if !check {
			return os.WriteFile(path, []byte(renewed), 0o644) //nolint:gosec // a document for everybody
		}
		if err := compare(string(text), renewed); err == nil || take == takes {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(between):
		}
	}
}
