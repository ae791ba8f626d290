package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram makes the test binary behave as the program, for tests of its signals
// and exit status.
const asProgram = "FAKE_SECRET_SERVER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// running is a program under test, in this process.
type running struct {
	URL     string `json:"url"`
	Control string `json:"control"`
	client  *http.Client
}

// start runs the program until the test ends, and fails the test if it ends otherwise than well.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	ctx, stop := context.WithCancel(t.Context())
	output, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"--ca-out", ca}, args...), stdout, io.Discard)
		ended <- err
		stdout.CloseWithError(err)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the program ended with %v", err)
		}
	})
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the program does not get ready: %v", err)
	}
	p := &running{}
	if err := json.Unmarshal(line, p); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	p.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return p
}

// post sends a body and decodes the JSON answered.
func (p *running) post(t *testing.T, address, body string, into any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		t.Fatalf("%s: %d, %v", address, answer.StatusCode, err)
	}
	return answer.StatusCode
}

type grant struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	ExpiresIn int    `json:"expires_in"`
}

func (p *running) login(t *testing.T, username, password, domain string) (grant, int) {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "username": {username}, "password": {password}, "domain": {domain}}
	var g grant
	status := p.post(t, p.URL+"/oauth2/token", form.Encode(), &g)
	return g, status
}

func TestAccountsOfTheCommandLineLogIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts.json")
	content := `[{"username":"filed","password":"p","secrets":[{"id":1,"name":"s","fields":[{"name":"N","slug":"n","value":"v"}]}]}]`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--account", "svc:pass:word", "--account", `CORP\joint:p`, "--accounts-file", file, "--token-lifetime", "30s")
	if !strings.HasPrefix(p.URL, "https://127.0.0.1:") || !strings.HasSuffix(p.URL, "/SecretServer") || p.Control != "" {
		t.Errorf("URL %s, control %q", p.URL, p.Control)
	}
	for _, account := range [][3]string{{"svc", "pass:word", ""}, {"joint", "p", "CORP"}, {"filed", "p", ""}} {
		g, status := p.login(t, account[0], account[1], account[2])
		if status != http.StatusOK || g.ExpiresIn != 29 || g.Refresh == "" {
			t.Errorf("%s is answered %d, expires_in %d", account[0], status, g.ExpiresIn)
		}
	}
}

func TestAnotherProcessDrivesTheServer(t *testing.T) {
	urls := t.TempDir()
	p := start(t, "--account", "svc:old", "--control-listen", "127.0.0.1:0", "--base-path", "/",
		"--url-out", filepath.Join(urls, "url"), "--control-url-out", filepath.Join(urls, "control"))
	for name, want := range map[string]string{"url": p.URL, "control": p.Control} {
		if got, err := os.ReadFile(filepath.Join(urls, name)); err != nil || string(got) != want {
			t.Errorf("file %s: %q, %v; want %s", name, got, err, want)
		}
	}
	var answer struct {
		Valid bool `json:"valid"`
	}
	p.post(t, p.Control+"/accounts/svc/password", `{"password":"new"}`, &answer)
	g, status := p.login(t, "svc", "new", "")
	if status != http.StatusOK {
		t.Fatalf("login answered %d", status)
	}
	p.post(t, p.Control+"/token-valid", `{"token":"`+g.Access+`"}`, &answer)
	if !answer.Valid {
		t.Error("the token is not valid")
	}
	p.post(t, p.Control+"/revoke-all", "", &struct{}{})
	p.post(t, p.Control+"/token-valid", `{"token":"`+g.Access+`"}`, &answer)
	if answer.Valid {
		t.Error("the token is valid after revocation")
	}
}

func TestPlainHTTP(t *testing.T) {
	p := start(t, "--plain", "--account", "svc:p")
	if !strings.HasPrefix(p.URL, "http://") {
		t.Errorf("URL %s", p.URL)
	}
	if _, status := p.login(t, "svc", "p", ""); status != http.StatusOK {
		t.Errorf("login answered %d", status)
	}
}

func TestBadCommandLines(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(broken, []byte(`[{"user":"svc"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"unknown flag":              {"--token-life", "30s"},
		"an argument":               {"serve"},
		"option without meaning":    {"--expired-status", "500"},
		"account without password":  {"--account", "hunter2"},
		"accounts file missing":     {"--accounts-file", filepath.Join(dir, "none.json")},
		"accounts file with errors": {"--accounts-file", broken},
		"address in use nowhere":    {"--listen", "256.0.0.1:0"},
		"control on all addresses":  {"--control-listen", "0.0.0.0:0"},
		"control nowhere":           {"--control-listen", "256.0.0.1:0"},
		"nowhere to put the CA":     {"--ca-out", filepath.Join(dir, "none", "ca.crt")},
	} {
		t.Run(name, func(t *testing.T) {
			var output bytes.Buffer
			err := run(t.Context(), args, &output, &output)
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error()+output.String(), "hunter2") {
				t.Error("a password is in the error")
			}
		})
	}
}

func TestProgramEndsWellOnSignals(t *testing.T) {
	for name, signal := range map[string]os.Signal{"SIGINT": os.Interrupt, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			program := program(t, "--control-listen", "127.0.0.1:0")
			stdout, err := program.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			output := bufio.NewReader(stdout)
			if _, err := output.ReadString('\n'); err != nil {
				t.Fatalf("the program does not get ready: %v", err)
			}
			if err := program.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, output); err != nil {
				t.Fatal(err)
			}
			if err := program.Wait(); err != nil {
				t.Errorf("the program ended with %v", err)
			}
		})
	}
}

func TestExitStatus(t *testing.T) {
	if err := program(t, "--help").Run(); err != nil {
		t.Errorf("--help: %v", err)
	}
	if err := program(t, "--nonsense").Run(); err == nil {
		t.Error("a bad command line ended well")
	}
}

// program is this program as a process of its own, ended with the test.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...) // #nosec G204 -- this test binary
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}
