package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// config is what the command line asks for.
type config struct {
	options       secretservertest.Options
	plain         bool
	control       string
	caOut         string
	urlOut        string
	controlURLOut string
}

// parse reads the command line. Its errors hold no password.
func parse(args []string, stderr io.Writer) (*config, error) {
	c := &config{}
	o := &c.options
	set := flag.NewFlagSet("fake-secret-server", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&o.Listen, "listen", "127.0.0.1:0", "address to listen on")
	set.StringVar(&o.BasePath, "base-path", "/SecretServer", "virtual directory of the server")
	set.BoolVar(&c.plain, "plain", false, "plain HTTP instead of HTTPS")
	set.BoolVar(&o.HTTP2, "http2", false, "offer HTTP/2")
	set.Uint64Var(&o.Seed, "seed", 0, "seed of the faults' probabilities")
	set.StringVar(&c.control, "control-listen", "", "loopback address of the control API; empty for none")
	set.StringVar(&c.caOut, "ca-out", "", "file to write the CA certificate to")
	set.StringVar(&c.urlOut, "url-out", "", "file to write the base URL to, once it listens")
	set.StringVar(&c.controlURLOut, "control-url-out", "", "file to write the control API's URL to")
	verbose := set.Bool("verbose", false, "report failed TLS handshakes and the like on stderr")
	set.Func("host", "further name or address in the certificate; may be repeated", func(host string) error {
		o.Hosts = append(o.Hosts, host)
		return nil
	})
	var named []string // parsed later: package flag puts a value that it cannot parse into its error
	set.Func("account", `[DOMAIN\]user:password that may log in; may be repeated`, func(text string) error {
		named = append(named, text)
		return nil
	})
	set.Func("accounts-file", "JSON list of accounts: username, password, domain, otpSeed, application, secrets", func(name string) error {
		accounts, err := readAccounts(name)
		o.Accounts = append(o.Accounts, accounts...)
		return err
	})
	o.Flags(set)
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	for i, text := range named {
		account, err := parseAccount(text)
		if err != nil {
			return nil, fmt.Errorf("account %d: %w", i+1, err)
		}
		o.Accounts = append(o.Accounts, account)
	}
	if *verbose {
		o.ErrorLog = log.New(stderr, "", log.LstdFlags)
	}
	return c, o.Validate()
}

// parseAccount splits at the first colon: a password may contain more.
func parseAccount(text string) (secretservertest.Account, error) {
	user, password, ok := strings.Cut(text, ":")
	if !ok {
		return secretservertest.Account{}, errors.New("want user:password")
	}
	domain, username, ok := strings.Cut(user, `\`)
	if !ok {
		domain, username = "", user
	}
	return secretservertest.Account{Username: username, Password: password, Domain: domain}, nil
}

func readAccounts(name string) ([]secretservertest.Account, error) {
	data, err := os.ReadFile(name) // #nosec G304 -- named on the command line
	if err != nil {
		return nil, err
	}
	var accounts []secretservertest.Account
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&accounts); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return accounts, nil
}
