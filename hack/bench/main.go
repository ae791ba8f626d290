// Command bench measures what the operator costs and how that grows: the built binary, as a process of its own, against a
// control plane and a fake Secret Server on this machine, which are processes of their own too. It is started by `make bench`,
// from the repository's root, with KUBEBUILDER_ASSETS naming the directory of the control plane's programs.
//
// A machine is noisy, so a time says little by itself: each is also given as a ratio to what a bare client needs for the same
// requests, in the same run. What is counted is exact on any machine. It prints one Markdown table, and writes that, the figures
// as JSON and two plots. It exits 1 if a count, or with -strict a ratio too, is not what it must be, and 2 if the command line
// makes no sense.
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

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard))) // the libraries' own; the operator's goes to its log
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err = bench(ctx, o, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench makes one run. Logs and results are kept.
func bench(ctx context.Context, o options, out, progress io.Writer) error {
	if err := os.MkdirAll(o.out, 0o750); err != nil {
		return err
	}
	r := &run{options: o, progress: progress}
	err := r.do(ctx)
	if err := errors.Join(err, r.report.write(o, out)); err != nil {
		return fmt.Errorf("%w\nLook at %s: operator*.log is what the operator said, and the rest is the servers'", err, o.out)
	}
	if missed := r.report.missed(o.strict); missed > 0 {
		return fmt.Errorf("%d figure(s) are not what they must be; see FAILED in the table", missed)
	}
	return nil
}
