package main

import (
	"bytes"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
)

// What the operator is started with when no value says anything else.
var defaultArgs = []string{"--leader-elect", "--health-probe-bind-address=:8081", "--metrics-bind-address=:8443"}

// Each case is some values and the flags that they bring, beside the default ones.
var flagCases = map[string]struct {
	values  string
	want    []string
	without string // of the defaults
}{
	"nothing is set": {},
	"namespaces, which turn metrics off": {
		values: "namespaces: [payments, billing]", want: []string{"--namespaces=payments,billing"}, without: "--metrics-bind-address=:8443",
	},
	"a selector of sessions": {
		values: "sessionSelector: team in (a, b)", want: []string{"--session-selector=team in (a, b)"},
	},
	"endpoints": {
		values: `allowedEndpoints: ["https://vault.example.com/SecretServer", "https://other.example.com"]`,
		want:   []string{"--allowed-endpoints=https://vault.example.com/SecretServer,https://other.example.com"},
	},
	"numbers at a time": {
		values: "maxConcurrentReconciles: 2000000\nendpointConcurrency: 1",
		want:   []string{"--max-concurrent-reconciles=2000000", "--endpoint-concurrency=1"},
	},
	"the retry after a refusal": {
		values: "rejectedCredentialsRetry: 1h30m", want: []string{"--rejected-credentials-retry=1h30m"},
	},
	"no retry after a refusal": {
		values: `rejectedCredentialsRetry: "0"`, want: []string{"--rejected-credentials-retry=0"},
	},
	"requests to the API server": {
		values: "kubeAPI: {qps: 12.5, burst: 30}", want: []string{"--kube-api-qps=12.5", "--kube-api-burst=30"},
	},
	"no requests at once": {
		values: "kubeAPI: {burst: 0}", want: []string{"--kube-api-burst=0"},
	},
	"the lease's namespace": {
		values: "leaderElection: {namespace: leases}", want: []string{"--leader-election-namespace=leases"},
	},
	"no leader": {
		values: "leaderElection: {enabled: false}\nreplicas: 1", without: "--leader-elect",
	},
	"no metrics": {
		values: "metrics: {enabled: false}", without: "--metrics-bind-address=:8443",
	},
	"metrics for everybody, at another port": {
		values:  "metrics: {secure: false, port: 8080}",
		want:    []string{"--metrics-bind-address=:8080", "--metrics-secure=false"},
		without: "--metrics-bind-address=:8443",
	},
	"probes at another port": {
		values: "health: {port: 9090}", want: []string{"--health-probe-bind-address=:9090"}, without: "--health-probe-bind-address=:8081",
	},
	"the log": {
		values: "log: {level: debug, encoder: console, stacktraceLevel: panic, timeEncoding: rfc3339, development: false}",
		want: []string{
			"--zap-log-level=debug", "--zap-encoder=console", "--zap-stacktrace-level=panic", "--zap-time-encoding=rfc3339", "--zap-devel=false",
		},
	},
	"a number as the log's level": {
		values: "log: {level: 3}", want: []string{"--zap-log-level=3"},
	},
	"further flags": {
		values: "extraArgs: [--zap-devel]", want: []string{"--zap-devel"},
	},
}

func TestFlagsFollowTheValues(t *testing.T) {
	t.Parallel()
	for name, c := range flagCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := argsOf(t, render(t, c.values))
			want := slices.DeleteFunc(slices.Concat(defaultArgs, c.want), func(arg string) bool { return arg == c.without })
			if !slices.Equal(slices.Sorted(slices.Values(args)), slices.Sorted(slices.Values(want))) {
				t.Errorf("the operator is started with\n  %q, and should be with\n  %q", args, want)
			}
			// It reads all flags before it answers.
			cmd := exec.CommandContext(t.Context(), tools.operator, append(args, "--version")...) //nolint:gosec // built for this
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("the operator does not take %q: %v\n%s", args, err, output)
			}
		})
	}
}

// A flag without a value would have to be known to exist, and be given in extraArgs.
func TestEveryFlagHasAValue(t *testing.T) {
	reached := map[string]bool{
		"kubeconfig": true, // in a pod there is none
		"version":    true, // ends the operator
	}
	for _, arg := range defaultArgs {
		reached[flagOf(arg)] = true
	}
	for name, c := range flagCases {
		if name == "further flags" {
			continue
		}
		for _, arg := range c.want {
			reached[flagOf(arg)] = true
		}
	}
	var usage bytes.Buffer
	cmd := exec.CommandContext(t.Context(), tools.operator, "-h") //nolint:gosec // built for this
	cmd.Stderr = &usage
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^ {2}-([-a-z]+)`).FindAllStringSubmatch(usage.String(), -1)
	if len(flags) < 15 {
		t.Fatalf("found %d flags in\n%s", len(flags), &usage)
	}
	for _, flag := range flags {
		if !reached[flag[1]] {
			t.Errorf("no case sets --%s by a value of its own; known are %q", flag[1], slices.Sorted(maps.Keys(reached)))
		}
	}
}

func flagOf(arg string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	return name
}

// argsOf returns what the only Deployment starts the operator with.
func argsOf(t *testing.T, o objects) []string {
	t.Helper()
	return deploymentOf(t, o).Spec.Template.Spec.Containers[0].Args
}

func deploymentOf(t *testing.T, o objects) *appsv1.Deployment {
	t.Helper()
	deployments := o.of("Deployment")
	if len(deployments) != 1 {
		t.Fatalf("there are %d Deployments, and not one", len(deployments))
	}
	return into[appsv1.Deployment](t, deployments[0])
}
