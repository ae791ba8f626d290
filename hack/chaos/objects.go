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

const (
	// The ConfigMap that holds the CA of Secret Server.
	caName = "vault-ca"
	caKey  = "ca.crt"
	// The key of the OTP seed, and the seed.
	otpKey  = "otp"
	otpSeed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
)

func accountName(account int) string { return fmt.Sprintf("svc-%02d", account) }

func credentialsName(account int) string { return fmt.Sprintf("account-%02d", account) }

func sessionName(session int) string { return fmt.Sprintf("session-%03d", session) }

// accountOf is the account of a session: about ten share one. The last session has one of its own, with one-time codes: there
// is one login every 30 seconds with these, which would not do for ten.
func (s scale) accountOf(session int) int {
	if session == s.sessions-1 {
		return s.accounts - 1
	}
	return session % max(s.accounts-1, 1)
}

// sessionsOf are those that log in to an account.
func (s scale) sessionsOf(account int) []int {
	var sessions []int
	for i := range s.sessions {
		if s.accountOf(i) == account {
			sessions = append(sessions, i)
		}
	}
	return sessions
}

// hasCodes reports whether an account logs in with one-time codes.
func (s scale) hasCodes(account int) bool { return account == s.accounts-1 }

// vaultAccounts are the accounts of a run, with their first passwords.
func (s scale) vaultAccounts() []secretservertest.Account {
	accounts := make([]secretservertest.Account, s.accounts)
	for i := range accounts {
		accounts[i] = secretservertest.Account{Username: accountName(i), Password: password(i, 0), Application: true}
		if s.hasCodes(i) {
			accounts[i].OTPSeed = otpSeed
		}
	}
	return accounts
}

// passwordMark is in every password, right or wrong, and in nothing else.
const passwordMark = "Passw0rd-of-"

// password is that of an account after so many rotations.
func password(account, rotations int) string {
	return fmt.Sprintf("%s%s-%d", passwordMark, accountName(account), rotations)
}

// newSession is one of the sessions, which differ in what may differ.
func (s scale) newSession(i int, url string) *api.SecretServerSession {
	account := s.accountOf(i)
	session := &api.SecretServerSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: sessionName(i)},
		Spec: api.SecretServerSessionSpec{
			Endpoint: api.Endpoint{
				URL:            url,
				CABundleRef:    &api.CABundleReference{Kind: api.CABundleConfigMap, Name: caName, Key: caKey},
				TimeoutSeconds: 2 + int32(i%4),
			},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: credentialsName(account)}},
			Refresh:     api.Refresh{Percent: []int32{67, 67, 50, 60}[i%4]},
		},
	}
	if s.hasCodes(account) {
		session.Spec.Credentials.OTPSeedKey = otpKey
	}
	if i%3 == 1 {
		session.Spec.Verification = &api.Verification{IntervalSeconds: 30}
	}
	if i%5 == 2 {
		session.Spec.DeletionPolicy = api.DeletionRevoke
	}
	return session
}

// createObjects makes what a user would: credentials, the CA, the sessions.
func (c *cluster) createObjects(ctx context.Context, s scale, vault *secretservertest.Server) error {
	objects := []client.Object{&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: caName},
		Data:       map[string]string{caKey: string(vault.CA())},
	}}
	for i, account := range s.vaultAccounts() {
		objects = append(objects, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: credentialsName(i)},
			Type:       corev1.SecretTypeBasicAuth,
			StringData: map[string]string{
				corev1.BasicAuthUsernameKey: account.Username,
				corev1.BasicAuthPasswordKey: account.Password,
				otpKey:                      account.OTPSeed,
			},
		})
	}
	for i := range s.sessions {
		objects = append(objects, s.newSession(i, vault.URL()))
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
