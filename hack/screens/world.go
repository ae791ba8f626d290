package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/controlplane"
	"tokensync.dev/secret-server-operator/hack/operator"
)

const namespace = "payments"

// The names of the Secret Servers in world.yaml.
const (
	sound  = "vault.example.com"
	broken = "broken.example.com"
)

//go:embed world.yaml
var objects string

// world is all that runs.
type world struct {
	plane    *controlplane.Cluster
	operator *operator.Process
	closing  []func() error // to be called last first
}

// newWorld starts everything, and applies world.yaml.
func newWorld(ctx context.Context, binary string) (*world, error) {
	w := &world{}
	if err := w.start(ctx, binary); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) start(ctx context.Context, binary string) error {
	directory, err := os.MkdirTemp("", "screens-")
	if err != nil {
		return err
	}
	w.atEnd(func() error { return os.RemoveAll(directory) })
	authorities, proxy, err := w.startServers()
	if err != nil {
		return err
	}
	bundle := filepath.Join(directory, "ca.crt")
	if err := os.WriteFile(bundle, authorities, 0o600); err != nil {
		return err
	}
	if w.plane, err = controlplane.Start(ctx, controlplane.Options{CRDPaths: []string{"config/crd/bases"}}); err != nil {
		return err
	}
	w.atEnd(w.plane.Stop)
	const user = "secret-server-operator"
	for _, command := range [][]string{
		{"apply", "-f", "config/rbac/role.yaml"},
		{"create", "clusterrolebinding", user, "--clusterrole=manager-role", "--user=" + user},
		{"create", "namespace", namespace},
		{"create", "configmap", "vault-ca", "-n", namespace, "--from-file=ca.crt=" + bundle},
	} {
		if _, err := w.kubectl(ctx, command...); err != nil {
			return err
		}
	}
	account, err := w.plane.AddUser(user)
	if err != nil {
		return err
	}
	kubeconfig, err := w.plane.KubeconfigFor(account)
	if err != nil {
		return err
	}
	if w.operator, err = operator.Start(ctx, operator.Options{
		Binary: binary, Kubeconfig: kubeconfig, Log: filepath.Join(directory, "operator.log"), Env: []string{"HTTPS_PROXY=" + proxy},
	}); err != nil {
		return err
	}
	w.atEnd(w.operator.Stop)
	manifest := filepath.Join(directory, "world.yaml")
	if err := os.WriteFile(manifest, []byte(objects), 0o600); err != nil {
		return err
	}
	_, err = w.kubectl(ctx, "apply", "-n", namespace, "-f", manifest)
	return err
}

// startServers starts both Secret Servers, and a proxy that knows them by their names.
func (w *world) startServers() (authorities []byte, proxy string, err error) {
	addresses := map[string]string{}
	for _, name := range []string{sound, broken} {
		server := secretservertest.New(secretservertest.Options{
			BasePath: "/SecretServer", Hosts: []string{name},
			Accounts: []secretservertest.Account{
				{Username: "svc-billing", Password: "made-up-for-the-screens"}, {Username: "svc-invoices", Password: "the right one"},
			},
		})
		if err := server.StartTLS(); err != nil {
			return nil, "", err
		}
		w.atEnd(func() error { server.Close(); return nil })
		if name == broken {
			server.Inject(secretservertest.Fault{Effect: secretservertest.Status, Status: http.StatusServiceUnavailable})
		}
		at, err := url.Parse(server.URL())
		if err != nil {
			return nil, "", err
		}
		addresses[name+":443"] = at.Host
		authorities = append(authorities, server.CA()...)
	}
	p, err := startProxy(addresses)
	if err != nil {
		return nil, "", err
	}
	w.atEnd(p.Close)
	return authorities, p.url(), nil
}

// settle waits until each session is in its state.
func (w *world) settle(ctx context.Context) error {
	for _, s := range []struct{ session, reason string }{
		{"billing", "TokenCurrent"},
		{"invoices", "CredentialsRejected"},
		{"mail", "TargetConflict"},
		{"reports", "EndpointUnavailable"},
		{"archive", "Suspended"},
	} {
		if err := w.wait(ctx, s.session, `{.status.conditions[?(@.type=="Ready")].reason}=`+s.reason); err != nil {
			return err
		}
	}
	if _, err := w.kubectl(ctx, "annotate", "sss", "billing", "-n", namespace, "secretserver.tokensync.dev/refresh-requested-at=now"); err != nil {
		return err
	}
	if err := w.wait(ctx, "billing", "{.status.refreshCount}=1"); err != nil {
		return err
	}
	// Events are written after the status.
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		told, err := w.kubectl(ctx, "events", "-n", namespace)
		if err != nil {
			return err
		}
		if strings.Contains(told, "CredentialsRejected") && strings.Contains(told, "TargetConflict") && strings.Contains(told, "LoggedIn") {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return errors.New("not all events came within a minute")
}

func (w *world) wait(ctx context.Context, session, state string) error {
	_, err := w.kubectl(ctx, "wait", "sss/"+session, "-n", namespace, "--for=jsonpath="+state, "--timeout=120s")
	return err
}

// kubectl runs kubectl as the administrator.
func (w *world) kubectl(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, w.plane.Kubectl(), arguments...) //nolint:gosec // the documents' own
	command.Env = append(os.Environ(), "KUBECONFIG="+w.plane.KubeconfigPath())
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, &complaints)
	}
	return out.String(), nil
}

func (w *world) atEnd(do func() error) { w.closing = append(w.closing, do) }

func (w *world) close() error {
	var errs []error
	for _, do := range slices.Backward(w.closing) {
		errs = append(errs, do())
	}
	return errors.Join(errs...)
}
