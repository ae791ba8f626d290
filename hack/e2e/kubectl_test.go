package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// kubectl does what a user would type, and returns what it prints.
func kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "../kubectl.sh", args...) //nolint:gosec // the suite's own words
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// must is kubectl where it has to succeed.
func must(ctx context.Context, args ...string) string {
	GinkgoHelper()
	output, err := kubectl(ctx, args...)
	Expect(err).NotTo(HaveOccurred())
	return output
}

var forwarding = regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:\d+) `)

// A forward is a kubectl port-forward.
type forward struct {
	address string // on this machine
	cmd     *exec.Cmd
}

// forwardTo begins to forward to a port of something, such as pod/name.
func forwardTo(ctx context.Context, namespace, what, port string) (*forward, error) {
	//nolint:gosec // the suite's own words; it outlives the call and is ended by stop
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "../kubectl.sh", "port-forward", "--address=127.0.0.1", "--namespace="+namespace, what, ":"+port)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		match := forwarding.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		go func() { // it tells of each connection
			for lines.Scan() {
				continue
			}
		}()
		return &forward{address: match[1], cmd: cmd}, nil
	}
	return nil, fmt.Errorf("kubectl port-forward %s: %w: %s", what, cmd.Wait(), stderr.String())
}

func (f *forward) stop() {
	// It has no end of its own, and how it takes this one does not matter.
	if f.cmd.Process.Kill() == nil {
		_ = f.cmd.Wait() //nolint:errcheck // it was killed
	}
}
