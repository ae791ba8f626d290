package controllers

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// AllowedEndpoints restricts which Secret Servers sessions may name; empty allows any. It answers the confused deputy:
// without it, whoever may create a session can make the operator connect to any https host that it can reach.
type AllowedEndpoints []url.URL

// ParseAllowedEndpoints reads URL prefixes: an https URL with a host, and optionally a path that is matched by whole
// segments.
func ParseAllowedEndpoints(prefixes []string) (AllowedEndpoints, error) {
	var allowed AllowedEndpoints
	for _, prefix := range prefixes {
		u, err := url.Parse(strings.TrimSpace(prefix))
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !underPath(u.Path, "") {
			return nil, fmt.Errorf("allowed endpoint %q: want an https URL such as https://vault.example.com/SecretServer", prefix)
		}
		allowed = append(allowed, *u)
	}
	return allowed, nil
}

// Allow reports whether a session may use the endpoint.
func (a AllowedEndpoints) Allow(endpoint string) bool {
	if len(a) == 0 {
		return true
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	for _, prefix := range a {
		if sameHost(*u, prefix) && underPath(u.Path, prefix.Path) {
			return true
		}
	}
	return false
}

func sameHost(u, prefix url.URL) bool {
	return u.Scheme == prefix.Scheme && hostOf(u) == hostOf(prefix)
}

func portOf(u url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return "443"
}

// underPath compares whole segments. A path with dot segments is under nothing, as the server may resolve them. So is one
// with a backslash, which Secret Server's own web server takes for a slash; with a percent sign, which is left of one that
// was escaped twice; and with a semicolon, behind which some proxies look for dot segments.
func underPath(p, prefix string) bool {
	p, prefix = strings.TrimRight(p, "/"), strings.TrimRight(prefix, "/")
	if strings.ContainsAny(p, `\%;`) || (p != "" && path.Clean(p) != p) {
		return false
	}
	return p == prefix || strings.HasPrefix(p, prefix+"/")
}

// canonical is one spelling for all spellings of a base URL, so that sessions of one server know of each other.
func canonical(serverURL string) string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return serverURL // refused by the CRD's validation; any name will do
	}
	return "https://" + hostOf(*u) + strings.TrimRight(u.EscapedPath(), "/")
}

// origin names the Secret Server of a session for the bound on requests at a time: sessions of one host share it.
func (p *pass) origin() string { return originOf(p.session.Spec.Endpoint.URL) }

func originOf(serverURL string) string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return serverURL // as above
	}
	return hostOf(*u)
}

// hostOf is host and port in one spelling.
func hostOf(u url.URL) string {
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") + ":" + portOf(u)
}
