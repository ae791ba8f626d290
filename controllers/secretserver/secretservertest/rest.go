package secretservertest

import (
	"net/http"
	"strings"
)

// Routes below the base path, and the names of requests in Stats.
const (
	tokenPath       = "/oauth2/token"
	currentUserPath = "/api/v1/users/current"
	summaryPath     = "/api/v1/users/current-summary"
	expirationPath  = "/api/v1/oauth-expiration"
	versionPath     = "/api/v1/version"
	healthPath      = "/api/v1/healthcheck"
	oldHealthPath   = "/healthcheck.aspx"
	secretsPath     = "/api/v1/secrets"
	secretPath      = "/api/v1/secrets/{id}"
	fieldPath       = "/api/v1/secrets/{id}/fields/{slug}"
	otherPath       = "other"
)

const defaultVersion = "11.7.000049"

// deadTokenMessage is the body of a 403 for a token that is over: exactly this,
// and no other key.
const deadTokenMessage = "Authentication failed or expired token."

// resource answers for an account. The server's lock is held.
type resource func(a *account, t *token) reply

// call finds what a request asks for. Paths are compared without regard to case,
// as IIS does.
func (s *Server) call(r *http.Request) call {
	path, ok := s.below(r.URL.Path)
	if !ok {
		return unknownPath()
	}
	segments := strings.Split(strings.TrimPrefix(path, secretsPath+"/"), "/")
	switch {
	case path == tokenPath:
		if s.hidesTokenEndpoint(r) {
			return unknownPath()
		}
		return s.tokenCall(r)
	case path == healthPath:
		return call{route: healthPath, operation: Health, process: s.health}
	case path == oldHealthPath:
		return call{route: oldHealthPath, operation: Health, process: s.oldHealth}
	case path == currentUserPath || path == summaryPath:
		return s.authorized(r, http.MethodGet, path, Verify, currentUser)
	case path == expirationPath:
		return s.authorized(r, http.MethodPost, expirationPath, Revoke, s.revoke)
	case path == versionPath:
		return s.authorized(r, http.MethodGet, versionPath, Version, s.version)
	case path == secretsPath:
		return s.authorized(r, http.MethodGet, secretsPath, Read, func(a *account, _ *token) reply {
			return searchSecrets(a, r.URL.Query())
		})
	case !strings.HasPrefix(path, secretsPath+"/"):
		return unknownPath()
	case len(segments) == 1:
		return s.authorized(r, http.MethodGet, secretPath, Read, func(a *account, _ *token) reply {
			return readSecret(a, segments[0], r.URL.Query())
		})
	case len(segments) == 3 && segments[1] == "fields":
		return s.authorized(r, http.MethodGet, fieldPath, Read, func(a *account, _ *token) reply {
			return readField(a, segments[0], segments[2])
		})
	}
	return unknownPath()
}

// below is the path under the base path, in lower case.
func (s *Server) below(path string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := strings.ToLower(s.options.basePath())
	rest, ok := strings.CutPrefix(strings.ToLower(path), base)
	return rest, ok && strings.HasPrefix(rest, "/")
}

// hidesTokenEndpoint: Katana does not see a request that must not come over plain
// HTTP, so the web site answers it.
func (s *Server) hidesTokenEndpoint(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options.RequireTLS && r.TLS == nil
}

func unknownPath() call {
	return call{route: otherPath, operation: Other, process: func() reply {
		return htmlReply(http.StatusNotFound, Unsupported)
	}}
}

// authorized is a request that needs a live bearer token.
func (s *Server) authorized(r *http.Request, method, route string, operation Operation, do resource) call {
	c := call{route: route, operation: operation, presented: bearer(r)}
	if r.Method != method {
		c.process = func() reply {
			answer := jsonReply(http.StatusMethodNotAllowed, Unsupported, map[string]string{
				"message": "The requested resource does not support this method.",
			})
			answer.header.Set("Allow", method)
			return answer
		}
		return c
	}
	c.account = s.holder(c.presented)
	c.process = func() reply {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.settle()
		t := s.tokens.find(c.presented)
		if dead, ok := s.deadToken(t); ok {
			return dead
		}
		answer := do(t.account, t)
		answer.account = t.account.Name()
		return answer
	}
	return c
}

// bearer is the request's access token, "" for none.
func bearer(r *http.Request) string {
	scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return raw
}

// holder names the account that a token belongs or belonged to.
func (s *Server) holder(raw string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens.find(raw); t != nil {
		return t.account.Name()
	}
	return ""
}

// deadToken is the answer to a bearer token that is no good. One never issued is
// a 401; one ended on purpose is a 403; for one that ran out both are reported,
// see Options.ExpiredStatus.
func (s *Server) deadToken(t *token) (reply, bool) {
	if t == nil || t.kind != accessToken || t.fate == forgotten {
		s.stats.UnknownTokenUses++
		answer := jsonReply(http.StatusUnauthorized, TokenUnknown, map[string]string{
			"message": "Authorization has been denied for this request.",
		})
		answer.header.Set("WWW-Authenticate", "Bearer")
		return answer, true
	}
	if t.fate == alive {
		return reply{}, false
	}
	status, result := http.StatusForbidden, TokenRevoked
	if t.fate == expired {
		s.stats.ExpiredTokenUses++
		status, result = orDefault(s.options.ExpiredStatus, http.StatusForbidden), TokenExpired
	} else {
		s.stats.RevokedTokenUses++
	}
	answer := jsonReply(status, result, map[string]string{"message": deadTokenMessage})
	answer.account = t.account.Name()
	return answer, true
}

func currentUser(a *account, _ *token) reply {
	return jsonReply(http.StatusOK, Granted, struct {
		ID           int      `json:"id"`
		UserName     string   `json:"userName"`
		DisplayName  string   `json:"displayName"`
		EmailAddress string   `json:"emailAddress"`
		DateOptionID int      `json:"dateOptionId"`
		TimeOptionID int      `json:"timeOptionId"`
		UserLcid     int      `json:"userLcid"`
		Permissions  []string `json:"permissions"`
	}{ID: a.id, UserName: a.Username, DisplayName: a.Username, DateOptionID: 1, TimeOptionID: 1, Permissions: []string{}})
}

// revoke ends the token that it is sent with.
func (s *Server) revoke(_ *account, t *token) reply {
	s.tokens.end(t, revoked)
	if s.options.RevocationKillsRefresh {
		s.tokens.end(t.peer, revoked)
	}
	s.stats.Revocations++
	return jsonReply(http.StatusOK, Granted, true)
}

func (s *Server) version(*account, *token) reply {
	version := orDefault(s.options.Version, defaultVersion)
	if s.options.HideVersion {
		version = ""
	}
	return jsonReply(http.StatusOK, Granted, map[string]any{
		"success": true, "severity": "None", "model": map[string]string{"version": version},
	})
}

func (s *Server) health() reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.Health == HealthText {
		return reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte("Healthy"), result: Granted}
	}
	healthy := s.options.Health != HealthUnhealthy
	return jsonReply(http.StatusOK, Granted, map[string]bool{
		"healthy": healthy, "databaseHealthy": healthy, "serviceBusHealthy": healthy,
		"storageAccountHealthy": healthy, "scheduledForDeletion": false,
	})
}

func (s *Server) oldHealth() reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.now()
	return jsonReply(http.StatusOK, Granted, map[string]any{
		"healthy": s.options.Health != HealthUnhealthy,
		"now":     now.Format("2006-01-02T15:04:05.0000000-07:00"),
		"utcNow":  now.UTC().Format("2006-01-02T15:04:05.0000000Z"),
	})
}
