package controlplane

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A plan knows how the programs are to run: their addresses, directories, keys
// and flags, the same for each start.
type plan struct {
	assets, dir, logs, data string
	etcdURL, serverURL      string
	serverPort              string
	authority               *authority
	options                 Options
}

// newPlan chooses addresses and writes keys and certificates below dir.
func newPlan(ctx context.Context, dir, assets string, options Options) (*plan, error) {
	p := &plan{assets: assets, dir: dir, logs: options.LogDir, data: options.DataDir, options: options}
	if p.logs == "" {
		p.logs = filepath.Join(dir, "log")
	}
	if p.data == "" {
		p.data = filepath.Join(dir, "etcd")
	}
	for _, d := range []string{p.logs, p.data} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	etcdPort, serverPort, err := twoFreePorts(ctx)
	if err != nil {
		return nil, err
	}
	p.etcdURL = "http://127.0.0.1:" + etcdPort
	p.serverURL, p.serverPort = "https://127.0.0.1:"+serverPort, serverPort
	if p.authority, err = newAuthority(); err != nil {
		return nil, err
	}
	if err := p.writeFiles(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *plan) writeFiles() error {
	crt, key, err := p.authority.issue(&x509.Certificate{
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	if err != nil {
		return err
	}
	_, tokenKey, err := newKey()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"ca.crt": p.authority.crt, "server.crt": crt, "server.key": key, "tokens.key": tokenKey, "audit.yaml": []byte(auditPolicy),
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// auditPolicy records requests without their bodies, which may hold secrets.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata}]
`

func (p *plan) etcd() *program {
	return p.program("etcd", syscall.SIGTERM, map[string]string{
		"data-dir":              p.data,
		"listen-client-urls":    p.etcdURL,
		"advertise-client-urls": p.etcdURL,
		"listen-peer-urls":      "http://127.0.0.1:0", // required, though there is no peer
		"unsafe-no-fsync":       "true",
	})
}

// apiServer is killed rather than asked to stop: it would wait up to a minute
// for its clients to end their watches. All it has to keep is in etcd.
func (p *plan) apiServer() *program {
	flags := map[string]string{
		"etcd-servers":                     p.etcdURL,
		"bind-address":                     "127.0.0.1",
		"secure-port":                      p.serverPort,
		"tls-cert-file":                    filepath.Join(p.dir, "server.crt"),
		"tls-private-key-file":             filepath.Join(p.dir, "server.key"),
		"client-ca-file":                   filepath.Join(p.dir, "ca.crt"),
		"service-account-issuer":           "https://kubernetes.default.svc",
		"service-account-key-file":         filepath.Join(p.dir, "tokens.key"),
		"service-account-signing-key-file": filepath.Join(p.dir, "tokens.key"),
		"service-cluster-ip-range":         "10.0.0.0/24",
		"authorization-mode":               "RBAC",
		// Nobody reaches the server through the kubernetes Service. Without these
		// two it needs a network interface other than the loopback.
		"advertise-address":        "127.0.0.1",
		"endpoint-reconciler-type": "none",
	}
	if p.options.AuditLog != "" {
		flags["audit-policy-file"] = filepath.Join(p.dir, "audit.yaml")
		flags["audit-log-path"] = p.options.AuditLog
		flags["audit-log-mode"] = "blocking"
	}
	maps.Copy(flags, p.options.APIServerFlags)
	return p.program("kube-apiserver", syscall.SIGKILL, flags)
}

// controllerManager runs the controllers that work without nodes and whose lack
// an operator's users would notice. It serves no port.
func (p *plan) controllerManager(kubeconfig string) *program {
	return p.program("kube-controller-manager", syscall.SIGTERM, map[string]string{
		"kubeconfig": kubeconfig,
		"controllers": strings.Join([]string{
			"garbage-collector-controller",
			"namespace-controller",
			"serviceaccount-controller",
			"serviceaccount-token-controller",
			"clusterrole-aggregation-controller",
		}, ","),
		"use-service-account-credentials":  "false",
		"service-account-private-key-file": filepath.Join(p.dir, "tokens.key"),
		"leader-elect":                     "false",
		"secure-port":                      "0",
	})
}

func (p *plan) program(name string, ending syscall.Signal, flags map[string]string) *program {
	args := make([]string, 0, len(flags))
	for _, flag := range slices.Sorted(maps.Keys(flags)) {
		args = append(args, "--"+flag+"="+flags[flag])
	}
	return &program{
		name: name, path: filepath.Join(p.assets, name), args: args, ending: ending,
		log: filepath.Join(p.logs, name+".log"),
	}
}

// twoFreePorts returns different ports that nobody listened on a moment ago.
func twoFreePorts(ctx context.Context) (a, b string, err error) {
	first, a, err := listen(ctx)
	if err != nil {
		return "", "", err
	}
	second, b, err := listen(ctx)
	if err != nil {
		return "", "", errors.Join(err, first.Close())
	}
	return a, b, errors.Join(first.Close(), second.Close())
}

func listen(ctx context.Context) (listener net.Listener, port string, err error) {
	listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, "", errors.Join(err, listener.Close())
	}
	return listener, port, nil
}
