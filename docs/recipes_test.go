package docs_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/rendering"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

const (
	recipes = "recipes.md"
	// mountPath and vaultURL are those of the recipes.
	mountPath = "/var/run/secret-server"
	vaultURL  = "https://vault.example.com/SecretServer"
)

var shellBlock = regexp.MustCompile("(?s)\n```sh\n(.*?)\n```\n")

var yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```\n")

// recipe is one section of the page.
type recipe struct {
	session    api.SecretServerSession
	manifests  []string // the YAML documents, the session's first
	script     string   // the shell's; empty for none
	directory  string   // where its files are, in place of mountPath
	server     string   // in place of vaultURL
	caBundle   string   // path of the server's CA
	underlying rendering.Values
}

// cook reads the recipe under a heading, renders it as the operator does, and writes the target's keys into files.
func cook(t *testing.T, title string, v rendering.Values) recipe {
	t.Helper()
	_, section, found := strings.Cut(read(t, recipes), "\n## "+title+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", recipes, title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	r := recipe{directory: t.TempDir(), server: v.ServerURL, underlying: v}
	for _, block := range yamlBlock.FindAllStringSubmatch(section, -1) {
		r.manifests = append(r.manifests, strings.Split(block[1], "\n---\n")...)
	}
	if len(r.manifests) == 0 {
		t.Fatalf("%s, %s: no YAML", recipes, title)
	}
	if err := yaml.UnmarshalStrict([]byte(r.manifests[0]), &r.session); err != nil {
		t.Fatal(err)
	}
	if script := shellBlock.FindStringSubmatch(section); script != nil {
		r.script = script[1]
	}
	templates := map[string]string{}
	for key, text := range r.session.Spec.Target.Data {
		templates[key] = string(text)
	}
	values, err := rendering.Render(templates, v)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range values {
		if err := os.WriteFile(filepath.Join(r.directory, key), value, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// file is what the pod reads under a key.
func (r recipe) file(t *testing.T, key string) string {
	t.Helper()
	return read(t, filepath.Join(r.directory, key))
}

// run runs the recipe's script, with what differs here from a pod.
func (r recipe) run(t *testing.T, more string) string {
	t.Helper()
	if r.script == "" {
		t.Fatalf("%s: the recipe has no script", recipes)
	}
	script := strings.NewReplacer(mountPath, r.directory, vaultURL, r.server).Replace(r.script)
	command := exec.CommandContext(t.Context(), "sh", "-euc", script+more) //nolint:gosec // the page's own
	command.Dir = r.directory
	command.Env = append(os.Environ(), "CURL_CA_BUNDLE="+r.caBundle, "NO_PROXY=*")
	output, err := command.Output()
	if err != nil {
		if failed, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it as it is
			t.Fatalf("%v\n%s%s", err, output, failed.Stderr)
		}
		t.Fatal(err)
	}
	return string(output)
}

// needCurl skips where there is no curl. CI installs it.
func needCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl to read what the recipe makes")
	}
}

// odd is an account whose name is as nasty as a name can be.
func odd() rendering.Values {
	issued := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	return rendering.Values{
		Token: `Ag'"\$(touch${IFS}pwned)#=&<%s`, Username: `o'Hara "the" \ $HOME $(touch pwned) #1 é`, Domain: "CORP",
		ServerURL: vaultURL, IssuedAt: issued, ExpiresAt: issued.Add(20 * time.Minute), Session: "billing", Namespace: "payments",
	}
}

// newVault is a fake Secret Server, and the values of a token that it issued.
func newVault(t *testing.T) (*secretservertest.Server, rendering.Values) {
	t.Helper()
	account := secretservertest.Account{Username: "svc-billing", Password: "correct horse"}
	vault := secretservertest.New(secretservertest.Options{BasePath: "/SecretServer", Accounts: []secretservertest.Account{account}})
	t.Cleanup(vault.Close)
	if err := vault.StartTLS(); err != nil {
		t.Fatal(err)
	}
	pool := secretserver.NewPool(time.Now)
	t.Cleanup(pool.CloseIdle)
	client, err := pool.Client(secretserver.Endpoint{URL: vault.URL(), CA: vault.CA()})
	if err != nil {
		t.Fatal(err)
	}
	issued := time.Now()
	grant, err := client.Authenticate(t.Context(), secretserver.Credentials{Username: account.Username, Password: account.Password})
	if err != nil {
		t.Fatal(err)
	}
	return vault, rendering.Values{
		Token: grant.AccessToken, Username: account.Username, ServerURL: vault.URL(),
		IssuedAt: issued, ExpiresAt: issued.Add(grant.ExpiresIn), Session: "billing", Namespace: "payments",
	}
}

