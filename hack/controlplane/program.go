package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopTimeout is how long a program may take to end before it is killed.
const stopTimeout = 20 * time.Second

// A program runs from start until stop, perhaps more than once.
type program struct {
	name, path string
	args       []string
	log        string         // path of the file that its output is appended to
	ending     syscall.Signal // that asks it to end

	process *process // nil while it is stopped
}

type process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	done   chan struct{} // closed when the process has ended and err says how
	err    error
}

func (p *program) start(ctx context.Context) error {
	if p.process != nil {
		return fmt.Errorf("start %s: it is not stopped", p.name)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	// It lives until stop, whatever becomes of the caller's context.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, p.path, p.args...) //nolint:gosec // the caller names the program
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(p.ending) }
	cmd.WaitDelay = stopTimeout
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		cancel()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	running := &process{cmd: cmd, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(running.done)
		running.err = cmp.Or(cmd.Wait(), errors.New("exit status 0"))
	}()
	p.process = running
	return nil
}

// ended reports whether the program ended by itself.
func (p *program) ended() bool {
	if p.process == nil {
		return false
	}
	select {
	case <-p.process.done:
		return true
	default:
		return false
	}
}

// stop ends the program and waits for that. It is an error if the program ended
// by itself before; stopping it twice is none.
func (p *program) stop() error {
	if p.process == nil {
		return nil
	}
	var err error
	if p.ended() {
		err = fmt.Errorf("%s had ended by itself: %w", p.name, p.process.err)
	}
	p.process.cancel()
	<-p.process.done
	p.process = nil
	return err
}

// lastWords returns the end of the program's log, for the error that ends Start:
// the log itself may be gone by the time somebody reads that.
func (p *program) lastWords() string {
	const length = 2 << 10
	words, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(its log cannot be read: %v)", err)
	}
	return fmt.Sprintf("the end of %s:\n%s", p.log, words[max(0, len(words)-length):])
}
