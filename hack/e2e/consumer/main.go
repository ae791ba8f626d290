// Command consumer is a pod's program that uses what the operator gives it, as the documents tell people to: for each call to
// Secret Server it reads the token from where it was mounted. It counts what becomes of the calls, and prints the figures as one
// line of JSON, every few seconds and at its end; the last line tells all.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tokensync.dev/secret-server-operator/hack/e2e/figures"
)

// consumer is what the command line asks for.
type consumer struct {
	url    string
	ca     string
	mount  string // directory of the mounted Secret
	token  string // where the token stands, if not in a file of mount
	env    string // the variable that holds the token, instead of a file
	every  time.Duration
	report time.Duration
	client *http.Client
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

// run calls until the context ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	c := consumer{}
	set := flag.NewFlagSet("consumer", flag.ContinueOnError)
	set.StringVar(&c.url, "url", "", "base URL of Secret Server")
	set.StringVar(&c.ca, "ca", "", "file with the CA certificate to trust")
	set.StringVar(&c.mount, "mount", "", "directory where the Secret is mounted: token, and issuedAt and expiresAt if they are there")
	set.StringVar(&c.token, "token-file", "", "file with the token alone, instead of -mount")
	set.StringVar(&c.env, "token-env", "", "environment variable with the token, instead of -mount")
	set.DurationVar(&c.every, "every", 250*time.Millisecond, "time between two calls")
	set.DurationVar(&c.report, "report", 2*time.Second, "time between two lines of figures")
	if err := set.Parse(args); err != nil {
		return err
	}
	if err := c.trust(); err != nil {
		return err
	}
	return c.consume(ctx, json.NewEncoder(out))
}

// trust makes the client, which trusts the CA alone.
func (c *consumer) trust() error {
	pem, err := os.ReadFile(c.ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in the file given with -ca")
	}
	c.client = &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		Timeout:   5 * time.Second,
	}
	return nil
}

func (c *consumer) consume(ctx context.Context, out *json.Encoder) error {
	var f figures.Figures
	calls, reports := time.NewTicker(c.every), time.NewTicker(c.report)
	defer calls.Stop()
	defer reports.Stop()
	for {
		select {
		case <-ctx.Done():
			return out.Encode(&f)
		case <-reports.C:
			if err := out.Encode(&f); err != nil {
				return err
			}
		case <-calls.C:
			now := time.Now()
			token, err := c.read()
			outcome := figures.Failed
			if err == nil {
				outcome, err = c.call(ctx, token.Value)
			}
			if ctx.Err() != nil {
				continue // cut off by the end, which is nobody's fault
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "consumer:", err)
			}
			f.Note(now, token, outcome)
		}
	}
}

// read is the token as a program would read it for a request.
func (c *consumer) read() (figures.Token, error) {
	switch {
	case c.env != "":
		return figures.Token{Value: os.Getenv(c.env)}, nil
	case c.token != "":
		value, err := os.ReadFile(c.token)
		return figures.Token{Value: string(value)}, err
	}
	for {
		value, err := os.ReadFile(filepath.Join(c.mount, "token"))
		if err != nil {
			return figures.Token{}, err
		}
		token := figures.Token{Value: string(value)}
		if token.IssuedAt, err = timeIn(filepath.Join(c.mount, "issuedAt")); err != nil {
			return figures.Token{}, err
		}
		if token.ExpiresAt, err = timeIn(filepath.Join(c.mount, "expiresAt")); err != nil {
			return figures.Token{}, err
		}
		// The files change together, but not between two that are read: the times must be those of this token.
		if again, err := os.ReadFile(filepath.Join(c.mount, "token")); err != nil || string(again) == token.Value {
			return token, err
		}
	}
}

// timeIn is the time that a file holds; zero if there is no file.
func timeIn(name string) (time.Time, error) {
	text, err := os.ReadFile(name) // #nosec G304 -- below the directory named on the command line
	if errors.Is(err, os.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
}

// call asks Secret Server who the token belongs to.
func (c *consumer) call(ctx context.Context, token string) (figures.Outcome, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/api/v1/users/current", http.NoBody)
	if err != nil {
		return figures.Failed, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := c.client.Do(request)
	if err != nil {
		return figures.Failed, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return figures.Failed, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return figures.Accepted, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return figures.Refused, nil
	default:
		return figures.Failed, fmt.Errorf("status %d", response.StatusCode)
	}
}
