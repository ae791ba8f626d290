package secretserver

import (
	"strconv"
	"testing"

	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// login logs in to a fake Secret Server that has the account of goodCredentials.
func login(t *testing.T, options secretservertest.Options) (*secretservertest.Server, *Client, Grant) {
	t.Helper()
	credentials := goodCredentials()
	options.BasePath = "/SecretServer"
	options.Accounts = []secretservertest.Account{{Username: credentials.Username, Password: credentials.Password}}
	server := secretservertest.New(options)
	if err := server.StartTLS(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client := connect(t, newPool(t), Endpoint{URL: server.URL(), CA: server.CA()})
	grant, err := client.Authenticate(t.Context(), credentials)
	if err != nil {
		t.Fatalf("Authenticate: %v", err)
	}
	return server, client, grant
}

func TestARevokedTokenIsDead(t *testing.T) {
	server, client, grant := login(t, secretservertest.Options{})
	wantOutcome(t, client.Verify(t.Context(), grant.AccessToken), Error{})
	wantOutcome(t, client.Revoke(t.Context(), grant.AccessToken), Error{})
	if server.TokenValid(grant.AccessToken) {
		t.Error("the server still takes the token")
	}
	wantError(t, client.Verify(t.Context(), grant.AccessToken), Error{Operation: VerifyToken, Kind: Refused, Cause: ErrorStatus, Status: 403})
	wantOutcome(t, client.Revoke(t.Context(), grant.AccessToken), Error{})
	if got := server.Stats().Revocations; got != 1 {
		t.Errorf("the server counts %d revocations, want 1", got)
	}
}

func TestAnExpiredTokenIsDead(t *testing.T) {
	for _, status := range []int{401, 403} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			server, client, grant := login(t, secretservertest.Options{ExpiredStatus: status})
			if !server.ExpireToken(grant.AccessToken) {
				t.Fatal("the token was not alive")
			}
			wantError(t, client.Verify(t.Context(), grant.AccessToken),
				Error{Operation: VerifyToken, Kind: Refused, Cause: ErrorStatus, Status: status})
			wantOutcome(t, client.Revoke(t.Context(), grant.AccessToken), Error{})
		})
	}
}

func TestATokenOfNoServerIsDead(t *testing.T) {
	_, client, grant := login(t, secretservertest.Options{})
	for name, token := range map[string]string{"unknown": "AgUnknown", "empty": "", "a refresh token": grant.RefreshToken} {
		t.Run(name, func(t *testing.T) {
			wantError(t, client.Verify(t.Context(), token), Error{Operation: VerifyToken, Kind: Refused, Cause: ErrorStatus, Status: 401})
			wantOutcome(t, client.Revoke(t.Context(), token), Error{})
		})
	}
}
