package controllers

import (
	"context"
	"errors"
	"time"

	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// connect makes the client for a grant. What keeps it from that becomes the pass's fault or failure, and then the client
// is nil.
func (p *pass) connect(ctx context.Context, grant session.GrantType) (SecretServer, error) {
	server, err := p.server(ctx)
	if refused, ok := errors.AsType[*secretserver.Error](err); ok {
		p.failed(grant, refused)
		return nil, nil //nolint:nilnil // the failure tells
	}
	return server, err
}

// server makes the client of the session's endpoint, which tells the outages what it meets. A CA bundle that cannot be used becomes the pass's fault, and then
// the client is nil.
func (p *pass) server(ctx context.Context) (SecretServer, error) {
	endpoint, fault, err := p.endpoint(ctx, serverURL(p.session), p.timeout())
	if err != nil {
		return nil, err
	}
	if fault != nil {
		p.endpointFault = fault
		return nil, nil //nolint:nilnil // the fault tells
	}
	server, err := p.dial(endpoint)
	if err != nil {
		return nil, err
	}
	p.vantage = p.viewpoint(endpoint.CA)
	return p.heed(server), nil
}

// endpoint is a Secret Server with the session's TLS settings. A CA bundle that cannot be used is a fault.
func (p *pass) endpoint(ctx context.Context, url string, timeout time.Duration) (secretserver.Endpoint, *fault, error) {
	spec := p.session.Spec.Endpoint
	endpoint := secretserver.Endpoint{URL: url, ServerName: spec.TLSServerName, Timeout: timeout}
	if spec.CABundleRef == nil {
		return endpoint, nil, nil
	}
	key := bundleKey{p.session.Namespace, *spec.CABundleRef}
	known, ok := p.bundles.get(key)
	if !ok {
		var err error
		if known, err = p.readBundle(ctx, key); err != nil {
			return endpoint, nil, err
		}
	}
	if known.problem != "" {
		return endpoint, bundleFault(spec.CABundleRef, known.problem), nil
	}
	endpoint.CA = known.pem
	return endpoint, nil, nil
}
