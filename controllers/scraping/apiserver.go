package scraping

import (
	"context"
	"fmt"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

// apiServer answers questions. The operator needs the right to create both kinds of review.
type apiServer struct {
	tokens authentication.TokenReviewInterface
	access authorization.SubjectAccessReviewInterface
}

func newAPIServer(config *rest.Config, client *http.Client) (apiServer, error) {
	tokens, err := authentication.NewForConfigAndClient(config, client)
	if err != nil {
		return apiServer{}, fmt.Errorf("make the client of token reviews: %w", err)
	}
	access, err := authorization.NewForConfigAndClient(config, client)
	if err != nil {
		return apiServer{}, fmt.Errorf("make the client of access reviews: %w", err)
	}
	return apiServer{tokens: tokens.TokenReviews(), access: access.SubjectAccessReviews()}, nil
}

// ask asks whose the token is, and then whether that user may do this. What the API server leaves open is refused.
func (a apiServer) ask(ctx context.Context, q question) (verdict, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: q.token}}
	review, err := a.tokens.Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return verdict{}, fmt.Errorf("ask whose the token is: %w", err)
	}
	if !review.Status.Authenticated {
		return verdict{status: http.StatusUnauthorized}, nil
	}
	user := review.Status.User
	access, err := a.access.Create(ctx, accessReview(user, q), metav1.CreateOptions{})
	if err != nil {
		return verdict{}, fmt.Errorf("ask whether %s may %s %s: %w", user.Username, q.verb, q.path, err)
	}
	if !access.Status.Allowed || access.Status.Denied {
		return verdict{status: http.StatusForbidden, user: user.Username}, nil
	}
	return verdict{status: http.StatusOK, user: user.Username}, nil
}

func accessReview(user authenticationv1.UserInfo, q question) *authorizationv1.SubjectAccessReview {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	return &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:                  user.Username,
		UID:                   user.UID,
		Groups:                user.Groups,
		Extra:                 extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: q.verb, Path: q.path},
	}}
}
