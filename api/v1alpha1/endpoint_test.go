package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
)

const (
	url      = "spec.endpoint.url"
	caBundle = "spec.endpoint.caBundleRef"
)

var endpointRules = []rule{
	accepted("a host alone", url, "https://tenant.secretservercloud.com"),
	accepted("a host with a virtual directory", url, "https://vault.example.com/SecretServer"),
	accepted("a host with a port", url, "https://vault.example.com:8443/SecretServer"),
	accepted("an IPv6 address", url, "https://[fd00::1]:8443/SecretServer"),
	accepted("slashes at the end", url, "https://vault.example.com/SecretServer///"),
	accepted("a directory that only begins like the token endpoint", url, "https://vault.example.com/oauth2/tokens"),
	accepted("a directory whose name has dots", url, "https://vault.example.com/..vault/v1.2/..."),
	accepted("1024 characters", url, "https://vault.example.com/"+long(998)),

	refused("1025 characters", url, "https://vault.example.com/"+long(999), "may not be more than 1024"),
	refused("nothing", url, "", "url must be an https URL with a host, for example https://vault.example.com/SecretServer"),
	refused("plain HTTP", url, "http://vault.example.com/SecretServer", "url must be an https URL"),
	refused("no scheme", url, "vault.example.com/SecretServer", "url must be an https URL"),
	refused("no host", url, "https:///SecretServer", "with a host"),
	refused("a port without a host", url, "https://:8443/SecretServer", "with a host"),
	refused("a blank in the host", url, "https://vault example.com/", "url must be an https URL"),
	refused("a blank at the end", url, "https://vault.example.com/SecretServer ", "url must hold no blank"),
	refused("a line break at the end", url, "https://vault.example.com/SecretServer\n", "url must hold no blank"),
	refused("a user", url, "https://billing@vault.example.com/SecretServer", "they belong in the Secret that credentials.secretRef names"),
	refused("a user and a password", url, "https://billing:secret@vault.example.com/SecretServer", "url must not hold a user or a password"),
	refused("a query", url, "https://vault.example.com/SecretServer?a=b", "url must have no query"),
	refused("an empty query", url, "https://vault.example.com/SecretServer?", "url must have no query"),
	refused("a fragment", url, "https://vault.example.com/SecretServer#top", "no fragment"),
	refused("the token endpoint", url, "https://vault.example.com/SecretServer/oauth2/token", "give the base URL"),
	refused("the token endpoint in other letters", url, "https://vault.example.com/SecretServer/OAuth2/Token/", "without /oauth2/token"),
	refused("the REST API", url, "https://vault.example.com/SecretServer/api/v1", "give the base URL"),
	refused("the REST API with slashes at its end", url, "https://vault.example.com/api/v1//", "without /oauth2/token or /api/v1"),
	refused("a later REST API", url, "https://vault.example.com/api/v2", "give the base URL"),
	refused("a way up", url, "https://vault.example.com/SecretServer/../admin", "no . or .. as a segment"),
	refused("a way up at the end", url, "https://vault.example.com/SecretServer/..", "no . or .. as a segment"),
	refused("a way to the same place", url, "https://vault.example.com/./SecretServer", "no . or .. as a segment"),
	refused("an encoded way up", url, "https://vault.example.com/SecretServer/%2E%2e/admin", "no . or .. as a segment"),
	refused("a half-encoded way up", url, "https://vault.example.com/SecretServer/.%2e", "no . or .. as a segment"),
	refused("a way up behind an encoded slash", url, "https://vault.example.com/SecretServer%2F../admin", "no encoded slash"),
	refused("a backslash, which IIS takes for a slash", url, `https://vault.example.com/SecretServer/..\admin`, "no backslash"),
	refused("an encoded backslash", url, "https://vault.example.com/SecretServer%5C..%5cadmin", "no backslash"),

	accepted("a TLS server name of 253 characters", "spec.endpoint.tlsServerName", long(253)),
	refused("a TLS server name of 254 characters", "spec.endpoint.tlsServerName", long(254), "may not be more than 253"),
	refused("an empty TLS server name", "spec.endpoint.tlsServerName", "", "at least 1 chars"),

	accepted("a timeout of 1 second", "spec.endpoint.timeoutSeconds", int64(1)),
	accepted("a timeout of 300 seconds", "spec.endpoint.timeoutSeconds", int64(300)),
	refused("a timeout of 0 seconds", "spec.endpoint.timeoutSeconds", int64(0), "greater than or equal to 1"),
	refused("a timeout of 301 seconds", "spec.endpoint.timeoutSeconds", int64(301), "less than or equal to 300"),

	accepted("a CA bundle in a ConfigMap", caBundle, map[string]any{"kind": "ConfigMap", "name": "vault-ca"}),
	accepted("a CA bundle in a Secret", caBundle, map[string]any{"kind": "Secret", "name": "vault-ca", "key": "tls.ca_1-x"}),
	refused("a CA bundle in anything else", caBundle+".kind", "Deployment", `supported values: "ConfigMap", "Secret"`).
		given(field{caBundle + ".name", "vault-ca"}),
	refused("a CA bundle without a name", caBundle+".name", nil, "Required value"),
	refused("a CA bundle with an empty name", caBundle+".name", "", "at least 1 chars"),
	refused("a CA bundle with a name of 254 characters", caBundle+".name", long(254), "may not be more than 253"),
	refused("a CA bundle under a key that no ConfigMap can have", caBundle+".key", "ca/crt", "a key consists of letters").
		given(field{caBundle + ".name", "vault-ca"}),
	refused("a CA bundle under a key of 254 characters", caBundle+".key", long(254), "may not be more than 253").
		given(field{caBundle + ".name", "vault-ca"}),
	refused("a CA bundle under an empty key", caBundle+".key", "", "at least 1 chars").
		given(field{caBundle + ".name", "vault-ca"}),
}

var _ = Describe("The endpoint", func() { tell(endpointRules) })
