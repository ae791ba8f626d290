package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func readTestSamples(t *testing.T, files map[string]string) (*samples, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return readSamples(dir)
}

const (
	accountYAML = `
apiVersion: v1
kind: Secret
metadata: {name: account}
stringData: {username: user, login: other, password: made-up}
`
	sessionsYAML = `
apiVersion: secretserver.tokensync.dev/v1alpha1
kind: SecretServerSession
metadata: {name: one}
spec:
  endpoint: {url: https://vault.example.com/SecretServer, tlsServerName: vault.example.com}
  credentials: {secretRef: {name: account}, domain: CORP}
---
apiVersion: secretserver.tokensync.dev/v1alpha1
kind: SecretServerSession
metadata: {name: two}
spec:
  endpoint:
    url: https://vault.example.com/SecretServer
    caBundleRef: {kind: Secret, name: other}
  credentials: {secretRef: {name: account}, usernameKey: login}
---
apiVersion: secretserver.tokensync.dev/v1alpha1
kind: SecretServerSession
metadata: {name: three}
spec:
  endpoint: {url: https://vault.example.com/SecretServer}
  credentials: {secretRef: {name: account}, usernameKey: login}
`
)

func testSamples(t *testing.T) *samples {
	t.Helper()
	s, err := readTestSamples(t, map[string]string{
		"kustomization.yaml": "resources: [account.yaml, sessions.yaml]",
		"account.yaml":       accountYAML, "sessions.yaml": sessionsYAML, "unlisted.yaml": "nonsense",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSamplesTellAccountsAndHostsOfTheirSessions(t *testing.T) {
	s := testSamples(t)
	accounts, err := s.accounts()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range accounts {
		names = append(names, a.Name())
		if a.Password != "made-up" {
			t.Errorf("account %s has not the password of the samples", a.Name())
		}
	}
	if want := []string{`CORP\user`, "other"}; !slices.Equal(names, want) {
		t.Errorf("accounts %q, want %q", names, want)
	}
	if got, want := s.hosts(), []string{"vault.example.com"}; !slices.Equal(got, want) {
		t.Errorf("hosts %q, want %q", got, want)
	}
	if got, want := s.names(), []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("sessions %q, want %q", got, want)
	}
}

func TestSamplesMoveToAnotherServer(t *testing.T) {
	s := testSamples(t)
	if err := s.move("demo", "https://127.0.0.1:1/SecretServer"); err != nil {
		t.Fatal(err)
	}
	for _, object := range s.objects {
		if object.GetNamespace() != "demo" {
			t.Errorf("%s %s is in namespace %q", object.GetKind(), object.GetName(), object.GetNamespace())
		}
		endpoint, found, err := unstructured.NestedMap(object.Object, "spec", "endpoint")
		if err != nil {
			t.Error(err)
		}
		if !found {
			continue
		}
		ca, ok := endpoint["caBundleRef"].(map[string]any)
		if !ok || ca["kind"] != "ConfigMap" || ca["name"] != "vault-ca" || endpoint["url"] != "https://127.0.0.1:1/SecretServer" {
			t.Errorf("session %s has endpoint %v", object.GetName(), endpoint)
		}
	}
}

func TestSamplesThatMakeNoSense(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"no kustomization": {nil, "kustomization.yaml"},
		"a missing file":   {map[string]string{"kustomization.yaml": "resources: [none.yaml]"}, "none.yaml"},
		"no session":       {map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": accountYAML}, "no session"},
		"a field that there is not": {
			map[string]string{"kustomization.yaml": "resources: [a.yaml]", "a.yaml": strings.ReplaceAll(sessionsYAML, "domain:", "dominion:")},
			"dominion",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := readTestSamples(t, test.files); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %q", err, test.want)
			}
		})
	}
}

func TestSessionWithoutCredentialsInTheSamples(t *testing.T) {
	s, err := readTestSamples(t, map[string]string{"kustomization.yaml": "resources: [s.yaml]", "s.yaml": sessionsYAML})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.accounts(); err == nil || !strings.Contains(err.Error(), "session one") {
		t.Errorf("error %v, want one about session one", err)
	}
}

// The demo shows the samples of this repository.
func TestSamplesOfTheRepository(t *testing.T) {
	s, err := readSamples(filepath.Join("..", "..", "config", "samples"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.accounts(); err != nil {
		t.Error(err)
	}
}