func writeCA(t *testing.T, pem []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRecipesThatCallSecretServer(t *testing.T) {
	needCurl(t)
	for _, title := range []string{"An Authorization header", "An .env file for a shell"} {
		t.Run(title, func(t *testing.T) {
			vault, values := newVault(t)
			r := cook(t, title, values)
			r.caBundle = writeCA(t, vault.CA())
			if output := r.run(t, ""); !strings.Contains(output, "svc-billing") {
				t.Errorf("Secret Server answered %q", output)
			}
		})
	}
}

func TestRecipeOfAnAuthorizationHeaderIsOneLine(t *testing.T) {
	if got, want := cook(t, "An Authorization header", odd()).file(t, "authorization"), "Authorization: Bearer "+odd().Token; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// The gateway is what the recipe is for: something that wants Basic.
func TestRecipeOfANetrcLogsInToAGateway(t *testing.T) {
	needCurl(t)
	var username, password string
	gateway := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		username, password, _ = r.BasicAuth()
	}))
	defer gateway.Close()
	values := odd()
	values.ServerURL = gateway.URL + "/SecretServer"
	r := cook(t, "A .netrc", values)
	r.script = strings.Replace(r.script, "curl ", "curl --insecure ", 1) // httptest's certificate is none that a CA file could hold
	r.run(t, "")
	if username != values.Username || password != values.Token {
		t.Errorf("curl sent user name %q and password %q", username, password)
	}
}

func TestRecipeOfAJSONDocument(t *testing.T) {
	var got struct {
		URL       string    `json:"url"`
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expiresAt"`
		Expires   int64     `json:"expires"`
		Account   struct {
			Domain   string `json:"domain"`
			Username string `json:"username"`
		} `json:"account"`
	}
	v := odd()
	if err := json.Unmarshal([]byte(cook(t, "A JSON document", v).file(t, "session.json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.URL != v.ServerURL || got.Token != v.Token || got.Account.Domain != v.Domain || got.Account.Username != v.Username ||
		!got.ExpiresAt.Equal(v.ExpiresAt) || got.Expires != v.ExpiresAt.Unix() {
		t.Errorf("read %+v", got)
	}
}

// Whatever the names hold, a shell reads them as they are and runs nothing.
func TestRecipeOfAnEnvFileIsQuotedForAShell(t *testing.T) {
	r := cook(t, "An .env file for a shell", odd())
	r.script = ". " + mountPath + "/secret-server.env"
	got := r.run(t, "\n"+`printf '%s\n' "$SECRET_SERVER_URL" "$SECRET_SERVER_USERNAME" "$SECRET_SERVER_TOKEN"`)
	v := r.underlying
	if want := strings.Join([]string{v.ServerURL, v.Username, v.Token, ""}, "\n"); got != want {
		t.Errorf("the shell read\n%swant\n%s", got, want)
	}
	if _, err := os.Stat(filepath.Join(r.directory, "pwned")); err == nil {
		t.Error("the shell ran what stands in a value")
	}
}

// Docker takes what is behind the first = as it is.
func TestRecipeOfAnEnvFileForDocker(t *testing.T) {
	got := map[string]string{}
	for line := range strings.Lines(cook(t, "An .env file for Docker", odd()).file(t, "docker.env")) {
		name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !found || strings.HasPrefix(name, "#") || strings.ContainsAny(name, " \t") {
			t.Errorf("Docker does not take the line %q", line)
		}
		got[name] = value
	}
	if v := odd(); len(got) != 2 || got["SECRET_SERVER_URL"] != v.ServerURL || got["SECRET_SERVER_TOKEN"] != v.Token {
		t.Errorf("Docker reads %v", got)
	}
}

func TestRecipeOfTheGrantDocument(t *testing.T) {
	v := odd()
	var got map[string]any
	if err := json.Unmarshal([]byte(cook(t, "The grant document", v).file(t, "oauth2_grant.json")), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"access_token": v.Token, "token_type": "bearer", "expires_in": 240.0, "expires_at": v.ExpiresAt.Format(time.RFC3339),
	}
	if len(got) != len(want) {
		t.Errorf("the document has %v", got)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %v, want %v", key, got[key], value)
		}
	}
}

// What the page says of expires_in: nobody who reads the document in its time is promised more than is left.
func TestGrantDocumentPromisesNoMoreThanIsLeft(t *testing.T) {
	const percent, kubelet = 67, 90 * time.Second // the default, and how late a mounted file may be
	for _, lifetime := range []time.Duration{12 * time.Minute, 20 * time.Minute, time.Hour, 24 * time.Hour} {
		v := odd()
		v.ExpiresAt = v.IssuedAt.Add(lifetime)
		var document struct {
			ExpiresIn int64 `json:"expires_in"`
		}
		if err := json.Unmarshal([]byte(cook(t, "The grant document", v).file(t, "oauth2_grant.json")), &document); err != nil {
			t.Fatal(err)
		}
		lastRead := lifetime*percent/100 + kubelet
		if promised := time.Duration(document.ExpiresIn) * time.Second; lastRead+promised > lifetime {
			t.Errorf("of tokens that live for %s, who reads after %s is promised %s", lifetime, lastRead, promised)
		}
	}
}

// secretStore has the fields of external-secrets.io/v1, version 2.8, that concern Secret Server, and no others: strict decoding finds
// a name that External Secrets would not know.
type secretStore struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Provider struct {
			SecretServer *struct {
				ServerURL  string            `json:"serverURL"`
				Token      *secretStoreValue `json:"token"`
				Username   *secretStoreValue `json:"username"`
				Password   *secretStoreValue `json:"password"`
				Domain     string            `json:"domain"`
				CABundle   []byte            `json:"caBundle"`
				CAProvider *struct {
					Type      string  `json:"type"`
					Name      string  `json:"name"`
					Key       string  `json:"key"`
					Namespace *string `json:"namespace"`
				} `json:"caProvider"`
			} `json:"secretserver"`
		} `json:"provider"`
	} `json:"spec"`
}

