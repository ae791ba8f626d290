// Command footprint measures what the built operator takes of a node, for the requests and limits in config/manager: it starts a control
// plane, a fake Secret Server and the operator, has it log in for so many sessions at once and then leaves it in peace. It is started by
// `make footprint`, with KUBEBUILDER_ASSETS naming the directory of the control plane's programs, and prints one Markdown table.
//
// Memory and processor time are the operator's own, and little affected by what else runs; durations are not measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/controlplane"
	"tokensync.dev/secret-server-operator/hack/operator"
)

// patience bounds each wait.
const patience = 15 * time.Minute

func main() {
	binary := flag.String("operator", "bin/manager", "the built operator")
	sizes := flag.String("sessions", "0,100,500", "how many sessions, one measurement for each number")
	rest := flag.Duration("rest", 30*time.Second, "how long the operator has nothing to do before it is measured at rest")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	fmt.Println("| Sessions | Memory at most, MiB | Memory at rest, MiB | CPU time until all are ready, s | CPU time at rest, millicores |")
	fmt.Println("|---|---|---|---|---|")
	var err error
	for size := range strings.SplitSeq(*sizes, ",") {
		var sessions int
		if sessions, err = strconv.Atoi(size); err == nil {
			err = measure(ctx, *binary, sessions, *rest)
		}
		if err != nil {
			break
		}
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

// measure prints one row.
func measure(ctx context.Context, binary string, sessions int, rest time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "footprint-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cluster, err := controlplane.Start(ctx, controlplane.Options{CRDPaths: []string{"config/crd/bases"}, NoControllerManager: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	vault := secretservertest.New(secretservertest.Options{
		BasePath: "/SecretServer", TokenLifetime: time.Hour,
		Accounts: []secretservertest.Account{{Username: "svc", Password: "correct horse"}},
	})
	if err := vault.StartTLS(); err != nil {
		return err
	}
	defer vault.Close()
	if err := populate(ctx, cluster, vault, sessions); err != nil {
		return err
	}
	p, err := operator.Start(ctx, operator.Options{
		Binary: binary, Kubeconfig: cluster.KubeconfigPath(), Log: filepath.Join(dir, "operator.log"), Serve: true,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Kill()) }()

	begin, err := settled(ctx, p, sessions)
	if err != nil {
		return errors.Join(err, errors.New(p.LastWords()))
	}
	if err := pause(ctx, rest); err != nil {
		return err
	}
	end, err := p.Metrics(ctx)
	if err != nil {
		return err
	}
	peak, err := peakMemory(p.ID())
	if err != nil {
		return err
	}
	const cpu, memory, mebi = "process_cpu_seconds_total", "process_resident_memory_bytes", 1 << 20
	_, err = fmt.Printf("| %d | %.0f | %.0f | %.1f | %.1f |\n", sessions, peak/mebi, end[memory]/mebi, begin[cpu],
		1000*(end[cpu]-begin[cpu])/rest.Seconds())
	return err
}

// populate makes sessions that share an account, and what they name.
func populate(ctx context.Context, cluster *controlplane.Cluster, vault *secretservertest.Server, sessions int) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), api.AddToScheme(scheme)); err != nil {
		return err
	}
	c, err := client.New(cluster.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	named := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}
	}
	objects := []client.Object{
		&corev1.ConfigMap{ObjectMeta: named("vault-ca"), Data: map[string]string{"ca.crt": string(vault.CA())}},
		&corev1.Secret{ObjectMeta: named("account"), StringData: map[string]string{"username": "svc", "password": "correct horse"}},
	}
	for i := range sessions {
		objects = append(objects, &api.SecretServerSession{ObjectMeta: named(fmt.Sprintf("session-%d", i)), Spec: api.SecretServerSessionSpec{
			Endpoint:    api.Endpoint{URL: vault.URL(), CABundleRef: &api.CABundleReference{Name: "vault-ca"}},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: "account"}},
		}})
	}
	for _, o := range objects {
		if err := c.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until the operator is ready, and has logged in for so many sessions and written what it has to, and returns its metrics.
func settled(ctx context.Context, p *operator.Process, sessions int) (operator.Metrics, error) {
	var found operator.Metrics
	err := wait.PollUntilContextTimeout(ctx, time.Second, patience, true, func(ctx context.Context) (bool, error) {
		if err := p.Err(); err != nil {
			return false, err
		}
		err := p.Ready(ctx)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		found, err = p.Metrics(ctx)
		return err == nil && int(found.Sum("secretserversession_grants_total")) >= sessions && found.Sum("workqueue_depth") == 0, nil
	})
	return found, err
}

// pause waits for a while.
func pause(ctx context.Context, d time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-bounded.Done()
	return ctx.Err()
}

// peakMemory is the most that a process has had resident, in bytes.
func peakMemory(id int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kibi, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			value, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kibi), "kB")))
			return float64(value << 10), err
		}
	}
	return 0, errors.New("the kernel does not tell the process's peak of memory")
}
