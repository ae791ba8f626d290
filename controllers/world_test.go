package controllers_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver/secretservertest"
)

// The account that most specs log in with. The password is a marker: it must turn up nowhere.
const (
	username = "billing"
	password = "MARKER-password-7f3a"
)

// world is what a spec acts in: a namespace of its own, a Secret Server of its own, its CA in a ConfigMap, and the
// account's credentials in a Secret.
type world struct {
	namespace string
	vault     *secretservertest.Server
}

func newWorld(ctx context.Context, change ...func(*secretservertest.Options)) *world {
	GinkgoHelper()
	o := secretservertest.Options{
		BasePath:      "/SecretServer",
		Accounts:      []secretservertest.Account{{Username: username, Password: password}},
		TokenLifetime: 20 * time.Minute,
	}
	for _, f := range change {
		f(&o)
	}
	w := &world{namespace: newNamespace(ctx), vault: secretservertest.New(o)}
	Expect(w.vault.StartTLS()).To(Succeed())
	DeferCleanup(w.vault.Close)
	Expect(admin.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "vault-ca"},
		Data:       map[string]string{"ca.crt": string(w.vault.CA())},
	})).To(Succeed())
	w.createCredentials(ctx, "account", username, password)
	return w
}

func (w *world) createCredentials(ctx context.Context, name, user, pass string) {
	GinkgoHelper()
	Expect(admin.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Type:       corev1.SecretTypeBasicAuth,
		StringData: map[string]string{"username": user, "password": pass},
	})).To(Succeed())
}

// setPassword changes the password in a credentials Secret.
func (w *world) setPassword(ctx context.Context, name, pass string) {
	GinkgoHelper()
	secret := &corev1.Secret{}
	Expect(admin.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, secret)).To(Succeed())
	secret.StringData = map[string]string{"password": pass}
	Expect(admin.Update(ctx, secret)).To(Succeed())
}

// session is a session that needs nothing but to be created.
func (w *world) session(name string, change ...func(*api.SecretServerSession)) *api.SecretServerSession {
	s := &api.SecretServerSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: api.SecretServerSessionSpec{
			Endpoint: api.Endpoint{
				URL:         w.vault.URL(),
				CABundleRef: &api.CABundleReference{Name: "vault-ca"},
			},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: "account"}},
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func (w *world) create(ctx context.Context, name string, change ...func(*api.SecretServerSession)) *api.SecretServerSession {
	GinkgoHelper()
	s := w.session(name, change...)
	Expect(admin.Create(ctx, s)).To(Succeed())
	return s
}

// update changes a session as a user would.
func update(ctx context.Context, s *api.SecretServerSession, change func(*api.SecretServerSession)) {
	GinkgoHelper()
	Eventually(func() error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil {
			return err
		}
		change(s)
		return admin.Update(ctx, s)
	}).Should(Succeed())
}

// status reads a session's status.
func status(ctx context.Context, s *api.SecretServerSession) func() api.SecretServerSessionStatus {
	return func() api.SecretServerSessionStatus {
		read := &api.SecretServerSession{}
		if err := admin.Get(ctx, client.ObjectKeyFromObject(s), read); err != nil {
			return api.SecretServerSessionStatus{TargetName: "cannot read the session: " + err.Error()}
		}
		return read.Status
	}
}

// condition renders one condition as "Type=Status Reason", which is what a failing test should print.
func condition(ctx context.Context, s *api.SecretServerSession, kind string) func() string {
	return func() string {
		c := meta.FindStatusCondition(status(ctx, s)().Conditions, kind)
		if c == nil {
			return kind + " absent"
		}
		return fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason)
	}
}

func message(ctx context.Context, s *api.SecretServerSession, kind string) string {
	c := meta.FindStatusCondition(status(ctx, s)().Conditions, kind)
	if c == nil {
		return ""
	}
	return c.Message
}

const ready = "Ready=True " + api.ReasonTokenCurrent

// secret reads a Secret; nil while there is none.
func (w *world) secret(ctx context.Context, name string) *corev1.Secret {
	secret := &corev1.Secret{}
	err := admin.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	Expect(err).NotTo(HaveOccurred())
	return secret
}

// token is the token in a target; empty while there is none.
func (w *world) token(ctx context.Context, target string) func() string {
	return func() string {
		secret := w.secret(ctx, target)
		if secret == nil {
			return ""
		}
		return string(secret.Data[api.TargetKeyToken])
	}
}

// events lists a namespace's events as "Type Reason".
func events(ctx context.Context, w *world) func() []string {
	return func() []string {
		list := &eventsv1.EventList{}
		Expect(admin.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
		var told []string
		for _, e := range list.Items {
			told = append(told, e.Type+" "+e.Reason)
		}
		return told
	}
}

// notes are what the events of a kind say.
func (w *world) notes(ctx context.Context, reason string) func() []string {
	return func() []string {
		list := &eventsv1.EventList{}
		Expect(admin.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
		var notes []string
		for _, e := range list.Items {
			if e.Reason == reason {
				notes = append(notes, e.Note)
			}
		}
		return notes
	}
}
