package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

const (
	tokenLifetime = 30 * time.Second
	// refreshLimit, of refreshes per login, is Secret Server's own default.
	refreshLimit = secretservertest.DefaultMaxRefreshes
	// storyLength is when the fall-back login has come, at the latest, with spec.refresh.percent at its default of 67: a
	// login, three refreshes and that login lie four times 20 s apart, and the samples take a moment to be seen.
	storyLength = 4*tokenLifetime*67/100 + 10*time.Second
)

// A vault is the Secret Server of the demo, and a client that uses it as a pod would.
type vault struct {
	*secretservertest.Server
	client *http.Client
}

// openVault starts a Secret Server in this process, for these accounts and under these names beside its address.
func openVault(accounts []secretservertest.Account, hosts []string) (*vault, error) {
	server := secretservertest.New(secretservertest.Options{
		BasePath:      "/SecretServer",
		Accounts:      accounts,
		Hosts:         hosts,
		TokenLifetime: tokenLifetime,
	})
	if err := server.StartTLS(); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(server.CA()) {
		server.Close()
		return nil, errors.New("the CA of the fake Secret Server is no PEM certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return &vault{Server: server, client: &http.Client{Transport: transport, Timeout: 10 * time.Second}}, nil
}

// try asks Secret Server who the token's owner is.
func (v *vault) try(ctx context.Context, session string, t token) tokenTried {
	status, err := v.get(ctx, "/api/v1/users/current", t)
	tried := tokenTried{session: session, token: t, answer: "GET users/current, " + status, ok: status == "200 OK"}
	if err != nil {
		tried.answer = err.Error()
	}
	tried.moment = moment(time.Now())
	return tried
}

func (v *vault) get(ctx context.Context, path string, t token) (status string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL()+path, http.NoBody)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+*t.raw)
	response, err := v.client.Do(request)
	if err != nil {
		return "", err
	}
	return response.Status, response.Body.Close()
}

// grantOf finds a token in the server's journal, which is in order of time. It is pure.
func grantOf(journal []secretservertest.Entry, t token) grant {
	issued := slices.IndexFunc(journal, func(e secretservertest.Entry) bool { return e.Issued == t.fingerprint })
	if issued < 0 {
		return grant{}
	}
	g := grant{by: journal[issued].Operation}
	for _, e := range slices.Backward(journal[:issued]) {
		if e.Account != journal[issued].Account || e.Operation != secretservertest.Password && e.Operation != secretservertest.Refresh {
			continue
		}
		if e.Result != secretservertest.Granted {
			g.refused = e.Result
		}
		break
	}
	return g
}
