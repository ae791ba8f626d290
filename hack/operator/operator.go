// Package operator runs the built operator as a process of its own, as demonstrations and tests from outside need it: it is
// started, watched, paused, killed and stopped.
package operator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// DefaultStopTimeout is that of Options.
const DefaultStopTimeout = 20 * time.Second

// Options say what to start.
type Options struct {
	Binary     string   // path of the built operator
	Kubeconfig string   // path of that of the user whom it acts as
	Args       []string // further flags; they win over those that Start sets
	Env        []string // further environment variables, as NAME=value
	// Log is the path of the file that all its output is appended to, so that the processes of one replica can share it.
	Log string
	// Serve has it serve its metrics and probes on free loopback ports, for Metrics, Healthy and Ready. Else it serves none.
	Serve bool
	// StopTimeout bounds Stop; then the process is killed. Default: DefaultStopTimeout.
	StopTimeout time.Duration
}

// Process is the operator from Start until it ends. Its methods may be called concurrently.
type Process struct {
	log     string
	process *os.Process
	cancel  context.CancelFunc // asks it to end, and kills it if it does not
	asked   atomic.Bool        // to end, by Stop or Kill
	done    chan struct{}      // closed when the process has ended and err says how
	err     error

	metrics, probes string // addresses that it serves at; "" for none
}

// Start starts the operator, which runs until Stop or Kill whatever becomes of the context.
func Start(ctx context.Context, options Options) (*Process, error) {
	path, err := filepath.Abs(options.Binary)
	if err != nil {
		return nil, err
	}
	p := &Process{log: options.Log, done: make(chan struct{})}
	arguments, err := p.arguments(ctx, options)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(options.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, path, arguments...) //nolint:gosec // the caller names the program
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(cmd.Environ(), options.Env...)
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = options.StopTimeout
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = DefaultStopTimeout
	}
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		p.cancel()
		return nil, fmt.Errorf("start the operator: %w", err)
	}
	p.process = cmd.Process
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
	}()
	return p, nil
}

// arguments are the flags, with addresses that nobody listened at a moment ago.
func (p *Process) arguments(ctx context.Context, options Options) ([]string, error) {
	arguments := []string{"--kubeconfig=" + options.Kubeconfig, "--zap-encoder=console"}
	if !options.Serve {
		return append(append(arguments, "--health-probe-bind-address=0"), options.Args...), nil
	}
	var err error
	if p.metrics, p.probes, err = twoFreeAddresses(ctx); err != nil {
		return nil, err
	}
	arguments = append(arguments,
		"--metrics-bind-address="+p.metrics, "--metrics-secure=false", "--health-probe-bind-address="+p.probes)
	return append(arguments, options.Args...), nil
}

// ID is the process's own, for logs.
func (p *Process) ID() int { return p.process.Pid }

// Log is the path of the file with its output.
func (p *Process) Log() string { return p.log }

// Done is closed when the process has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err tells how the process ended by itself, be it well. It is nil while the process runs, and after Stop or Kill.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.asked.Load() {
		return nil
	}
	return fmt.Errorf("the operator ended by itself: %w", p.err)
}

// Stop asks the process to end (SIGTERM) and waits for that; one that is paused is continued. It is an error if it does not
// end in order, and in time. One that had ended before is no error here: see Err.
func (p *Process) Stop() error {
	defer p.cancel()
	if !p.ask() {
		return nil
	}
	p.cancel()
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	<-p.done
	if errors.Is(p.err, context.Canceled) { // what os/exec returns of a process that obeyed
		return nil
	}
	return fmt.Errorf("stop the operator: %w", p.err)
}

// Kill ends the process at once (SIGKILL), as a crash or a lost node would, and waits until it is gone. One that had ended
// before is no error here: see Err.
func (p *Process) Kill() error {
	defer p.cancel()
	if !p.ask() {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Pause stops the process from running (SIGSTOP), as a node without time for it would, until Continue.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Continue lets a paused process run again (SIGCONT).
func (p *Process) Continue() error { return p.signal(syscall.SIGCONT) }

// ask notes that the process is to end; it reports false if it has ended.
func (p *Process) ask() bool {
	select {
	case <-p.done:
		return false
	default:
		p.asked.Store(true)
		return true
	}
}

// signal sends a signal. A process that has ended needs none.
func (p *Process) signal(s os.Signal) error {
	if err := p.process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to the operator: %w", s, err)
	}
	return nil
}

// LastWords is the end of what the operator wrote.
func (p *Process) LastWords() string {
	const length = 4 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(the operator's log cannot be read: %v)\n", err)
	}
	if len(text) == 0 {
		return "(the operator wrote nothing)\n"
	}
	return fmt.Sprintf("the end of the operator's log:\n%s\n", text[max(0, len(text)-length):])
}
