package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// stopTimeout is how long a server may take to end before it is killed.
const stopTimeout = 10 * time.Second

// A vault is a fake Secret Server in a process of its own, so that its CPU time is nobody else's. It is driven through its
// control API.
type vault struct {
	URL     string `json:"url"`
	Control string `json:"control"`
	ca      []byte

	cmd    *exec.Cmd
	cancel context.CancelFunc
}

// openVault starts a Secret Server with so many accounts. Refreshes per login are without limit.
func openVault(ctx context.Context, binary, dir string, accounts int) (v *vault, err error) {
	list := make([]secretservertest.Account, accounts)
	for i := range list {
		list[i] = secretservertest.Account{Username: accountName(i), Password: password(i, 0), Application: true}
	}
	text, err := json.Marshal(list) //nolint:gosec // made-up passwords, for the fake
	if err != nil {
		return nil, err
	}
	accountsFile, caFile := filepath.Join(dir, "accounts.json"), filepath.Join(dir, "vault-ca.crt")
	if err := os.WriteFile(accountsFile, text, 0o600); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	cmd := exec.CommandContext(ctx, path, "--accounts-file="+accountsFile, "--ca-out="+caFile, //nolint:gosec // the user names it
		"--control-listen=127.0.0.1:0", "--max-refreshes=-1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the fake Secret Server: %w", err)
	}
	v = &vault{cmd: cmd, cancel: cancel}
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err == nil {
		v.ca, err = os.ReadFile(caFile) //nolint:gosec // below the directory of results
	}
	if err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("the fake Secret Server does not get ready: %w", err), ignoreCanceled(cmd.Wait()))
	}
	return v, nil
}

// close ends the process.
func (v *vault) close() error {
	v.cancel()
	return ignoreCanceled(v.cmd.Wait())
}

// ignoreCanceled drops what os/exec returns of a process that obeyed.
func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// stats are what it has counted.
func (v *vault) stats(ctx context.Context) (secretservertest.Stats, error) {
	var stats secretservertest.Stats
	err := v.call(ctx, http.MethodGet, "/stats", nil, &stats)
	return stats, err
}

// lifetimes sets those of the tokens that it grants from now on: all most, or if least is not zero by chance between the two.
func (v *vault) lifetimes(ctx context.Context, least, most time.Duration) error {
	return v.call(ctx, http.MethodPost, "/configure", map[string]string{"least-lifetime": least.String(), "token-lifetime": most.String()}, nil)
}

// slow has each grant take so long.
func (v *vault) slow(ctx context.Context, delay time.Duration) error {
	return v.call(ctx, http.MethodPost, "/faults", secretservertest.Fault{Operation: secretservertest.Grant, Delay: delay}, nil)
}

// setPassword changes that of an account.
func (v *vault) setPassword(ctx context.Context, account, rotations int) error {
	path := "/accounts/" + accountName(account) + "/password"
	return v.call(ctx, http.MethodPost, path, map[string]string{"password": password(account, rotations)}, nil)
}

// call asks the control API.
func (v *vault) call(ctx context.Context, method, path string, body, into any) error {
	answer, err := ask(ctx, method, v.Control+path, jsonOf(body))
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(answer, into)
}
