package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// caName is the ConfigMap that holds the CA of Secret Server.
const (
	caName = "vault-ca"
	caKey  = "ca.crt"
)

func accountName(account int) string { return fmt.Sprintf("svc-%02d", account) }

func credentialsName(account int) string { return fmt.Sprintf("account-%02d", account) }

func sessionName(session int) string { return fmt.Sprintf("session-%03d", session) }

// accountsOf are the accounts of a run, with their first passwords.
func accountsOf(count int) []secretservertest.Account {
	accounts := make([]secretservertest.Account, count)
	for i := range accounts {
		accounts[i] = secretservertest.Account{Username: accountName(i), Password: password(i, 0), Application: true}
	}
	return accounts
}

// password is that of an account after so many rotations.
func password(account, rotations int) string {
	return fmt.Sprintf("password-%02d-%d", account, rotations)
}

// newSession is one of the sessions, which differ in what may differ.
func newSession(i, accounts int, url string) *api.SecretServerSession {
	return &api.SecretServerSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: sessionName(i)},
		Spec: api.SecretServerSessionSpec{
			Endpoint: api.Endpoint{
				URL:            url,
				CABundleRef:    &api.CABundleReference{Kind: api.CABundleConfigMap, Name: caName, Key: caKey},
				TimeoutSeconds: 2 + int32(i%4), //nolint:gosec // 2 to 5
			},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: credentialsName(i % accounts)}},
			Refresh:     api.Refresh{Percent: []int32{67, 67, 50, 60}[i%4]},
		},
	}
}

// createObjects makes what a user would: credentials, the CA, the sessions.
func (c *cluster) createObjects(ctx context.Context, s scale, vault *secretservertest.Server) error {
	objects := []client.Object{&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: caName},
		Data:       map[string]string{caKey: string(vault.CA())},
	}}
	for i, account := range accountsOf(s.accounts) {
		objects = append(objects, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: credentialsName(i)},
			Type:       corev1.SecretTypeBasicAuth,
			StringData: map[string]string{
				corev1.BasicAuthUsernameKey: account.Username,
				corev1.BasicAuthPasswordKey: account.Password,
			},
		})
	}
	for i := range s.sessions {
		objects = append(objects, newSession(i, s.accounts, vault.URL()))
	}
	for _, object := range objects {
		if err := c.client.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// setPassword writes a password into an account's credentials.
func (c *cluster) setPassword(ctx context.Context, account int, password string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: credentialsName(account)}}
	return c.client.Patch(ctx, secret, client.RawPatch(mergePatch, fmt.Appendf(nil, `{"stringData":{"password":%q}}`, password)))
}
