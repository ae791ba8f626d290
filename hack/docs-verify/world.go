package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokensync.dev/secret-server-operator/hack/controlplane"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// serviceAccount is whom the installed operator works as.
const serviceAccount = "system:serviceaccount:secret-server-operator-system:secret-server-operator-controller-manager"

// quickstart is what the README tells to do before other pages make sense.
const quickstart = `set -eo pipefail
kubectl create namespace payments
kubectl create secret generic billing-account -n payments --type=kubernetes.io/basic-auth \
  --from-literal=username="$DOCS_USERNAME" --from-literal=password="$DOCS_PASSWORD"
kubectl create configmap vault-ca -n payments --from-file=ca.crt
kubectl apply -f session.yaml
kubectl wait --for=condition=Ready sss/billing -n payments --timeout=60s
`

// A world is what one page is tried in: a control plane without nodes, on which the installer was applied; the operator, which
// runs beside it as the installed ServiceAccount; and a Secret Server that answers to the documents' names.
type world struct {
	dir      string // a copy of the repository, where the shell is
	log      string // of the operator
	cleanups []func() error
	environ  []string
}

// tree is what every world begins with.
type tree struct {
	root      string // of the repository
	operator  string // path of the built operator
	installer []byte
	session   string // the session of the README
}

// build makes a world. Whatever it returns must be torn down.
func (t tree) build(ctx context.Context) (*world, error) {
	w := &world{}
	scratch, err := os.MkdirTemp("", "docs-verify-")
	if err != nil {
		return w, err
	}
	w.afterwards(func() error { return os.RemoveAll(scratch) })
	w.dir, w.log = filepath.Join(scratch, "secret-server-operator"), filepath.Join(scratch, "operator.log")
	vault, err := openVault(ctx)
	if err != nil {
		return w, err
	}
	w.afterwards(vault.close)
	cluster, err := controlplane.Start(ctx, controlplane.Options{CRDPaths: []string{filepath.Join(t.root, "config", "crd", "bases")}})
	if err != nil {
		return w, err
	}
	w.afterwards(cluster.Stop)
	w.environ = append(os.Environ(),
		"KUBECONFIG="+cluster.KubeconfigPath(),
		"PATH="+filepath.Dir(cluster.Kubectl())+string(os.PathListSeparator)+os.Getenv("PATH"),
		"HOME="+scratch, "DOCS_USERNAME="+username, "DOCS_PASSWORD="+password)
	if err := t.copy(ctx, w.dir, vault.server.CA()); err != nil {
		return w, err
	}
	if err := w.run(ctx, "kubectl apply --server-side --force-conflicts -f dist/install.yaml"); err != nil {
		return w, err
	}
	err = w.startOperator(ctx, t.operator, cluster, vault)
	return w, err
}

func (w *world) startOperator(ctx context.Context, binary string, cluster *controlplane.Cluster, vault *vault) error {
	user, err := cluster.AddUser(serviceAccount)
	if err != nil {
		return err
	}
	kubeconfig, err := cluster.KubeconfigFor(user)
	if err != nil {
		return err
	}
	process, err := operator.Start(ctx, operator.Options{
		Binary: binary, Kubeconfig: kubeconfig, Log: w.log, Env: []string{"HTTPS_PROXY=" + vault.proxyURL()},
	})
	if err != nil {
		return err
	}
	w.afterwards(process.Stop)
	return nil
}

// copy puts all that git knows of into a directory, so that a page can do with it what it likes, and what a reader would have made.
func (t tree) copy(ctx context.Context, dir string, ca []byte) error {
	script := `mkdir -p "$0/dist" && git ls-files -z --cached --others --exclude-standard |
		while IFS= read -rd '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done | tar -c --null -T - -f - | tar -x -C "$0" -f -`
	tar := exec.CommandContext(ctx, "bash", "-eo", "pipefail", "-c", script, dir) //nolint:gosec // the directory is this program's own
	tar.Dir = t.root
	if said, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the repository: %w\n%s", err, said)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "dist", "install.yaml"), t.installer, 0o600),
		os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600),
		os.WriteFile(filepath.Join(dir, "session.yaml"), []byte(t.session), 0o600),
	)
}

// run runs a script that is no page's.
func (w *world) run(ctx context.Context, script string) error {
	if said, err := w.bash(ctx, script).CombinedOutput(); err != nil {
		return fmt.Errorf("%w in\n%s\n%s", err, script, said)
	}
	return nil
}

func (w *world) bash(ctx context.Context, script string) *exec.Cmd {
	bash := exec.CommandContext(ctx, "bash", "-c", script) //nolint:gosec // to run what a page says is what this program is for
	bash.Dir, bash.Env = w.dir, w.environ
	bash.WaitDelay = time.Second // for what it left running in the background
	// A page that asks for the password gets it.
	bash.Stdin = strings.NewReader(strings.Repeat(password+"\n", 10))
	return bash
}

func (w *world) afterwards(cleanup func() error) { w.cleanups = append(w.cleanups, cleanup) }

// tearDown removes everything, last things first.
func (w *world) tearDown() error {
	var errs []error
	for _, cleanup := range slices.Backward(w.cleanups) {
		errs = append(errs, cleanup())
	}
	return errors.Join(errs...)
}
