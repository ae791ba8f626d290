package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// bundles remembers CA bundles by the version of their object, so that a refresh reads none.
type bundles struct {
	mu    sync.Mutex
	known map[bundleKey]bundle
}

type bundleKey struct {
	namespace string
	api.CABundleReference
}

type bundle struct {
	version string
	pem     []byte
	problem string // why it cannot be used; empty: it can, as far as is known
}

func newBundles() *bundles { return &bundles{known: map[bundleKey]bundle{}} }

func (b *bundles) get(key bundleKey) (bundle, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, ok := b.known[key]
	return found, ok
}

// mostBundles bounds the memory: references are users' input, and a session that is gone tells nobody.
const mostBundles = 1024

func (b *bundles) put(key bundleKey, value bundle) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) >= mostBundles {
		clear(b.known) // each is read again when it is needed
	}
	b.known[key] = value
}

func (b *bundles) forget(key bundleKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, key)
}

// observeBundle tells whether the CA bundle is unusable, as far as is known without a request. Only a bundle that was
// in use and has changed since is read again here, so that a broken one shows at once and not at the next renewal.
func (p *pass) observeBundle(ctx context.Context) (*fault, error) {
	ref := p.session.Spec.Endpoint.CABundleRef
	if ref == nil {
		return nil, nil //nolint:nilnil // no fault is an answer
	}
	key := bundleKey{p.session.Namespace, *ref}
	meta, err := p.metadata(ctx, string(ref.Kind), p.session.Namespace, ref.Name)
	switch {
	case err != nil:
		return nil, err
	case meta == nil:
		p.bundles.forget(key)
		return bundleFault(ref, "does not exist"), nil
	}
	known, ok := p.bundles.get(key)
	if ok && known.version != versionOf(meta) {
		if known, err = p.readBundle(ctx, key); err != nil {
			return nil, err
		}
		p.bundleChanged = true
	}
	if known.problem != "" {
		return bundleFault(ref, known.problem), nil
	}
	return nil, nil //nolint:nilnil // no fault is an answer
}

// readBundle reads a bundle from the API server and checks it.
func (p *pass) readBundle(ctx context.Context, key bundleKey) (bundle, error) {
	name := types.NamespacedName{Namespace: key.namespace, Name: key.Name}
	read := bundle{}
	var found bool
	var err error
	switch key.Kind {
	case api.CABundleSecret:
		secret := &corev1.Secret{}
		err = p.live.Get(ctx, name, secret)
		read.version = versionOf(secret)
		read.pem, found = secret.Data[key.Key]
	case api.CABundleConfigMap:
		configMap := &corev1.ConfigMap{}
		err = p.live.Get(ctx, name, configMap)
		read.version = versionOf(configMap)
		if text, ok := configMap.Data[key.Key]; ok {
			read.pem, found = []byte(text), true
		} else {
			read.pem, found = configMap.BinaryData[key.Key]
		}
	}
	switch {
	case apierrors.IsNotFound(err):
		return bundle{problem: "does not exist"}, nil
	case err != nil:
		return bundle{}, fmt.Errorf("read CA bundle %s: %w", name, err)
	case !found:
		read.problem = fmt.Sprintf("has no key %q", key.Key)
	default:
		read.problem = p.checkBundle(read.pem)
	}
	if read.problem != "" {
		read.pem = nil // it may be anything, a password included
	}
	p.bundles.put(key, read)
	return read, nil
}

// checkBundle says what is wrong with the PEM text of a bundle.
func (p *pass) checkBundle(pem []byte) string {
	_, err := p.dial(secretserver.Endpoint{URL: serverURL(p.session), CA: pem, Timeout: p.timeout()})
	if refused, ok := errors.AsType[*secretserver.Error](err); ok && refused.Kind == secretserver.InvalidCA {
		return "holds no certificate that can be used: " + refused.Cause.String()
	}
	return ""
}

func bundleFault(ref *api.CABundleReference, problem string) *fault {
	return &fault{api.ReasonCABundleInvalid, fmt.Sprintf(
		"%s %q, which spec.endpoint.caBundleRef names, %s. It must hold PEM certificates under key %q.",
		ref.Kind, ref.Name, problem, ref.Key)}
}
