// Package sdkcheck uses a Secret Server the way its customers' programs do: through
// Delinea's own Go SDK, which External Secrets Operator and Terraform use too.
// It is a module of its own so that the SDK is no dependency of the operator.
//
// Its tests prove two things: that the fake Secret Server of this repository is
// one for a client that nobody here wrote, and that a token which the operator put
// into a Secret is good for that client.
package sdkcheck

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/DelineaXPM/tss-sdk-go/v3/server"
)

// Target is a Secret Server and the CA that signed its certificate.
type Target struct {
	ServerURL string // base URL, virtual directory included
	CA        []byte // PEM
}

// WithPassword is an SDK client that logs in by itself, at its first request.
func (t Target) WithPassword(domain, username, password string) (*server.Server, error) {
	return t.client(server.UserCredential{Domain: domain, Username: username, Password: password})
}

// WithToken is an SDK client that uses a ready-made access token, exactly as it
// is, and never logs in: what External Secrets Operator does with a store's token.
func (t Target) WithToken(token string) (*server.Server, error) {
	return t.client(server.UserCredential{Token: token})
}

func (t Target) client(credentials server.UserCredential) (*server.Server, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(t.CA) {
		return nil, errors.New("the CA holds no certificate")
	}
	return server.New(server.Configuration{
		Credentials:     credentials,
		ServerURL:       t.ServerURL,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	})
}

// ReadField reads one field of a secret. A caller that has to know whether a token
// works needs no more.
func ReadField(client *server.Server, secretID int, field string) (string, error) {
	secret, err := client.Secret(secretID)
	if err != nil {
		return "", fmt.Errorf("reading secret %d: %w", secretID, err)
	}
	value, ok := secret.Field(field)
	if !ok {
		return "", fmt.Errorf("secret %d has no field %q", secretID, field)
	}
	return value, nil
}
