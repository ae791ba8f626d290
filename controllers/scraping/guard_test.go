package scraping

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
)

const page = "# the metrics\n"

// gate is a guarded page, and all that its guard has logged.
type gate struct {
	http.Handler
	clock *clocktesting.FakePassiveClock
	log   *journal
}

// journal is a log that many may write to at a time.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) note(_, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.WriteString(line + "\n")
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func newGate(t *testing.T, c *cluster) *gate {
	t.Helper()
	g := &gate{clock: clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0)), log: &journal{}}
	filter, err := Guard(g.clock)(&rest.Config{Host: "https://api.example.com", QPS: -1}, &http.Client{Transport: c})
	if err != nil {
		t.Fatal(err)
	}
	log := funcr.New(g.log.note, funcr.Options{Verbosity: 10})
	g.Handler, err = filter(log, http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if _, shown := request.Header["Authorization"]; shown {
			t.Error("the page sees the token")
		}
		if _, err := io.WriteString(w, page); err != nil {
			t.Error(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gate) answer(request *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, request)
	return answer
}

func scrapeOf(t *testing.T, token string) *http.Request {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	request.Header.Set("Authorization", "Bearer "+token)
	return request
}

// scrape is the status that a token gets for GET /metrics.
func (g *gate) scrape(t *testing.T, token string) int {
	t.Helper()
	return g.answer(scrapeOf(t, token)).Code
}

func TestWhoSeesThePage(t *testing.T) {
	answers := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, text) //nolint:errcheck // a recorder
		}
	}
	for _, test := range []struct {
		name          string
		authorization string
		method, path  string // GET and /metrics unless they are set
		trouble       func(*cluster)
		want          int
		asked         string
	}{
		{name: "nobody: no header", want: 401},
		{name: "nobody: another scheme", authorization: "Basic " + readerToken, want: 401},
		{name: "nobody: a scheme that begins alike", authorization: "BearerX " + readerToken, want: 401},
		{name: "nobody: the token alone", authorization: readerToken, want: 401},
		{name: "nobody: the scheme alone", authorization: "Bearer", want: 401},
		{name: "nobody: two spaces, as for the API server", authorization: "Bearer  " + readerToken, want: 401},
		{name: "an unknown token", authorization: "Bearer " + unknownToken, want: 401, asked: "token"},
		{name: "who is known and has no right", authorization: "Bearer " + strangerToken, want: 403, asked: "token access"},
		{name: "who has the right", authorization: "Bearer " + readerToken, want: 200, asked: "token access"},
		{name: "a scheme in lower case", authorization: "bearer " + readerToken, want: 200, asked: "token access"},
		{name: "what follows the token does not count", authorization: " Bearer " + readerToken + " else", want: 200, asked: "token access"},
		{name: "HEAD with its right", authorization: "Bearer " + readerToken, method: "HEAD", want: 200, asked: "token access"},
		{name: "POST without its right", authorization: "Bearer " + readerToken, method: "POST", want: 403, asked: "token access"},
		{name: "POST with its right", authorization: "Bearer " + writerToken, method: "POST", want: 200, asked: "token access"},
		{name: "who may POST but not GET", authorization: "Bearer " + writerToken, want: 403, asked: "token access"},
		{name: "another path", authorization: "Bearer " + readerToken, path: "/debug", want: 403, asked: "token access"},
		{
			name: "the API server is away", authorization: "Bearer " + readerToken, want: 500,
			trouble: func(c *cluster) { c.away = errors.New("connection refused") },
		}, {
			name: "it fails to review tokens", authorization: "Bearer " + readerToken, want: 500, asked: "token",
			trouble: func(c *cluster) { c.tokenReviews = c.fails(500, metav1.StatusReasonInternalError) },
		}, {
			name: "the operator may not ask for tokens", authorization: "Bearer " + readerToken, want: 500, asked: "token",
			trouble: func(c *cluster) { c.tokenReviews = c.fails(403, metav1.StatusReasonForbidden) },
		}, {
			name: "the operator's own token is unknown", authorization: "Bearer " + readerToken, want: 500, asked: "token",
			trouble: func(c *cluster) { c.tokenReviews = c.fails(401, metav1.StatusReasonUnauthorized) },
		}, {
			name: "it fails to review access", authorization: "Bearer " + readerToken, want: 500, asked: "token access",
			trouble: func(c *cluster) { c.accessReviews = c.fails(500, metav1.StatusReasonInternalError) },
		}, {
			name: "the operator may not ask for access", authorization: "Bearer " + readerToken, want: 500, asked: "token access",
			trouble: func(c *cluster) { c.accessReviews = c.fails(403, metav1.StatusReasonForbidden) },
		}, {
			name: "an answer that is none", authorization: "Bearer " + readerToken, want: 500, asked: "token",
			trouble: func(c *cluster) { c.tokenReviews = answers("<html>") },
		}, {
			name: "an answer that leaves it open whose the token is", authorization: "Bearer " + readerToken, want: 401, asked: "token",
			trouble: func(c *cluster) {
				c.tokenReviews = answers(`{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1"}`)
			},
		}, {
			name: "an answer that allows and denies", authorization: "Bearer " + readerToken, want: 403, asked: "token access",
			trouble: func(c *cluster) {
				c.accessReviews = answers(`{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true,"denied":true}}`)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t)
			if test.trouble != nil {
				test.trouble(c)
			}
			g := newGate(t, c)
			request := scrapeOf(t, "")
			request.Header.Del("Authorization")
			if test.authorization != "" {
				request.Header.Set("Authorization", test.authorization)
			}
			if test.method != "" {
				request.Method = test.method
			}
			if test.path != "" {
				request.URL.Path = test.path
			}
			answer := g.answer(request)
			if answer.Code != test.want {
				t.Errorf("status %d, want %d; log: %s", answer.Code, test.want, g.log)
			}
			if shown := strings.Contains(answer.Body.String(), page); shown != (test.want == http.StatusOK) {
				t.Errorf("with status %d the page is shown: %t", answer.Code, shown)
			}
			if asked := c.questions(); asked != test.asked {
				t.Errorf("the API server was asked for reviews of %q, want %q", asked, test.asked)
			}
			if logged := strings.Contains(g.log.String(), "The API server does not say"); logged != (test.want == http.StatusInternalServerError) {
				t.Errorf("with status %d the log has it: %t", answer.Code, logged)
			}
			if strings.Contains(g.log.String()+answer.Body.String(), "MARKER") {
				t.Errorf("the token is told; log: %s answer: %s", g.log, answer.Body)
			}
		})
	}
}

