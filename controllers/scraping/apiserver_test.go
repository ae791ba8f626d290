package scraping

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// cluster stands for the API server, without a network between, so that it can be asked in a test's own time.
type cluster struct {
	t *testing.T

	mu     sync.Mutex
	users  map[string]authenticationv1.UserInfo // by token
	rights map[string]bool                      // "user verb path"
	asked  []string                             // the reviews that it was asked for, in order
	access []authorizationv1.SubjectAccessReviewSpec
	// Each, if it is set, answers in the place of reviews of its kind.
	tokenReviews, accessReviews http.HandlerFunc
	away                        error
}

const (
	readerToken   = "MARKER-reader"
	strangerToken = "MARKER-stranger"
	writerToken   = "MARKER-writer"
	unknownToken  = "MARKER-unknown"
)

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return &cluster{
		t: t,
		users: map[string]authenticationv1.UserInfo{
			readerToken:   {Username: "reader"},
			strangerToken: {Username: "stranger"},
			writerToken:   {Username: "writer"},
		},
		rights: map[string]bool{"reader get /metrics": true, "reader head /metrics": true, "writer post /metrics": true},
	}
}

// RoundTrip is how the guard reaches it.
func (c *cluster) RoundTrip(request *http.Request) (*http.Response, error) {
	c.mu.Lock()
	away := c.away
	c.mu.Unlock()
	if away != nil {
		return nil, away
	}
	answer := httptest.NewRecorder()
	switch request.Method + " " + request.URL.Path {
	case "POST /apis/authentication.k8s.io/v1/tokenreviews":
		c.note("token")
		handlerOr(c.tokenReviews, c.reviewToken)(answer, request)
	case "POST /apis/authorization.k8s.io/v1/subjectaccessreviews":
		c.note("access")
		handlerOr(c.accessReviews, c.reviewAccess)(answer, request)
	default:
		c.t.Errorf("the API server was asked for %s %s", request.Method, request.URL)
		answer.WriteHeader(http.StatusNotFound)
	}
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	return answer.Result(), nil
}

func handlerOr(one, other http.HandlerFunc) http.HandlerFunc {
	if one != nil {
		return one
	}
	return other
}

func (c *cluster) note(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, kind)
}

// questions are the reviews that it was asked for since the last call.
func (c *cluster) questions() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := strings.Join(c.asked, " ")
	c.asked = nil
	return asked
}

func (c *cluster) reviewToken(w http.ResponseWriter, request *http.Request) {
	review := &authenticationv1.TokenReview{}
	c.read(request, review)
	review.TypeMeta = metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"}
	c.mu.Lock()
	user, known := c.users[review.Spec.Token]
	c.mu.Unlock()
	review.Status = authenticationv1.TokenReviewStatus{Authenticated: known, User: user}
	if !known {
		review.Status.Error = "invalid bearer token " + review.Spec.Token
	}
	c.write(w, http.StatusCreated, review)
}

func (c *cluster) reviewAccess(w http.ResponseWriter, request *http.Request) {
	review := &authorizationv1.SubjectAccessReview{}
	c.read(request, review)
	review.TypeMeta = metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SubjectAccessReview"}
	c.mu.Lock()
	c.access = append(c.access, review.Spec)
	if path := review.Spec.NonResourceAttributes; path != nil {
		review.Status.Allowed = c.rights[review.Spec.User+" "+path.Verb+" "+path.Path]
	}
	c.mu.Unlock()
	c.write(w, http.StatusCreated, review)
}

// read decodes in whichever encoding the client prefers.
func (c *cluster) read(request *http.Request, into runtime.Object) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		c.t.Error(err)
	}
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, into); err != nil {
		c.t.Error(err)
	}
}

func (c *cluster) write(w http.ResponseWriter, status int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(object); err != nil {
		c.t.Error(err)
	}
}

// fails answers with a Status of the API server, whose message repeats all that it was sent.
func (c *cluster) fails(code int, reason metav1.StatusReason) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		sent := &strings.Builder{}
		if err := request.Write(sent); err != nil {
			c.t.Error(err)
		}
		c.write(w, code, &metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
			Status:   metav1.StatusFailure,
			Message:  "trouble with " + sent.String(),
			Reason:   reason,
			Code:     int32(code), //nolint:gosec // a status code
		})
	}
}
