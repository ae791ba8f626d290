package controllers

import (
	"fmt"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// reasonOf says in the words of the API why a grant failed.
func reasonOf(grant session.GrantType, kind secretserver.Kind) string {
	switch kind {
	case secretserver.Refused:
		return api.ReasonCredentialsRejected
	case secretserver.Throttled:
		return api.ReasonEndpointThrottled
	case secretserver.Protocol:
		return api.ReasonProtocolError
	case secretserver.InvalidCA:
		return api.ReasonCABundleInvalid
	case secretserver.Ambiguous:
		if grant == session.RefreshToken {
			return api.ReasonRefreshFailing
		}
	case secretserver.NotSent, secretserver.Unavailable:
	}
	return api.ReasonEndpointUnavailable
}

// explain says what happened and what to do, in words that do not change from one retry to the next.
func (p *pass) explain(grant session.GrantType, e *secretserver.Error) string {
	url := serverURL(p.session)
	what := e.Cause.String()
	if e.Status != 0 {
		what = fmt.Sprintf("%s (HTTP status %d)", what, e.Status)
	}
	switch e.Kind {
	case secretserver.NotSent:
		return fmt.Sprintf("No connection to %s: %s.%s It is retried.", url, what, connectionAdvice(e.Cause))
	case secretserver.Throttled:
		return fmt.Sprintf("%s asks for fewer requests: %s. It is retried when the server allows.", url, what)
	case secretserver.Protocol:
		return fmt.Sprintf("%s does not answer like a Secret Server: %s. Check that spec.endpoint.url is the base URL, virtual "+
			"directory included. It is retried.", url, what)
	case secretserver.Ambiguous:
		if grant == session.RefreshToken {
			return fmt.Sprintf("The refresh at %s got no usable answer: %s. The refresh token may be used up, so a login follows.", url, what)
		}
	case secretserver.Unavailable, secretserver.Refused, secretserver.InvalidCA:
	}
	return fmt.Sprintf("%s gave no usable answer: %s. If it stays so, see the log of Secret Server and of what stands before it. It is retried.", url, what)
}

// connectionAdvice is the next step for what a person can mend.
func connectionAdvice(cause secretserver.Cause) string {
	switch cause {
	case secretserver.UnknownAuthority:
		return " Name the server's CA in spec.endpoint.caBundleRef."
	case secretserver.WrongHostName:
		return " Check spec.endpoint.url, or give the certificate's name in spec.endpoint.tlsServerName."
	case secretserver.CertificateExpired:
		return " Renew the server's certificate, or check the clocks."
	case secretserver.NameNotResolved:
		return " Check the host in spec.endpoint.url and the cluster's DNS."
	case secretserver.InvalidCertificate, secretserver.HandshakeFailed:
		return " Check the server's certificate, and that it speaks TLS 1.2 or later."
	case secretserver.PlainHTTP:
		return " Check the port in spec.endpoint.url: it must be the one for https."
	case secretserver.ProxyUnreachable, secretserver.ProxyRefused:
		return " Check HTTPS_PROXY and NO_PROXY of the operator's Deployment."
	case secretserver.InvalidURL:
		return " Correct spec.endpoint.url."
	default:
		return " Check that the server runs, and that firewalls and network policies let the operator through."
	}
}