func TestTheAnswerNamesWhoIsRefused(t *testing.T) {
	g := newGate(t, newCluster(t))
	if got, want := g.answer(scrapeOf(t, strangerToken)).Body.String(), "Authorization denied for user stranger\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheLogHasTheCause(t *testing.T) {
	c := newCluster(t)
	c.tokenReviews = c.fails(http.StatusForbidden, metav1.StatusReasonForbidden)
	g := newGate(t, c)
	g.scrape(t, readerToken)
	for _, want := range []string{"ask whose the token is", "trouble with POST", "[the token]"} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, g.log)
		}
	}
}

func TestAllThatIsKnownOfTheUserDecides(t *testing.T) {
	c := newCluster(t)
	c.users[readerToken] = authenticationv1.UserInfo{
		Username: "reader",
		UID:      "42",
		Groups:   []string{"system:authenticated", "scrapers"},
		Extra:    map[string]authenticationv1.ExtraValue{"pod": {"prometheus-0", "prometheus-1"}},
	}
	newGate(t, c).scrape(t, readerToken)
	want := []authorizationv1.SubjectAccessReviewSpec{{
		User:                  "reader",
		UID:                   "42",
		Groups:                []string{"system:authenticated", "scrapers"},
		Extra:                 map[string]authorizationv1.ExtraValue{"pod": {"prometheus-0", "prometheus-1"}},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: "get", Path: "/metrics"},
	}}
	if diff := cmp.Diff(want, c.access); diff != "" {
		t.Errorf("the API server was asked for other access (-want +got):\n%s", diff)
	}
}
