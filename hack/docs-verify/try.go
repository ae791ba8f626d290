package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// pageTimeout bounds what one page does, its world included.
const pageTimeout = 3 * time.Minute

// try runs a page in a world of its own.
func (t tree) try(ctx context.Context, p plan) (err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	w, err := t.build(ctx)
	defer func() { err = errors.Join(err, w.tearDown()) }()
	if err == nil && !p.fromNothing {
		err = w.run(ctx, quickstart)
	}
	if err == nil {
		err = w.follow(ctx, p)
	}
	if err != nil {
		log, _ := os.ReadFile(w.log) //nolint:errcheck // there may be none yet
		err = fmt.Errorf("%w\nthe end of the operator's log:\n%s", err, log[max(0, len(log)-2048):])
	}
	return err
}

// follow does what the page says. An error tells which block did not work, and what was said.
func (w *world) follow(ctx context.Context, p plan) error {
	places, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer places.Close() //nolint:errcheck // it was only read
	// The descriptor is 3 in the new process.
	bash := w.bash(ctx, "exec 9>&3 3>&-\n"+p.script())
	bash.ExtraFiles = []*os.File{writer}
	var said bytes.Buffer
	bash.Stdout, bash.Stderr = &said, &said
	err = errors.Join(bash.Start(), writer.Close())
	if err != nil {
		return err
	}
	last := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(places) //nolint:errcheck // what was read counts
		lines := strings.Fields(string(text))
		last <- append([]string{"0"}, lines...)[len(lines)]
	}()
	failure := bash.Wait()
	if failure == nil {
		return nil
	}
	if ctx.Err() != nil {
		failure = context.Cause(ctx)
	}
	places.SetReadDeadline(time.Now().Add(time.Second)) //nolint:errcheck // what runs in the background may hold the pipe
	i, err := strconv.Atoi(<-last)
	if err != nil {
		return errors.Join(failure, err)
	}
	var exit *exec.ExitError
	if errors.As(failure, &exit) || ctx.Err() != nil {
		failure = fmt.Errorf("%s: %w", p.steps[i].at, failure)
	}
	return fmt.Errorf("%w\n%s%s", failure, p.steps[i].text, said.Bytes()[max(0, said.Len()-4096):])
}
