package controllers_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"sync"

	. "github.com/onsi/ginkgo/v2"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// tap stands before a Secret Server and keeps the secrets that go by: passwords and refresh tokens on their way there,
// tokens on their way back, also in answers that are good for nothing.
type tap struct {
	next http.Handler

	mu   sync.Mutex
	seen map[string]bool
}

var tokenInAnswer = regexp.MustCompile(`"(?:access_token|refresh_token)":"([^"]+)`)

func (t *tap) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // the client has gone
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, "not a form", http.StatusBadRequest)
		return
	}
	t.keep(form.Get("password"), form.Get("refresh_token"))
	request.Body = io.NopCloser(bytes.NewReader(body))
	answer := &tapped{ResponseWriter: w}
	defer func() {
		for _, match := range tokenInAnswer.FindAllStringSubmatch(answer.text.String(), -1) {
			t.keep(match[1])
		}
	}()
	t.next.ServeHTTP(answer, request)
}

func (t *tap) keep(secrets ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, secret := range secrets {
		if secret != "" {
			t.seen[secret] = true
		}
	}
}

func (t *tap) secrets() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.seen))
}

// tapped is an answer with a copy of its beginning.
type tapped struct {
	http.ResponseWriter
	text bytes.Buffer
}

func (t *tapped) Write(p []byte) (int, error) {
	if t.text.Len() < 1<<16 {
		t.text.Write(p)
	}
	return t.ResponseWriter.Write(p)
}

// Unwrap lets the server reach the connection, to break it.
func (t *tapped) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// tapped puts a tap before the world's Secret Server. It returns what makes a session use it.
func (w *world) tapped(ctx context.Context) (*tap, func(*api.SecretServerSession)) {
	GinkgoHelper()
	t := &tap{next: w.vault, seen: map[string]bool{}}
	server := httptest.NewTLSServer(t)
	DeferCleanup(server.Close)
	withCA("ca.crt", func(*world) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	})(ctx, w)
	return t, func(s *api.SecretServerSession) { s.Spec.Endpoint.URL = server.URL + w.vault.Options().BasePath }
}
