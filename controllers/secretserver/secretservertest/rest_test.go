package secretservertest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	fake "tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

func TestCurrentUserTellsWhoseTokenItIs(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	for _, path := range []string{"/api/v1/users/current", "/api/v1/users/current-summary", "/API/v1/Users/Current"} {
		w := v.call(t, http.MethodGet, path, got.Access)
		var who struct {
			ID       int    `json:"id"`
			UserName string `json:"userName"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &who); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, w.Code, err)
		}
		if who.ID == 0 || who.UserName != user {
			t.Errorf("%s: user %d %q", path, who.ID, who.UserName)
		}
	}
}

func TestBearerThatWasNeverIssuedIsA401(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	for name, header := range map[string]string{
		"none":                "",
		"garbage":             "Bearer garbage",
		"another scheme":      "Basic " + got.Access,
		"a refresh token":     "Bearer " + got.refresh(),
		"a token and a blank": "Bearer " + got.Access + " ",
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/users/current", http.NoBody)
			r.Header["Authorization"] = []string{header}
			w := v.do(r)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("answer %d, want 401 that asks for a bearer", w.Code)
			}
		})
	}
	if n := v.Stats().UnknownTokenUses; n != 5 {
		t.Errorf("%d uses of unknown tokens counted, want 5", n)
	}
}

func TestRevocationEndsTheTokenWithA403(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	sibling := v.login(t)
	w := v.call(t, http.MethodPost, "/api/v1/oauth-expiration", got.Access)
	if w.Code != http.StatusOK || w.Body.String() != "true" {
		t.Fatalf("revocation answered %d %s, want 200 true", w.Code, w.Body)
	}
	w = v.verify(t, got.Access)
	if w.Code != http.StatusForbidden || w.Body.String() != `{"message":"Authentication failed or expired token."}` {
		t.Errorf("the revoked token is answered %d %s", w.Code, w.Body)
	}
	if w := v.call(t, http.MethodPost, "/api/v1/oauth-expiration", got.Access); w.Code != http.StatusForbidden {
		t.Errorf("a second revocation is answered %d, want 403", w.Code)
	}
	if !v.TokenValid(sibling.Access) {
		t.Error("another token of the user died")
	}
	stats := v.Stats()
	if stats.Revocations != 1 || stats.RevokedTokenUses != 2 {
		t.Errorf("%d revocations, %d uses of revoked tokens; want 1 and 2", stats.Revocations, stats.RevokedTokenUses)
	}
}

func TestRevocationLeavesTheRefreshTokenAlone(t *testing.T) {
	for name, kills := range map[string]bool{"by default": false, "unless asked to": true} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{RevocationKillsRefresh: kills})
			got := v.login(t)
			v.call(t, http.MethodPost, "/api/v1/oauth-expiration", got.Access)
			again := v.tryRefresh(t, got.refresh())
			if refused := again.status == http.StatusBadRequest; refused != kills {
				t.Errorf("the refresh is answered %d", again.status)
			}
		})
	}
}

func TestRevokeAllForgetsEveryToken(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	if n := v.RevokeAll(); n != 2 {
		t.Errorf("%d tokens revoked, want an access and a refresh token", n)
	}
	if w := v.verify(t, got.Access); w.Code != http.StatusUnauthorized {
		t.Errorf("the token is answered %d, want 401: the server does not know it", w.Code)
	}
	wantRefusal(t, v, v.tryRefresh(t, got.refresh()), "invalid_grant", fake.TokenUnknown)
	v.login(t)
}

func TestExpireToken(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	if !v.ExpireToken(got.Access) || v.ExpireToken(got.Access) || v.ExpireToken("garbage") {
		t.Error("exactly the live token must expire, once")
	}
	if v.TokenValid(got.Access) {
		t.Error("the token is valid")
	}
	v.verify(t, got.Access)
	if r := v.lastResult(t); r != fake.TokenExpired {
		t.Errorf("result %q", r)
	}
	v.mustRefresh(t, got.refresh())
}

func TestVersionNeedsATokenAndCanBeHidden(t *testing.T) {
	v := newVault(t, fake.Options{Version: "11.8.1"})
	got := v.login(t)
	if w := v.call(t, http.MethodGet, "/api/v1/version", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", w.Code)
	}
	read := func() string {
		var answer struct {
			Model struct {
				Version string `json:"version"`
			} `json:"model"`
		}
		w := v.call(t, http.MethodGet, "/api/v1/version", got.Access)
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Model.Version
	}
	if version := read(); version != "11.8.1" {
		t.Errorf("version %q", version)
	}
	v.Configure(func(o *fake.Options) { o.HideVersion = true })
	if version := read(); version != "" {
		t.Errorf("hidden version %q", version)
	}
}

func TestHealthCheckNeedsNoToken(t *testing.T) {
	tests := map[string]struct {
		health, path, want string
	}{
		"healthy":        {"", "/api/v1/healthcheck", `"healthy":true`},
		"text":           {fake.HealthText, "/api/v1/healthcheck", "Healthy"},
		"unhealthy":      {fake.HealthUnhealthy, "/api/v1/healthcheck", `"healthy":false`},
		"old":            {"", "/healthcheck.aspx", `"utcNow":"2026-03-01T12:00:00.0000000Z"`},
		"old, unhealthy": {fake.HealthUnhealthy, "/healthcheck.aspx", `"healthy":false`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t, fake.Options{Health: tt.health})
			w := v.call(t, http.MethodGet, tt.path, "")
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("answer %d %s, want %s in it", w.Code, w.Body, tt.want)
			}
		})
	}
}

func TestUnknownPathsAreWebPages(t *testing.T) {
	v := newVault(t, fake.Options{BasePath: "/SecretServer"})
	got := v.grant(t, tokenRequest(t, "/SecretServer/oauth2/token", passwordForm(user, password)))
	for _, path := range []string{
		"/", "/oauth2/token", "/SecretServer", "/SecretServerTwo/oauth2/token", "/SecretServer/oauth2/token/", "/SecretServer/health",
		"/SecretServer/api/v1/secrets/1/fields", "/SecretServer/api/v1/secrets/1/fields/a/b",
	} {
		w := v.call(t, http.MethodGet, path, got.Access)
		if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "text/html" {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
	if n := v.Stats().Requests["other"]; n != 8 {
		t.Errorf("%d requests counted as other, want 8", n)
	}
}

func TestRESTPathsHaveTheirMethods(t *testing.T) {
	v := newVault(t, fake.Options{})
	got := v.login(t)
	for path, method := range map[string]string{
		"/api/v1/users/current":    http.MethodPost,
		"/api/v1/oauth-expiration": http.MethodGet,
		"/api/v1/secrets/1":        http.MethodPut,
	} {
		w := v.call(t, method, path, got.Access)
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: %d", method, path, w.Code)
		}
	}
	if !v.TokenValid(got.Access) {
		t.Error("a GET revoked the token")
	}
}

// team is an account's secrets: one plain, one with an attachment, and a third.
func team() []fake.Secret {
	return []fake.Secret{
		{ID: 7, Name: "Database", Folder: `\Team\Production`, Fields: []fake.Field{
			{Name: "Username", Slug: "username", Value: "app"},
			{Name: "Password", Slug: "password", Value: "s3cret", Password: true},
		}},
		{ID: 8, Name: "Certificate", Fields: []fake.Field{
			{Name: "Key File", Slug: "key-file", Value: "-----BEGIN-----", Filename: "key.pem"},
		}},
		{ID: 9, Name: "Database Reader", Fields: []fake.Field{{Name: "Username", Slug: "username", Value: "reader"}}},
	}
}

func TestSecretsAreReadByIDAndByPath(t *testing.T) {
	v := newVault(t, fake.Options{Accounts: []fake.Account{
		{Username: user, Password: password, Secrets: team()},
		{Username: "other", Password: "p", Secrets: []fake.Secret{{ID: 100, Name: "Theirs"}}},
	}})
	token := v.login(t).Access
	tests := map[string]struct {
		path   string
		status int
		want   string
	}{
		"by id":                {"/api/v1/secrets/7", 200, `"slug":"password","itemValue":"s3cret"`},
		"by path":              {`/api/v1/secrets/0?secretPath=%5CTeam%5CProduction%5CDatabase`, 200, `"id":7`},
		"by path, no folder":   {`/api/v1/secrets/0?secretPath=%5CCertificate`, 200, `"id":8`},
		"attachment's place":   {"/api/v1/secrets/8", 200, `"fileAttachmentId":800,"filename":"key.pem"`},
		"attachment":           {"/api/v1/secrets/8/fields/Key-File", 200, "-----BEGIN-----"},
		"field":                {"/api/v1/secrets/7/fields/username", 200, `"app"`},
		"unknown field":        {"/api/v1/secrets/7/fields/none", 400, "does not exist"},
		"field of no secret":   {"/api/v1/secrets/1/fields/none", 403, "API_AccessDenied"},
		"somebody else's":      {"/api/v1/secrets/100", 403, "API_AccessDenied"},
		"none of that id":      {"/api/v1/secrets/1", 403, "API_AccessDenied"},
		"none of that path":    {"/api/v1/secrets/0?secretPath=%5CNone", 403, "API_AccessDenied"},
		"zero without a path":  {"/api/v1/secrets/0", 403, "API_AccessDenied"},
		"an id that is a word": {"/api/v1/secrets/seven", 400, "invalid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := v.call(t, http.MethodGet, tt.path, token)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("answer %d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
}

func TestSecretsAreSearched(t *testing.T) {
	v := newVault(t, fake.Options{Accounts: []fake.Account{{Username: user, Password: password, Secrets: team()}}})
	token := v.login(t).Access
	tests := map[string]struct {
		query string
		want  []int
	}{
		"everything":         {"", []int{7, 8, 9}},
		"by name":            {"paging.filter.searchText=database", []int{7, 9}},
		"by exact name":      {"paging.filter.searchText=database&paging.filter.isExactMatch=true", []int{7}},
		"by field":           {"paging.filter.searchText=reader&paging.filter.searchField=Username", []int{9}},
		"by field, none has": {"paging.filter.searchText=x&paging.filter.searchField=Machine", []int{}},
		"a page":             {"paging.skip=1&paging.take=1", []int{8}},
		"beyond the end":     {"paging.skip=9&paging.take=9", []int{}},
		"a page without end": {"paging.skip=1&paging.take=9223372036854775807", []int{8, 9}},
		"a page of nonsense": {"paging.skip=x&paging.take=-1", []int{7, 8, 9}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var answer struct {
				Records []struct {
					ID    int   `json:"id"`
					Items []any `json:"items"`
				} `json:"records"`
			}
			w := v.call(t, http.MethodGet, "/api/v1/secrets?"+tt.query, token)
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Records == nil {
				t.Fatalf("answer %d %s: %v", w.Code, w.Body, err)
			}
			ids := []int{}
			for _, record := range answer.Records {
				ids = append(ids, record.ID)
				if record.Items != nil {
					t.Error("a search must not show values")
				}
			}
			if !slices.Equal(ids, tt.want) {
				t.Errorf("found %v, want %v", ids, tt.want)
			}
		})
	}
}
