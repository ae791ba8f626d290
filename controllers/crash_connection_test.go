package controllers

import (
	"context"
	"errors"
	"fmt"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// connection is a process's way to a Secret Server.
type connection struct {
	SecretServer // nil: what is not modelled here must not be called

	trial *trial
	vault *vault
}

func (p *process) dial(e secretserver.Endpoint) (SecretServer, error) {
	v := p.trial.vaults[e.URL]
	if v == nil {
		return nil, fmt.Errorf("dial %s: %w", e.URL, errNotModelled)
	}
	return p.trial.mutant.server(connection{trial: p.trial, vault: v}), nil
}

func (c connection) Authenticate(_ context.Context, credentials secretserver.Credentials) (secretserver.Grant, error) {
	f := c.trial.running
	o := c.ask(secretserver.PasswordGrant)
	if err := c.permit(f, secretserver.PasswordGrant); err != nil {
		return secretserver.Grant{}, err
	}
	if credentials.OTP != "" && kindOf(o.err) != secretserver.NotSent {
		c.trial.codeSent(c.vault, credentials.OTP)
	}
	var g secretserver.Grant
	var err error
	if o.acts {
		c.trial.loginSent(f)
		g, err = c.vault.authenticate(credentials)
		c.trial.loginMade(c.vault)
		if err != nil && kindOf(o.err) == secretserver.Protocol {
			o.err = nil // Secret Server answers a bad login with a refusal, and with no web page
		}
	}
	c.trial.loginAnswered(f, g, o.err != nil)
	if o.err != nil {
		return secretserver.Grant{}, of(secretserver.PasswordGrant, o.err)
	}
	return g, err
}

func (c connection) Refresh(_ context.Context, refreshToken string) (secretserver.Grant, error) {
	f := c.trial.running
	o := c.ask(secretserver.RefreshGrant)
	if err := c.permit(f, secretserver.RefreshGrant); err != nil {
		return secretserver.Grant{}, err
	}
	if kindOf(o.err) != secretserver.NotSent {
		c.trial.refreshSent(c.vault, refreshToken)
	}
	var g secretserver.Grant
	var err error
	if o.acts {
		g, err = c.vault.spend(refreshToken)
	}
	if o.err != nil {
		g, err = secretserver.Grant{}, of(secretserver.RefreshGrant, o.err)
	}
	c.trial.refreshed(f, g, err)
	return g, err
}

// Verify asks something harmless: neither the account nor a token changes by it.
func (c connection) Verify(_ context.Context, accessToken string) error {
	c.mustOwn(accessToken)
	o := c.ask(secretserver.VerifyToken)
	c.trial.figures.count("verifications")
	switch {
	case o.err != nil:
		return of(secretserver.VerifyToken, o.err)
	case !c.vault.accepts(accessToken):
		return status400(secretserver.VerifyToken)
	}
	return nil
}

// of is a failure as that of an operation.
func of(operation secretserver.Operation, err error) error {
	failed, ok := errors.AsType[*secretserver.Error](err)
	if !ok {
		return err
	}
	mine := *failed
	mine.Operation = operation
	return &mine
}

// kindOf is the kind of a failure of Secret Server; zero for anything else.
func kindOf(err error) secretserver.Kind {
	if failed, ok := errors.AsType[*secretserver.Error](err); ok {
		return failed.Kind
	}
	return 0
}
