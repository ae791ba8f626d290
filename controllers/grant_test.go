package controllers

import (
	"testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

func TestStoredTokenIsShownToItsOwnServerAlone(t *testing.T) {
	for name, test := range map[string]struct{ now, want string }{
		"the server of the token":                        {"https://vault.example.com/SecretServer/", "Ag-token"},
		"another server, since the endpoint was changed": {"https://elsewhere.example.com/SecretServer", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pass{
				session: &api.SecretServerSession{Spec: api.SecretServerSessionSpec{Endpoint: api.Endpoint{URL: test.now}}},
				state: state{stored: stored{
					AccessToken: "Ag-token",
					Record:      session.Record{ServerURL: "https://vault.example.com/SecretServer"},
				}},
			}
			if got := p.ownToken(); got != test.want {
				t.Errorf("shows %q, want %q", got, test.want)
			}
		})
	}
}
