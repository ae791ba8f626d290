package controllers

import (
	"context"
	"errors"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// connect makes the client of the session's endpoint. What keeps it from that becomes the pass's fault or failure, and
// then the client is nil.
func (p *pass) connect(ctx context.Context, grant session.GrantType) (SecretServer, error) {
	endpoint := secretserver.Endpoint{
		URL:        serverURL(p.session),
		ServerName: p.session.Spec.Endpoint.TLSServerName,
		Timeout:    p.timeout(),
	}
	if ref := p.session.Spec.Endpoint.CABundleRef; ref != nil {
		key := bundleKey{p.session.Namespace, *ref}
		known, ok := p.bundles.get(key)
		if !ok {
			var err error
			if known, err = p.readBundle(ctx, key); err != nil {
				return nil, err
			}
		}
		if known.problem != "" {
			p.endpointFault = bundleFault(ref, known.problem)
			return nil, nil //nolint:nilnil // the fault tells
		}
		endpoint.CA = known.pem
	}
	server, err := p.dial(endpoint)
	if refused, ok := errors.AsType[*secretserver.Error](err); ok {
		p.failed(grant, refused)
		return nil, nil //nolint:nilnil // the failure tells
	}
	return server, err
}
