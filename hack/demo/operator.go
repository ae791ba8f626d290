package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopTimeout is how long the operator may take to end before it is killed. It has at most a request to the demo's own
// Secret Server to finish.
const stopTimeout = 20 * time.Second

// An operator is the built program as a process of its own.
type operator struct {
	log    string // path of what it writes
	cancel context.CancelFunc
	ended  chan struct{} // closed when the process has ended and err says how
	err    error
}

// startOperator runs the program until stop.
func startOperator(ctx context.Context, program, kubeconfig, dir string) (*operator, error) {
	log, err := os.Create(filepath.Join(dir, "operator.log")) //nolint:gosec // a directory of the demo's own
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(program)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	// It ends in order by stop, whatever becomes of the caller's context.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, path, //nolint:gosec // the user names the program
		"--kubeconfig="+kubeconfig, "--health-probe-bind-address=0", "--zap-encoder=console")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		cancel()
		return nil, fmt.Errorf("start the operator: %w", err)
	}
	o := &operator{log: log.Name(), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		o.err = cmp.Or(cmd.Wait(), errors.New("exit status 0"))
	}()
	return o, nil
}

// failure is how the operator ended by itself.
func (o *operator) failure() error { return fmt.Errorf("the operator ended by itself: %w", o.err) }

// stop ends the process. It is an error if it does not end in order, and in time. One that had ended by itself is no error
// here: that is a failure.
func (o *operator) stop() error {
	select {
	case <-o.ended:
		o.cancel()
		return nil
	default:
	}
	o.cancel()
	<-o.ended
	if errors.Is(o.err, context.Canceled) { // what os/exec returns of a process that obeyed
		return nil
	}
	return fmt.Errorf("stop the operator: %w", o.err)
}

// lastWords is the end of what the operator wrote.
func (o *operator) lastWords() string {
	const length = 4 << 10
	text, err := os.ReadFile(o.log)
	if err != nil {
		return fmt.Sprintf("(the operator's log cannot be read: %v)\n", err)
	}
	if len(text) == 0 {
		return "(the operator wrote nothing)\n"
	}
	return fmt.Sprintf("the end of the operator's log:\n%s\n", text[max(0, len(text)-length):])
}
