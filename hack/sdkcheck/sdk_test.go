package sdkcheck_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/DelineaXPM/tss-sdk-go/v3/server"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
	"tokensync.dev/secret-server-operator/hack/sdkcheck"
)

const (
	username = "svc-billing"
	password = "correct horse"
	domain   = "CORP"
	secretID = 7
)

// newVault is a fake Secret Server with an account and its secrets.
func newVault(t *testing.T, o fake.Options) (*fake.Server, sdkcheck.Target) {
	t.Helper()
	o.BasePath = "/SecretServer"
	o.Accounts = []fake.Account{{
		Username: username, Password: password, Domain: domain,
		Secrets: []fake.Secret{
			{ID: secretID, Name: "Database", Folder: `\Team`, Fields: []fake.Field{
				{Name: "Username", Slug: "username", Value: "app"},
				{Name: "Password", Slug: "password", Value: "the database's password", Password: true},
			}},
			{ID: 8, Name: "Certificate", Fields: []fake.Field{
				{Name: "Key File", Slug: "key-file", Value: "an attachment", Filename: "key.pem"},
			}},
		},
	}}
	vault := fake.New(o)
	t.Cleanup(vault.Close)
	if err := vault.StartTLS(); err != nil {
		t.Fatal(err)
	}
	return vault, sdkcheck.Target{ServerURL: vault.URL(), CA: vault.CA()}
}

func withPassword(t *testing.T, target sdkcheck.Target, secret string) *server.Server {
	t.Helper()
	client, err := target.WithPassword(domain, username, secret)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func wantSecret(t *testing.T, client *server.Server) {
	t.Helper()
	value, err := sdkcheck.ReadField(client, secretID, "password")
	if err != nil {
		t.Fatal(err)
	}
	if value != "the database's password" {
		t.Errorf("the secret's password is %q", value)
	}
}

func TestSDKLogsInAndReadsASecret(t *testing.T) {
	vault, target := newVault(t, fake.Options{})
	wantSecret(t, withPassword(t, target, password))
	stats := vault.Stats()
	if stats.Granted(fake.Password) != 1 || stats.Refused(fake.Password) != 0 {
		t.Errorf("%d logins granted and %d refused, want 1 and 0", stats.Granted(fake.Password), stats.Refused(fake.Password))
	}
	if stats.Requests["/api/v1/healthcheck"] == 0 {
		t.Error("the SDK did not look for the server's health, by which it knows a Secret Server")
	}
}

func TestSDKFindsSecretsByPathAndBySearchAndReadsAttachments(t *testing.T) {
	_, target := newVault(t, fake.Options{})
	client := withPassword(t, target, password)
	byPath, err := client.SecretByPath(`\Team\Database`)
	if err != nil || byPath.ID != secretID {
		t.Errorf("by path: %v", err)
	}
	found, err := client.Secrets("cert", "")
	if err != nil || len(found) != 1 || found[0].Name != "Certificate" {
		t.Fatalf("by search: %d secrets, %v", len(found), err)
	}
	if content, ok := found[0].Field("key-file"); !ok || content != "an attachment" {
		t.Errorf("the attachment holds %q", content)
	}
}

func TestSDKReadsASecretWithAReadyMadeToken(t *testing.T) {
	vault, target := newVault(t, fake.Options{})
	client, err := target.WithToken(obtainToken(t, target))
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, client)
	if n := vault.Stats().Granted(fake.Password); n != 1 {
		t.Errorf("%d logins, want only the one that made the token", n)
	}
}

func TestSDKIsRefusedWithAnExpiredToken(t *testing.T) {
	vault, target := newVault(t, fake.Options{})
	token := obtainToken(t, target)
	client, err := target.WithToken(token)
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, client)
	vault.ExpireToken(token)
	if _, err := client.Secret(secretID); err == nil {
		t.Fatal("an expired token was good enough")
	}
	stats := vault.Stats()
	if stats.ExpiredTokenUses == 0 || stats.Granted(fake.Password) != 1 {
		t.Errorf("%d uses of the expired token, %d logins", stats.ExpiredTokenUses, stats.Granted(fake.Password))
	}
}

// The SDK knows a dead token by a 401, or by a 403 with exactly the body that
// Secret Server sends. It then logs in again and repeats the request.
func TestSDKRecognizesADeadToken(t *testing.T) {
	for name, tt := range map[string]struct {
		options fake.Options
		kill    func(*fake.Server)
	}{
		"expired, 403":   {fake.Options{}, outlive},
		"expired, 401":   {fake.Options{ExpiredStatus: http.StatusUnauthorized}, outlive},
		"forgotten, 401": {fake.Options{}, func(s *fake.Server) { s.RevokeAll() }},
	} {
		t.Run(name, func(t *testing.T) {
			vault, target := newVault(t, tt.options)
			client := withPassword(t, target, password)
			wantSecret(t, client)
			tt.kill(vault)
			wantSecret(t, client)
			if n := vault.Stats().Granted(fake.Password); n != 2 {
				t.Errorf("%d logins, want a second one after the token died", n)
			}
		})
	}
}

// outlive moves the server's clock past every token's timeout.
func outlive(s *fake.Server) {
	s.Configure(func(o *fake.Options) { o.Clock = func() time.Time { return time.Now().Add(time.Hour) } })
}

func TestSDKCannotReadWhatTheAccountMayNot(t *testing.T) {
	vault, target := newVault(t, fake.Options{})
	client := withPassword(t, target, password)
	if _, err := client.Secret(99); err == nil {
		t.Error("it could")
	}
	if stats := vault.Stats(); stats.Requests["/api/v1/secrets/{id}"] != 1 || stats.Granted(fake.Password) != 1 {
		t.Errorf("%d reads and %d logins: the SDK took the refusal for a dead token",
			stats.Requests["/api/v1/secrets/{id}"], stats.Granted(fake.Password))
	}
}

func TestSDKIsRefusedWithAWrongPasswordAndIsCounted(t *testing.T) {
	vault, target := newVault(t, fake.Options{})
	if _, err := withPassword(t, target, "wrong").Secret(secretID); err == nil {
		t.Fatal("a wrong password was good enough")
	}
	stats := vault.Stats()
	if account := domain + `\` + username; stats.FailedLogins[account] != 1 || stats.Refused(fake.Password) != 1 {
		t.Errorf("failed logins %v, want one of %s", stats.FailedLogins, account)
	}
}

func TestSDKIsRefusedByALockedAccount(t *testing.T) {
	vault, target := newVault(t, fake.Options{MaxLoginFailures: 2})
	for range 2 {
		if _, err := withPassword(t, target, "wrong").Secret(secretID); err == nil {
			t.Fatal("a wrong password was good enough")
		}
	}
	if !vault.Locked(username) {
		t.Fatal("the account is not locked")
	}
	if _, err := withPassword(t, target, password).Secret(secretID); err == nil {
		t.Error("a locked account could log in")
	}
}

func TestSDKTakesALargeTokenAndARoundLifetime(t *testing.T) {
	_, target := newVault(t, fake.Options{TokenSize: 4096, ExactExpiresIn: true, TokenLifetime: time.Hour})
	wantSecret(t, withPassword(t, target, password))
}

// obtainToken logs in without the SDK.
func obtainToken(t *testing.T, target sdkcheck.Target) string {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(target.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	form := url.Values{"grant_type": {"password"}, "username": {username}, "password": {password}, "domain": {domain}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.ServerURL+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var grant struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&grant); err != nil || grant.Token == "" {
		t.Fatalf("login answered %d: %v", answer.StatusCode, err)
	}
	return grant.Token
}
