package main

import (
	"strings"
	"testing"
)

// Whoever mistypes a value is told where, and what is wrong with it, before
// anything reaches the cluster.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ values, told string }{
		"a value that there is not":             {"replicaCount: 3", "additional properties 'replicaCount' not allowed"},
		"a value that there is not, in a group": {"metrics: {bindAddress: ':8443'}", "at '/metrics': additional properties 'bindAddress' not allowed"},
		"text for a number":                     {"replicas: two", "at '/replicas': got string, want integer"},
		"text for a switch":                     {"crds: {install: 'false'}", "at '/crds/install': got string, want boolean"},
		"one namespace without a list":          {"namespaces: payments", "at '/namespaces': got string, want array"},
		"a namespace with capitals":             {"namespaces: [Payments]", "at '/namespaces/0': 'Payments' does not match pattern"},
		"a namespace twice":                     {"namespaces: [payments, payments]", "at '/namespaces': items at 0 and 1 are equal"},
		"an endpoint without TLS":               {"allowedEndpoints: ['http://vault.example.com']", "at '/allowedEndpoints/0': 'http://vault.example.com' does not match pattern"},
		"two endpoints in one":                  {"allowedEndpoints: ['https://a.example.com,https://b.example.com']", "at '/allowedEndpoints/0'"},
		"no sessions at a time":                 {"maxConcurrentReconciles: 0", "at '/maxConcurrentReconciles': minimum: got 0, want 1"},
		"a time without a unit":                 {"rejectedCredentialsRetry: '65'", "at '/rejectedCredentialsRetry': '65' does not match pattern"},
		"a port out of range":                   {"metrics: {port: 70000}", "at '/metrics/port': maximum: got 70,000, want 65,535"},
		"a level that there is not":             {"log: {level: verbose}", "at '/log/level'"},
		"an encoder that there is not":          {"log: {encoder: xml}", "at '/log/encoder': value must be one of '', 'json', 'console'"},
		"a digest that is none":                 {"image: {digest: abc}", "at '/image/digest': 'abc' does not match pattern"},
		"a tag in the repository's place":       {"image: {repository: 'Vault:v1 '}", "at '/image/repository'"},
		"a flag without dashes":                 {"extraArgs: [leader-elect]", "at '/extraArgs/0'"},
		"a variable that is no text":            {"env: [{name: HTTPS_PROXY, value: 3128}]", "at '/env/0/value': got number, want string"},
		"a variable without a name":             {"env: [{value: x}]", "at '/env/0': missing property 'name'"},
		"a label that selects":                  {"commonLabels: {app.kubernetes.io/name: mine}", "at '/commonLabels'"},
		"a label that is a number":              {"podLabels: {build: 7}", "at '/podLabels/build': got number, want string"},
		"a quantity that is none":               {"resources: {limits: {memory: lots}}", "at '/resources/limits/memory'"},
		"a shard with the rest's name":          {"shards: [rest]", "at '/shards/0'"},
		"a rule of another kind":                {"networkPolicy: {egress: [{from: []}]}", "at '/networkPolicy/egress/0': additional properties 'from' not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := helm(t, "template", release, chartPath, "--values", file(t, image), "--values", file(t, c.values))
			if err == nil {
				t.Fatalf("%s is accepted", c.values)
			}
			if !strings.Contains(err.Error(), c.told) {
				t.Errorf("what is told does not have %q:\n%v", c.told, err)
			}
		})
	}
}

// What the schema cannot tell, the templates do.
func TestTemplatesRefuse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ values, told string }{
		"no image":                     {"", "image.repository is not set, and there is no published image"},
		"two operators without a lead": {image + "leaderElection: {enabled: false}", "set replicas to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := helm(t, "template", release, chartPath, "--values", file(t, c.values))
			if err == nil || !strings.Contains(err.Error(), c.told) {
				t.Errorf("the error should have %q, and is: %v", c.told, err)
			}
		})
	}
}

// A parent chart hands down values of its own.
func TestSchemaAcceptsWhatAParentHandsDown(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	write(t, parent+"/Chart.yaml", "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n"+
		"- {name: secret-server-operator, version: '>=0.0.0-0', condition: secret-server-operator.enabled}\n")
	write(t, parent+"/values.yaml", "global: {region: eu}\nsecret-server-operator:\n  enabled: true\n  image: {repository: secret-server-operator}\n")
	copyTree(t, chartPath, parent+"/charts/secret-server-operator")
	out, err := helm(t, "template", "parent", parent)
	if err != nil {
		t.Fatal(err)
	}
	if len(decode(t, out).of("Deployment")) != 1 {
		t.Error("the operator is not rendered")
	}
}
