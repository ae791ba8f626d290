package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// The ConfigMap that holds the CA of the demo's Secret Server.
const (
	caName = "vault-ca"
	caKey  = "ca.crt"
)

// samples are the objects of config/samples.
type samples struct {
	objects  []*unstructured.Unstructured
	sessions []api.SecretServerSession
	secrets  map[string]corev1.Secret // by name
}

// readSamples reads the files that the directory's kustomization lists.
func readSamples(dir string) (*samples, error) {
	text, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml")) //nolint:gosec // the user names the directory
	if err != nil {
		return nil, err
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	s := &samples{secrets: map[string]corev1.Secret{}}
	for _, name := range kustomization.Resources {
		text, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // the same
		if err != nil {
			return nil, err
		}
		if err := s.add(text); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
	}
	if len(s.sessions) == 0 {
		return nil, fmt.Errorf("%s has no session", dir)
	}
	return s, nil
}

// add takes the objects of one file.
func (s *samples) add(text []byte) error {
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.sort(object)
		}
		if err != nil {
			return err
		}
		s.objects = append(s.objects, object)
	}
}

// sort keeps sessions and Secrets in their own types too.
func (s *samples) sort(object *unstructured.Unstructured) error {
	converter := runtime.DefaultUnstructuredConverter
	switch object.GetKind() {
	case api.Kind:
		var session api.SecretServerSession
		err := converter.FromUnstructuredWithValidation(object.Object, &session, true)
		s.sessions = append(s.sessions, session)
		return err
	case "Secret":
		var secret corev1.Secret
		err := converter.FromUnstructuredWithValidation(object.Object, &secret, true)
		s.secrets[secret.Name] = secret
		return err
	}
	return nil
}

// accounts are those that the sessions log in to.
func (s *samples) accounts() ([]secretservertest.Account, error) {
	var accounts []secretservertest.Account
	for i := range s.sessions {
		credentials := s.sessions[i].Spec.Credentials
		secret := s.secrets[credentials.SecretRef.Name]
		account := secretservertest.Account{
			Username: secret.StringData[cmp.Or(credentials.UsernameKey, corev1.BasicAuthUsernameKey)],
			Password: secret.StringData[cmp.Or(credentials.PasswordKey, corev1.BasicAuthPasswordKey)],
			Domain:   credentials.Domain,
		}
		if account.Username == "" || account.Password == "" {
			return nil, fmt.Errorf("the samples have no user name or password for session %s", s.sessions[i].Name)
		}
		known := func(a secretservertest.Account) bool { return a.Name() == account.Name() }
		if !slices.ContainsFunc(accounts, known) {
			accounts = append(accounts, account)
		}
	}
	return accounts, nil
}

// hosts are the names that the sessions expect in the server's certificate.
func (s *samples) hosts() []string {
	var hosts []string
	for i := range s.sessions {
		if name := s.sessions[i].Spec.Endpoint.TLSServerName; name != "" {
			hosts = append(hosts, name)
		}
	}
	return hosts
}

// names are those of the sessions.
func (s *samples) names() []string {
	names := make([]string, len(s.sessions))
	for i := range s.sessions {
		names[i] = s.sessions[i].Name
	}
	return names
}

// move points the sessions to another Secret Server, whose CA is in the ConfigMap, and puts all objects into a namespace.
func (s *samples) move(namespace, url string) error {
	for _, object := range s.objects {
		object.SetNamespace(namespace)
		if object.GetKind() != api.Kind {
			continue
		}
		ca := map[string]any{"kind": string(api.CABundleConfigMap), "name": caName, "key": caKey}
		if err := errors.Join(
			unstructured.SetNestedField(object.Object, url, "spec", "endpoint", "url"),
			unstructured.SetNestedMap(object.Object, ca, "spec", "endpoint", "caBundleRef"),
		); err != nil {
			return err
		}
	}
	return nil
}

// apply makes the namespace and the ConfigMap with the CA, and applies the objects as kubectl apply --server-side would.
func (s *samples) apply(ctx context.Context, c client.Client, namespace string, ca []byte) error {
	if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	if err := c.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: caName},
		Data:       map[string]string{caKey: string(ca)},
	}); err != nil {
		return err
	}
	for _, object := range s.objects {
		applied := client.ApplyConfigurationFromUnstructured(object.DeepCopy()) // the answer is written into it
		if err := c.Apply(ctx, applied, client.FieldOwner("demo")); err != nil {
			return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}
