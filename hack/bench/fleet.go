package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

const (
	// spread is how many namespaces the sessions are spread over.
	spread = 10
	// sharing is how many sessions share an account.
	sharing = 10
	// writers apply objects at a time.
	writers = 16
	// The ConfigMap that holds the CA of Secret Server.
	caName = "vault-ca"
	caKey  = "ca.crt"
)

func accountName(account int) string { return fmt.Sprintf("svc-%05d", account) }

func credentialsName(account int) string { return fmt.Sprintf("account-%05d", account) }

// password is that of an account after so many rotations.
func password(account, rotations int) string {
	return fmt.Sprintf("Passw0rd-of-%05d-%d", account, rotations)
}

// A fleet is a set of sessions of one Secret Server. The i-th session lives in the namespace i modulo spread, as does its account.
type fleet struct {
	client client.Client
	vault  *vault
	prefix string            // of the names of namespaces
	labels map[string]string // of the sessions
	size   int
}

// namespaces makes the namespaces, each with the CA of Secret Server.
func (f *fleet) namespaces(ctx context.Context) error {
	return each(ctx, spread, func(ctx context.Context, i int) error {
		if err := f.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace(i)}}); err != nil {
			return err
		}
		return f.client.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace(i), Name: caName},
			Data:       map[string]string{caKey: string(f.vault.ca)},
		})
	})
}

func (f *fleet) namespace(session int) string { return fmt.Sprintf("%s-%d", f.prefix, session%spread) }

// name is that of a session.
func (f *fleet) name(session int) types.NamespacedName {
	return types.NamespacedName{Namespace: f.namespace(session), Name: fmt.Sprintf("session-%05d", session)}
}

// account is that of a session: those that share one are in the same namespace.
func account(session int) int { return session/(spread*sharing)*spread + session%spread }

// accounts is how many accounts so many sessions have.
func accounts(sessions int) int { return (sessions + spread*sharing - 1) / (spread * sharing) * spread }

// credentials makes the credentials Secrets that sessions up to a number need, from the first that is not there yet.
func (f *fleet) credentials(ctx context.Context, size int) error {
	first := accounts(f.size)
	return each(ctx, accounts(size)-first, func(ctx context.Context, i int) error {
		return f.client.Create(ctx, f.credential(first+i, 0))
	})
}

// credential is an account's Secret after so many rotations.
func (f *fleet) credential(account, rotations int) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace(account), Name: credentialsName(account)},
		Type:       corev1.SecretTypeBasicAuth,
		StringData: map[string]string{
			corev1.BasicAuthUsernameKey: accountName(account),
			corev1.BasicAuthPasswordKey: password(account, rotations),
		},
	}
}

// session is one of the fleet, which renews after a percentage of the lifetime.
func (f *fleet) session(i int, percent int32) *api.SecretServerSession {
	name := f.name(i)
	return &api.SecretServerSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: f.labels},
		Spec: api.SecretServerSessionSpec{
			Endpoint: api.Endpoint{
				URL:         f.vault.URL,
				CABundleRef: &api.CABundleReference{Kind: api.CABundleConfigMap, Name: caName, Key: caKey},
			},
			Credentials: api.Credentials{SecretRef: api.SecretReference{Name: credentialsName(account(i))}},
			Refresh:     api.Refresh{Percent: percent},
		},
	}
}

// grow applies sessions at once, as fast as the API server takes them, until there are so many. What they name is there before.
func (f *fleet) grow(ctx context.Context, size int, percent int32) error {
	first := f.size
	f.size = size
	return each(ctx, size-first, func(ctx context.Context, i int) error {
		return f.client.Create(ctx, f.session(first+i, percent))
	})
}

// nth is the n-th of so many sessions that are spread over the fleet.
func (f *fleet) nth(n, of int) int { return n * f.size / of }

// renew asks so many sessions for one renewal each.
func (f *fleet) renew(ctx context.Context, count int, request string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, api.AnnotationRefreshRequested, request)
	return each(ctx, count, func(ctx context.Context, i int) error { return f.patch(ctx, f.nth(i, count), patch) })
}

// patch merges something into a session.
func (f *fleet) patch(ctx context.Context, i int, patch []byte) error {
	name := f.name(i)
	session := &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	return f.client.Patch(ctx, session, client.RawPatch(types.MergePatchType, patch))
}

// disband deletes the sessions and all Secrets of their namespaces. There is no garbage collector here.
func (f *fleet) disband(ctx context.Context) error {
	return each(ctx, spread, func(ctx context.Context, i int) error {
		in := client.InNamespace(f.namespace(i))
		return errors.Join(
			f.client.DeleteAllOf(ctx, &api.SecretServerSession{}, in), f.client.DeleteAllOf(ctx, &corev1.Secret{}, in))
	})
}

// each does something for 0 to count-1, so many at a time as there are writers, until one fails.
func each(ctx context.Context, count int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	numbers := make(chan int)
	var working sync.WaitGroup
	for range writers {
		working.Go(func() {
			for i := range numbers {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range count {
		select {
		case numbers <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(numbers)
	working.Wait()
	return context.Cause(ctx)
}
