package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"tokensync.dev/secret-server-operator/hack/controlplane"
)

const crd = "secretserversessions.secretserver.tokensync.dev"

// A cluster is a control plane without nodes: objects are admitted and kept as
// anywhere else, and no pod runs.
type cluster struct{ *controlplane.Cluster }

func start(t *testing.T) cluster {
	t.Helper()
	c, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cluster{c}
}

func (c cluster) tryHelm(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	return helm(t, append(arguments, "--kubeconfig", c.KubeconfigPath())...)
}

func (c cluster) helm(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := c.tryHelm(t, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c cluster) tryKubectl(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	out, err := run(t, c.Kubectl(), nil, append(arguments, "--kubeconfig", c.KubeconfigPath())...)
	return strings.TrimSpace(out), err
}

func (c cluster) kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := c.tryKubectl(t, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// install installs the chart, which may be a changed copy, under its own name
// into its namespace.
func (c cluster) install(t *testing.T, chart string, arguments ...string) string {
	t.Helper()
	return c.helm(t, append([]string{"install", release, chart, "--namespace", namespace, "--create-namespace", "--values", file(t, image)}, arguments...)...)
}

func (c cluster) uninstall(t *testing.T) {
	t.Helper()
	c.helm(t, "uninstall", release, "--namespace", namespace)
}

// removeCRD leaves the cluster as it was, for the next story.
func (c cluster) removeCRD(t *testing.T) {
	t.Helper()
	c.kubectl(t, "delete", "crd", crd, "--ignore-not-found")
}

// left lists all objects of the release, of whatever kind, in the cluster. A kind whose CRD has just been deleted may still be told
// of, and be gone when its objects are asked for: then both are asked for again.
func (c cluster) left(t *testing.T) []string {
	t.Helper()
	var left string
	NewWithT(t).Eventually(func() error {
		kinds, err := c.tryKubectl(t, "api-resources", "--verbs=list", "--output=name")
		if err != nil {
			return err
		}
		left, err = c.tryKubectl(t, "get", strings.Join(strings.Fields(kinds), ","), "--all-namespaces", "--selector=app.kubernetes.io/instance="+release, "--output=name")
		return err
	}).WithTimeout(time.Minute).Should(Succeed(), "all kinds that the API server tells of should be listed")
	left += "\n" + c.kubectl(t, "get", "secrets", "--all-namespaces", "--selector=owner=helm", "--output=name")
	return strings.Fields(left)
}

// servesSessions waits until the API server serves the kind of a CRD that was installed: it does a moment after it says so.
func (c cluster) servesSessions(t *testing.T) {
	t.Helper()
	NewWithT(t).Eventually(func() error {
		_, err := c.tryKubectl(t, "get", "sss", "--all-namespaces")
		return err
	}).WithTimeout(time.Minute).Should(Succeed(), "the API server should serve sessions")
}

// knowsSuspend tells whether the CRD in the cluster has the field spec.suspend.
func (c cluster) knowsSuspend(t *testing.T) bool {
	t.Helper()
	return strings.Contains(c.kubectl(t, "get", "crd", crd, "--output=jsonpath={.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.suspend}"), "boolean")
}

// olderChart is the chart with a CRD that has no spec.suspend yet.
func olderChart(t *testing.T) string {
	t.Helper()
	chart := filepath.Join(t.TempDir(), release)
	copyTree(t, chartPath, chart)
	path := chart + "/files/crds/secretserver.tokensync.dev_secretserversessions.yaml"
	var definition struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       struct {
			Group    string           `json:"group"`
			Names    map[string]any   `json:"names"`
			Scope    string           `json:"scope"`
			Versions []map[string]any `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, path)), &definition); err != nil {
		t.Fatal(err)
	}
	version := definition.Spec.Versions[0]
	schema := inner(t, version, "schema", "openAPIV3Schema", "properties", "spec", "properties")
	if _, ok := schema["suspend"]; !ok {
		t.Fatal("the CRD has no spec.suspend")
	}
	delete(schema, "suspend")
	content, err := yaml.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(content))
	return chart
}

func inner(t *testing.T, m map[string]any, path ...string) map[string]any {
	t.Helper()
	for _, key := range path {
		next, ok := m[key].(map[string]any)
		if !ok {
			t.Fatalf("there is no %s of %q", key, path)
		}
		m = next
	}
	return m
}

func TestLifeOfARelease(t *testing.T) {
	c := start(t)

	t.Run("upgrading upgrades the CRD, rolling back rolls it back, and uninstalling leaves it and the sessions", c.livesAndEnds)
	t.Run("uninstalling removes the CRD too if it is not to be kept", func(t *testing.T) {
		c.removeCRD(t)
		c.install(t, chartPath, "--set=crds.keep=false")
		c.uninstall(t)
		c.kubectl(t, "wait", "--for=delete", "--timeout=60s", "crd/"+crd)
		if left := c.left(t); len(left) > 0 {
			t.Errorf("uninstalling leaves %q", left)
		}
	})
	t.Run("a release takes back the CRD that it left", func(t *testing.T) {
		c.install(t, olderChart(t))
		c.uninstall(t)
		c.install(t, chartPath)
		if !c.knowsSuspend(t) {
			t.Error("the CRD is not the chart's")
		}
		c.uninstall(t)
	})
	t.Run("a release that stops to install the CRD leaves it", func(t *testing.T) {
		c.install(t, chartPath)
		c.helm(t, "upgrade", release, chartPath, "--namespace", namespace, "--reuse-values", "--set=crds.install=false")
		if !c.knowsSuspend(t) {
			t.Error("the CRD is gone")
		}
		c.uninstall(t)
	})
	t.Run("a release takes over the CRD that kubectl applied, when told so", func(t *testing.T) { c.adopts(t) })
	t.Run("a second release lives beside the first", func(t *testing.T) {
		c.removeCRD(t)
		c.install(t, chartPath)
		c.helm(t, "install", "east", chartPath, "--namespace", namespace, "--values", file(t, image), "--set=crds.install=false", "--set=sessionSelector=region=east")
		c.helm(t, "uninstall", "east", "--namespace", namespace)
		c.uninstall(t)
	})
	t.Run("the pods are admitted where PodSecurity is restricted", c.admits)
	t.Run("the commands of the notes can be run", c.runsNotes)
}

func (c cluster) livesAndEnds(t *testing.T) {
	c.install(t, olderChart(t))
	if c.knowsSuspend(t) {
		t.Fatal("the older chart's CRD is not older")
	}
	c.servesSessions(t)
	write(t, tools.home+"/session.yaml", session)
	c.kubectl(t, "apply", "--filename="+tools.home+"/session.yaml")
	uid := c.kubectl(t, "get", "sss", "billing", "--output=jsonpath={.metadata.uid}")

	c.helm(t, "upgrade", release, chartPath, "--namespace", namespace, "--reuse-values")
	if !c.knowsSuspend(t) {
		t.Error("the upgrade has not upgraded the CRD")
	}
	before := c.generations(t)
	c.helm(t, "upgrade", release, chartPath, "--namespace", namespace, "--reuse-values")
	if after := c.generations(t); before != after {
		t.Errorf("the same upgrade again changes generations: before %s, after %s", before, after)
	}
	c.helm(t, "rollback", release, "1", "--namespace", namespace)
	if c.knowsSuspend(t) {
		t.Error("the rollback has not rolled the CRD back")
	}
	c.releasesAreSmall(t)

	c.uninstall(t)
	if left, want := c.left(t), []string{"customresourcedefinition.apiextensions.k8s.io/" + crd}; !slices.Equal(left, want) {
		t.Errorf("uninstalling leaves %q, and should leave %q", left, want)
	}
	if now := c.kubectl(t, "get", "sss", "billing", "--output=jsonpath={.metadata.uid}"); now != uid {
		t.Errorf("the session is %q, and was %q", now, uid)
	}
}

const session = `apiVersion: secretserver.tokensync.dev/v1alpha1
kind: SecretServerSession
metadata: {name: billing, namespace: default}
spec:
  endpoint: {url: https://vault.example.com/SecretServer}
  credentials: {secretRef: {name: billing-account}}
`

// generations are those of what has one.
func (c cluster) generations(t *testing.T) string {
	t.Helper()
	return c.kubectl(t, "get", "deployments,poddisruptionbudgets,networkpolicies,crd", "--all-namespaces", "--selector=app.kubernetes.io/instance="+release,
		"--output=jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.generation}{'\\n'}{end}")
}

// releasesAreSmall checks that Helm's record of a release, chart and all, stays
// far from the megabyte that a Secret may have.
func (c cluster) releasesAreSmall(t *testing.T) {
	t.Helper()
	const limit = 256 << 10
	var secrets struct {
		Items []struct {
			Data map[string][]byte `json:"data"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(c.kubectl(t, "get", "secrets", "--namespace", namespace, "--selector=owner=helm", "--output=json")), &secrets); err != nil {
		t.Fatal(err)
	}
	if len(secrets.Items) == 0 {
		t.Error("Helm has kept no release")
	}
	for _, secret := range secrets.Items {
		if size := len(secret.Data["release"]); size == 0 || size > limit {
			t.Errorf("Helm's record of a release has %d bytes; at most %d were expected", size, limit)
		}
	}
}

func (c cluster) adopts(t *testing.T) {
	t.Helper()
	c.removeCRD(t)
	out, err := run(t, tools.kustomize, nil, "build", filepath.Join(root, "config", "crd"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, tools.home+"/crd.yaml", out)
	c.kubectl(t, "apply", "--server-side", "--filename="+tools.home+"/crd.yaml")

	arguments := []string{"install", release, chartPath, "--namespace", namespace, "--create-namespace", "--values", file(t, image)}
	if _, err := c.tryHelm(t, arguments...); err == nil || !strings.Contains(err.Error(), "invalid ownership metadata") {
		t.Errorf("Helm should refuse a CRD that is not its own, and says: %v", err)
	}
	c.helm(t, append(arguments, "--take-ownership")...)
	c.helm(t, "upgrade", release, olderChart(t), "--namespace", namespace, "--reuse-values", "--force-conflicts")
	if c.knowsSuspend(t) {
		t.Error("the CRD does not follow the release")
	}
	c.uninstall(t)
}

func (c cluster) admits(t *testing.T) {
	c.install(t, chartPath)
	defer c.uninstall(t)
	c.kubectl(t, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
	pod := func(values string) error {
		deployment := deploymentOf(t, render(t, values))
		content, err := yaml.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "operator", "namespace": namespace}, "spec": deployment.Spec.Template.Spec,
		})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "pod.yaml")
		write(t, path, string(content))
		_, err = c.tryKubectl(t, "create", "--dry-run=server", "--filename="+path)
		return err
	}
	for _, values := range []string{"", "podSecurityContext: {runAsUser: null, runAsGroup: null}", "env: [{name: HTTPS_PROXY, value: x}]"} {
		if err := pod(values); err != nil {
			t.Errorf("with the values %q: %v", values, err)
		}
	}
	if err := pod("securityContext: {allowPrivilegeEscalation: true}"); err == nil || !strings.Contains(err.Error(), "restricted") {
		t.Errorf("PodSecurity should refuse a pod that may gain privileges, and says: %v", err)
	}
}

// Nothing runs there, so what waits for a pod only asks for its object.
func (c cluster) runsNotes(t *testing.T) {
	c.removeCRD(t)
	notes := c.install(t, chartPath)
	defer c.uninstall(t)
	c.servesSessions(t)

	var script []string
	for paragraph := range strings.SplitSeq(notes, "\n\n") {
		if strings.HasPrefix(paragraph, "kubectl ") && !strings.HasPrefix(paragraph, "kubectl explain") {
			script = append(script, paragraph)
		}
	}
	if len(script) != 3 {
		t.Fatalf("found %d commands in\n%s", len(script), notes)
	}
	text := strings.NewReplacer(
		"kubectl rollout status", "kubectl get",
		"kubectl wait", "kubectl get", " --for=condition=Ready --timeout=60s", "",
	).Replace(strings.Join(script, "\n"))
	dir := t.TempDir()
	write(t, dir+"/password", "made up")
	write(t, dir+"/script", "set -euo pipefail\ncd "+dir+"\n"+text)
	environment := []string{"KUBECONFIG=" + c.KubeconfigPath(), "PATH=" + filepath.Dir(c.Kubectl()) + ":" + os.Getenv("PATH")}
	out, err := run(t, "bash", environment, dir+"/script")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{release + "-controller-manager", "secret/billing-account created", "secretserversession.secretserver.tokensync.dev/billing created"} {
		if !strings.Contains(out, want) {
			t.Errorf("the commands should tell of %q, and tell\n%s", want, out)
		}
	}
}
