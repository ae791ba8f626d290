package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// readCredentials reads what a login would be made with, and what is known of it. Credentials that cannot be used
// become the pass's fault.
func (p *pass) readCredentials(ctx context.Context) error {
	if !p.reserve() {
		return nil
	}
	ref := p.session.Spec.Credentials
	secret := &corev1.Secret{}
	err := p.live.Get(ctx, types.NamespacedName{Namespace: p.session.Namespace, Name: ref.SecretRef.Name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		p.credentialsFault = &fault{api.ReasonCredentialsNotFound, fmt.Sprintf(
			"Secret %q with the credentials does not exist. Create it in this namespace.", ref.SecretRef.Name)}
		return nil
	case err != nil:
		return fmt.Errorf("read the credentials: %w", err)
	}
	// The live object may be newer than the cached one: what is read is what counts.
	p.wanted.Version = versionOf(secret)
	if secret.Type == api.StateSecretType {
		p.credentialsFault = &fault{api.ReasonCredentialsInvalid, fmt.Sprintf(
			"Secret %q holds the state of a session, whose tokens are never sent as credentials. Name a Secret with a user name and a password.",
			secret.Name)}
		return nil
	}
	credentials := secretserver.Credentials{
		Username: string(secret.Data[ref.UsernameKey]),
		Password: string(secret.Data[ref.PasswordKey]),
		Domain:   ref.Domain,
	}
	for _, key := range []string{ref.UsernameKey, ref.PasswordKey} {
		if p.credentialsFault = credentialsFault(secret, key); p.credentialsFault != nil {
			return nil
		}
	}
	if credentials.OTPSeed, p.credentialsFault = seedOf(secret, ref.OTPSeedKey); p.credentialsFault != nil {
		return nil
	}
	return p.consider(ctx, credentials)
}

// credentialsFault says what is wrong with one key of the credentials Secret.
func credentialsFault(secret *corev1.Secret, key string) *fault {
	problem := "is empty"
	switch value, ok := secret.Data[key]; {
	case !ok:
		problem = "is missing"
	case len(value) > 0:
		return nil
	}
	return &fault{api.ReasonCredentialsInvalid, fmt.Sprintf("Key %q of Secret %q %s. Set it to log in.", key, secret.Name, problem)}
}

// seedOf reads the OTP seed under a key, none if there is no key, or says what is wrong with it.
func seedOf(secret *corev1.Secret, key string) (string, *fault) {
	if key == "" {
		return "", nil
	}
	if f := credentialsFault(secret, key); f != nil {
		return "", f
	}
	seed, problem := readSeed(secret.Data[key])
	if problem != "" {
		return "", &fault{api.ReasonCredentialsInvalid, fmt.Sprintf("Key %q of Secret %q %s", key, secret.Name, problem)}
	}
	return seed, nil
}

// consider compares a login with the stored session and with what is known of the account.
func (p *pass) consider(ctx context.Context, credentials secretserver.Credentials) error {
	url := serverURL(p.session)
	l := &login{credentials: credentials, account: accountOf(url, credentials)}
	if p.place != nil {
		// Before others learn it, and while they wait for these to be read: who came between would take the account from this pass, or read
		// them too.
		p.place.add(room{ofAccount, l.account})
	}
	p.identities.learn(p.wanted, l.account)
	if p.state.exists {
		if err := p.load(ctx); err != nil {
			return err
		}
		l.same = p.state.record.HasToken() && p.state.stored.Fingerprint.matches(url, credentials)
	}
	l.fingerprint = fingerprintOf(url, credentials)
	if l.same {
		l.fingerprint = p.state.stored.Fingerprint
	}
	l.verdict = p.accounts.verdict(l.account, url, credentials, p.now())
	if credentials.OTPSeed != "" {
		l.codeAt = p.codes.nextAt(l.account, p.now())
	}
	p.login = l
	return nil
}

// adopt notes that the credentials are still those of the stored session, though their Secret or the spec changed.
func (p *pass) adopt(ctx context.Context) error {
	next := p.state.stored
	next.Identity = p.wanted
	next.Username, next.Domain = p.login.credentials.Username, p.login.credentials.Domain
	// An attempt with other credentials is of no matter any more.
	next.Attempt, next.Attempted = nil, nil
	return p.write(ctx, next)
}

// refuse notes a refusal that another session met, so that this one holds too, over restarts.
func (p *pass) refuse(ctx context.Context) error {
	next := p.nextStored()
	next.Attempted = p.accounts.refusalOf(p.login.account, serverURL(p.session), p.login.credentials)
	next.Attempt = &session.Attempt{
		Identity: p.wanted, Account: p.login.account, At: p.login.refusedAt.UTC(), Refused: true,
		// It may replace what told of more, and of later.
		Bad: p.accounts.bad(p.login.account, p.now()),
	}
	own := p.state.record.Attempt
	// What lies ahead is from before the clock was set back, and would not be believed.
	if own != nil && own.Account == p.login.account && own.At.After(next.Attempt.At) && !own.At.After(p.now()) {
		next.Attempt.At = own.At
	}
	if err := p.write(ctx, next); err != nil {
		return err
	}
	p.accounts.noted(p.login.account, p.state.meta.UID, next.Attempt.At)
	// It was another session's attempt that failed.
	p.failure.count = max(p.failure.count-1, 0)
	p.rejected(p.login.refusedAt)
	return nil
}
