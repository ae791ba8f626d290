package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/rendering"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// defaultData is what pods see without templates. The URL is that of the token's own server: after a change of the
// endpoint the old token stays in the target until a new one is had.
func defaultData(token stored) map[string][]byte {
	return map[string][]byte{
		api.TargetKeyToken:     []byte(token.AccessToken),
		api.TargetKeyExpiresAt: []byte(token.ExpiresAt.UTC().Format(time.RFC3339)),
		api.TargetKeyServerURL: []byte(token.ServerURL),
	}
}

// keysOf are the keys of the target, with nothing under them: who owns them can be told without the content.
func keysOf(s *api.SecretServerSession) map[string][]byte {
	if len(s.Spec.Target.Data) == 0 {
		return defaultData(stored{})
	}
	keys := map[string][]byte{}
	for key := range s.Spec.Target.Data {
		keys[key] = nil
	}
	return keys
}

func templatesOf(s *api.SecretServerSession) map[string]string {
	templates := make(map[string]string, len(s.Spec.Target.Data))
	for key, text := range s.Spec.Target.Data {
		templates[key] = string(text)
	}
	return templates
}

// valuesOf are what templates see of a token: never the refresh token, and no password is stored at all.
func valuesOf(s *api.SecretServerSession, token stored) rendering.Values {
	return rendering.Values{
		Token:     token.AccessToken,
		IssuedAt:  token.IssuedAt,
		ExpiresAt: token.ExpiresAt,
		ServerURL: token.ServerURL,
		Username:  token.Username,
		Domain:    token.Domain,
		Session:   s.Name,
		Namespace: s.Namespace,
	}
}

// checkTemplates tells of faults in the templates before there is anything to publish, and so before a login.
func (p *pass) checkTemplates() {
	if len(p.session.Spec.Target.Data) == 0 {
		return
	}
	likely := stored{Domain: p.session.Spec.Credentials.Domain}
	likely.ServerURL, likely.IssuedAt, likely.ExpiresAt = serverURL(p.session), p.now(), p.now().Add(time.Hour)
	if err := rendering.Check(templatesOf(p.session), valuesOf(p.session, likely)); err != nil {
		p.templateInvalid(err)
	}
}

// render is what the target is to hold. It is nil if that cannot be told, and why is the pass's templateFault.
func (p *pass) render(ctx context.Context) (map[string][]byte, error) {
	if len(p.session.Spec.Target.Data) == 0 {
		return defaultData(p.state.stored), nil
	}
	if err := p.nameAccount(ctx); err != nil || p.templateFault != nil {
		return nil, err
	}
	data, err := rendering.Render(templatesOf(p.session), valuesOf(p.session, p.state.stored))
	if err != nil {
		p.templateInvalid(err)
		return nil, nil //nolint:nilnil // it is told as a fault
	}
	return data, nil
}

// nameAccount finds the user name and the domain that a state Secret of an earlier release lacks. The credentials Secret
// has them if it still names the account of the stored login. Otherwise nothing is taken from there: it could be another
// account's name or, with another spec.credentials.usernameKey, a password. The next login stores both.
func (p *pass) nameAccount(ctx context.Context) error {
	if p.state.stored.Username != "" {
		return nil
	}
	ref := p.session.Spec.Credentials
	secret := &corev1.Secret{}
	err := p.live.Get(ctx, types.NamespacedName{Namespace: p.session.Namespace, Name: ref.SecretRef.Name}, secret)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read the user name: %w", err)
	}
	found := secretserver.Credentials{Username: string(secret.Data[ref.UsernameKey]), Domain: ref.Domain}
	if accountOf(p.state.record.ServerURL, found) != p.state.record.Account {
		p.templatesFail(fmt.Sprintf("The templates of spec.target.data need the user name of a login that an earlier release made, and "+
			"Secret %q does not tell it any more. Put the credentials of that login back, or delete Secret %q: a login follows.",
			ref.SecretRef.Name, api.StateSecretName(p.session.Name)))
		return nil
	}
	p.state.stored.Username, p.state.stored.Domain = found.Username, found.Domain
	return nil
}

// templateInvalid notes that a template cannot be rendered. The error tells nothing of the values.
func (p *pass) templateInvalid(err error) {
	p.templatesFail(fmt.Sprintf("The template of spec.target.data under %s. Correct it; until then the target keeps what it has, and "+
		"nothing is renewed.", err))
}

func (p *pass) templatesFail(message string) {
	p.templateFault = &fault{api.ReasonTemplateInvalid, message}
	// That the target has not the keys of the spec is no sign here that somebody edited it: they were never written.
	status := p.session.Status
	p.target.intact = p.target.intact ||
		(p.target.version != "" && status.TargetName == p.session.TargetName() && meta.IsStatusConditionTrue(status.Conditions, api.ConditionReady))
}
