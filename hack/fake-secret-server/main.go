// Command fake-secret-server runs the Secret Server of package secretservertest as
// a process of its own, for demonstrations, benchmarks and fault injection.
//
// Once it listens it prints one line of JSON, {"url":"...","control":"..."}, and
// writes the files asked for. It runs until SIGINT or SIGTERM. With
// --control-listen another process can watch and disturb it through the API that
// secretservertest.Server.Control documents.
//
// Everything that it keeps is in memory and gone when it ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake-secret-server:", err)
		os.Exit(1)
	}
}

// run serves until the context ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	server := secretservertest.New(c.options)
	defer server.Close()
	start := server.StartTLS
	if c.plain {
		start = server.Start
	}
	if err := start(); err != nil {
		return err
	}
	failed := make(chan error, 1)
	control, err := serveControl(ctx, c.control, server.Control(), failed)
	if err != nil {
		return err
	}
	defer control.close()
	if err := c.announce(server, control.url, stdout); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// announce tells where the server is, the files first and the line on stdout last.
func (c *config) announce(server *secretservertest.Server, controlURL string, stdout io.Writer) error {
	for _, file := range []struct{ name, content string }{
		{c.caOut, string(server.CA())},
		{c.controlURLOut, controlURL},
		{c.urlOut, server.URL()},
	} {
		if file.name == "" {
			continue
		}
		if err := publish(file.name, file.content); err != nil {
			return err
		}
	}
	return json.NewEncoder(stdout).Encode(map[string]string{"url": server.URL(), "control": controlURL})
}

// publish makes a file appear with its whole content at once.
func publish(name, content string) error {
	const suffix = ".new"
	if err := os.WriteFile(name+suffix, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(name+suffix, name)
}

// controlListener serves the control API; the zero value serves nothing.
type controlListener struct {
	url    string
	server *http.Server
}

// serveControl listens on a loopback address, or not at all when it is empty.
func serveControl(ctx context.Context, address string, api http.Handler, failed chan<- error) (*controlListener, error) {
	if address == "" {
		return &controlListener{}, nil
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(
			fmt.Errorf("control address %s is not loopback: the control API has no authentication", address),
			listener.Close())
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return &controlListener{url: "http://" + listener.Addr().String(), server: server}, nil
}

func (l *controlListener) close() {
	if l.server == nil {
		return
	}
	if err := l.server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "fake-secret-server: closing the control listener:", err)
	}
}