// secretStoreValue is a value as it is, or a key of a Secret: exactly one of both.
type secretStoreValue struct {
	Value     string `json:"value"`
	SecretRef *struct {
		Name      string  `json:"name"`
		Key       string  `json:"key"`
		Namespace *string `json:"namespace"`
	} `json:"secretRef"`
}

// That token, URL and CA are enough for Delinea's own SDK, which External Secrets uses, is shown in the controllers' suite.
func TestRecipesOfSecretStoresNameWhatTheSessionMakes(t *testing.T) {
	r := cook(t, "A SecretStore of External Secrets", odd())
	kinds := map[string]bool{}
	for _, manifest := range r.manifests[1:] {
		var store secretStore
		if err := yaml.UnmarshalStrict([]byte(manifest), &store); err != nil {
			t.Fatal(err)
		}
		kinds[store.APIVersion+" "+store.Kind] = true
		provider := store.Spec.Provider.SecretServer
		if provider == nil || provider.Token == nil || provider.Token.SecretRef == nil || provider.CAProvider == nil {
			t.Fatalf("%s: want a Secret Server with a token from a Secret and a CA", store.Kind)
		}
		token, ca, bundle := provider.Token.SecretRef, provider.CAProvider, r.session.Spec.Endpoint.CABundleRef
		if provider.ServerURL != r.session.Spec.Endpoint.URL || provider.Token.Value != "" || provider.Username != nil || provider.Password != nil {
			t.Errorf("%s: want the session's server and nothing but the token", store.Kind)
		}
		if token.Name != r.session.TargetName() || token.Key != api.TargetKeyToken {
			t.Errorf("%s: the token is to come from key %q of Secret %q", store.Kind, token.Key, token.Name)
		}
		if ca.Type != "ConfigMap" || ca.Name != bundle.Name || ca.Key != "ca.crt" {
			t.Errorf("%s: the CA is to come from %+v", store.Kind, *ca)
		}
		// A SecretStore must not, and a ClusterSecretStore has to.
		for of, namespace := range map[string]*string{"the token": token.Namespace, "the CA": ca.Namespace} {
			cluster := store.Kind == "ClusterSecretStore"
			if (namespace != nil) != cluster || cluster && *namespace != r.session.Namespace || cluster == (store.Metadata.Namespace != "") {
				t.Errorf("%s: namespaces of %s do not fit", store.Kind, of)
			}
		}
	}
	if !kinds["external-secrets.io/v1 SecretStore"] || !kinds["external-secrets.io/v1 ClusterSecretStore"] {
		t.Errorf("the recipe shows %v", kinds)
	}
}

// Every recipe with a session has a test above; who adds one adds a test.
func TestEveryRecipeIsTested(t *testing.T) {
	tests := read(t, "recipes_test.go")
	count := 0
	for section := range strings.SplitSeq(read(t, recipes), "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		if yamlBlock.MatchString(section) {
			count++
			if !strings.Contains(tests, `"`+title+`"`) {
				t.Errorf("no test cooks %q", title)
			}
		}
	}
	if count < 7 {
		t.Errorf("found %d recipes", count)
	}
}
