// Command docs-verify does what the documents tell a reader to do: it runs the shell blocks of the README and of docs/, page by
// page, each page in a world of its own with a control plane, the built operator and a fake Secret Server. It is started by
// `make docs-verify`, with KUBEBUILDER_ASSETS naming the directory of the control plane's programs. docs/maintainers.md tells how
// to write a block.
//
// Arguments name the pages to try; by default all are. It exits 1 if a block fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"tokensync.dev/secret-server-operator/hack/markdown"
)

func main() {
	var t tree
	flag.StringVar(&t.root, "root", ".", "the repository")
	flag.StringVar(&t.operator, "operator", "bin/manager", "the built operator")
	installer := flag.String("installer", "dist/install.yaml", "what `make build-installer` wrote")
	atATime := flag.Int("pages", 2, "pages to try at a time")
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard))) // the libraries' own; the operator's goes to its log
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := t.verify(ctx, *installer, *atATime, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "docs-verify:", err)
		os.Exit(1)
	}
}

// verify tries the pages, all of them if none is named.
func (t tree) verify(ctx context.Context, installer string, atATime int, pages []string) error {
	all, err := plans(ctx, t.root)
	if err != nil {
		return err
	}
	if t.installer, err = os.ReadFile(installer); err != nil { //nolint:gosec // the user names it
		return err
	}
	if t.session, err = sessionOf(filepath.Join(t.root, "README.md")); err != nil {
		return err
	}
	if len(pages) > 0 {
		all = slices.DeleteFunc(all, func(p plan) bool { return !slices.Contains(pages, p.path) })
	}
	return report(os.Stdout, t.tryAll(ctx, all, atATime))
}

// An outcome is what came of a page.
type outcome struct {
	plan
	took time.Duration
	err  error
}

// tryAll yields the pages' outcomes in the order of the pages, each as soon as it is there.
func (t tree) tryAll(ctx context.Context, all []plan, atATime int) iter.Seq[outcome] {
	return func(yield func(outcome) bool) {
		places := make(chan struct{}, max(1, atATime))
		outcomes := make([]chan outcome, len(all))
		for i, p := range all {
			outcomes[i] = make(chan outcome, 1)
			go func() {
				places <- struct{}{}
				defer func() { <-places }()
				start := time.Now()
				var err error
				if p.runs() > 0 {
					err = t.try(ctx, p)
				}
				outcomes[i] <- outcome{p, time.Since(start), err}
			}()
		}
		stopped := false
		for _, o := range outcomes { // each is waited for, so that nothing is left running
			if o := <-o; !stopped {
				stopped = !yield(o)
			}
		}
	}
}

// report tells what came of the pages. It is an error if a page failed, or none had anything to try.
func report(out io.Writer, outcomes iter.Seq[outcome]) error {
	say := log.New(out, "", 0)
	ran, skipped := 0, 0
	var failed []string
	for o := range outcomes {
		for _, s := range o.skipped {
			skipped++
			say.Printf("%-28s skipped: %s", s.at, s.reason)
		}
		switch {
		case o.err != nil:
			failed = append(failed, o.path)
			say.Printf("%-28s FAILED: %v", o.path, o.err)
		case o.runs() > 0:
			ran += o.runs()
			say.Printf("%-28s ok, %d run in %.0f s", o.path, o.runs(), o.took.Seconds())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("these pages tell what does not work: %s. Correct the page, or the code", strings.Join(failed, ", "))
	}
	if ran == 0 {
		return errors.New("there is no block to run")
	}
	say.Printf("%d shell blocks ran, %d were skipped and only parsed", ran, skipped)
	return nil
}

// sessionOf finds the session of the README: the first block that is to be saved as session.yaml.
func sessionOf(readme string) (string, error) {
	text, err := os.ReadFile(readme) //nolint:gosec // a page of the repository
	if err != nil {
		return "", err
	}
	for _, block := range markdown.Parse(string(text)).Blocks {
		if block.Note == saveAs+"session.yaml" {
			return block.Text, nil
		}
	}
	return "", fmt.Errorf("%s has no block with the note %q", readme, saveAs+"session.yaml")
}
