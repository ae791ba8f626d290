// Package scraping guards the operator's metrics: the API server says who asks for them, and whether they may.
//
// It does what controller-runtime's filters.WithAuthenticationAndAuthorization does, with client-go alone. That one is built on the library
// that API servers are made of, and brings CEL, gRPC and OpenTelemetry into the operator's memory for two requests a minute.
package scraping

import (
	"errors"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Guard returns what makes the filter of a metrics server. It answers 401 to who shows no token that the API server knows, 403 to who may
// not do this on the path, and 500 if the API server does not say. All others see the page.
func Guard(c clock.PassiveClock) func(*rest.Config, *http.Client) (metricsserver.Filter, error) {
	return func(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
		api, err := newAPIServer(config, client)
		if err != nil {
			return nil, err
		}
		judge := newJudge(api.ask, c)
		return func(log logr.Logger, page http.Handler) (http.Handler, error) {
			return &guard{judge: judge, log: log, page: page}, nil
		}, nil
	}
}

// guard stands before a page. Neither its log nor its answers have the token.
type guard struct {
	judge *judge
	log   logr.Logger
	page  http.Handler
}

func (g *guard) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	token := bearer(request.Header)
	if token == "" {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	q := question{token: token, verb: strings.ToLower(request.Method), path: request.URL.Path}
	v, err := g.judge.verdict(request.Context(), q)
	if err != nil {
		g.log.Error(without(err, token), "The API server does not say who may read the metrics", "verb", q.verb)
		http.Error(w, "Authentication failed", http.StatusInternalServerError)
		return
	}
	switch v.status {
	case http.StatusOK:
		request.Header.Del("Authorization") // the page has no use for it
		g.page.ServeHTTP(w, request)
	case http.StatusForbidden:
		g.log.V(1).Info("Metrics are refused", "status", v.status, "user", v.user, "verb", q.verb)
		http.Error(w, "Authorization denied for user "+v.user, http.StatusForbidden)
	default:
		g.log.V(1).Info("Metrics are refused", "status", http.StatusUnauthorized, "verb", q.verb)
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
	}
}

// bearer is the token of the Authorization header, read as the API server reads it; empty if there is none.
func bearer(header http.Header) string {
	scheme, credentials, _ := strings.Cut(strings.TrimSpace(header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	token, _, _ := strings.Cut(credentials, " ")
	return token
}

// without is the error's text, which may repeat what came from a server, without the token that was sent to it.
func without(err error, token string) error {
	return errors.New(strings.ReplaceAll(err.Error(), token, "[the token]"))
}
