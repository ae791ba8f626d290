package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

const (
	// bareWorkers refresh at a time.
	bareWorkers = 16
	// bareSessions take turns, so that no two workers are after the same one. Where it is measured how fast they begin, they are more.
	bareSessions, bareBeginners = 320, 1000
)

// A bareClient is the yardstick: it does what a refresh must do at least, the same requests with bodies of the same content, and
// nothing else. It decides nothing, watches nothing, and never looks at what it was answered but for what the next request
// needs. It speaks protobuf where the API server does, as the operator, and acts as the same user: the API server asks whether an
// administrator may do something, and how many requests at a time, in less time.
type bareClient struct {
	core     corev1client.CoreV1Interface
	sessions rest.Interface // of the core client, which sends any path
	https    *http.Client
	vault    *vault
	fleet    *fleet
	records  []*bareSession
	makes    float64 // sessions made a second
}

// bareLabel is on the bare client's sessions; an operator that runs while there are any is started with notBare.
const (
	bareLabel = "bench.example.com/bare"
	notBare   = "--session-selector=!" + bareLabel
)

// openBare makes sessions that no operator may serve.
func (w *world) openBare(ctx context.Context, prefix string, sessions int) (*bareClient, error) {
	f, err := w.fleet(ctx, prefix)
	if err != nil {
		return nil, err
	}
	f.labels = map[string]string{bareLabel: "true"}
	core, err := corev1client.NewForConfig(w.unlimited())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(w.vault.ca) {
		return nil, errors.New("the CA of the fake Secret Server is no PEM certificate")
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: bareWorkers,
	}
	b := &bareClient{
		core: core, sessions: core.RESTClient(), vault: w.vault, fleet: f,
		https: &http.Client{Transport: transport, Timeout: time.Minute},
	}
	// An API server that has just started takes several times as long for its first hundred. Those are not counted.
	half := sessions / 2
	if err := f.grow(ctx, half, 10); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := f.grow(ctx, sessions, 10); err != nil {
		return nil, err
	}
	b.makes = float64(sessions-half) / time.Since(start).Seconds()
	list := &api.SecretServerSessionList{}
	if err := w.admin.List(ctx, list); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if s := &list.Items[i]; strings.HasPrefix(s.Namespace, prefix+"-") {
			b.records = append(b.records, &bareSession{client: b, object: s, account: w.spare + i%bareAccounts})
		}
	}
	return b, nil
}

// close deletes what was made.
func (b *bareClient) close(ctx context.Context) error {
	b.https.CloseIdleConnections()
	return b.fleet.disband(ctx)
}

// logIn has the sessions of these numbers log in once each, by so many workers.
func (b *bareClient) logIn(ctx context.Context, from, to int) error {
	return each(ctx, to-from, func(ctx context.Context, i int) error { return b.records[from+i].logIn(ctx) })
}

// refresh renews one session after another, by so many workers, until the time is over. It returns how long each took.
func (b *bareClient) refresh(ctx context.Context, workers int, length time.Duration) ([]time.Duration, error) {
	end := time.Now().Add(length)
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var working sync.WaitGroup
	for worker := range workers {
		working.Go(func() {
			var times []time.Duration
			var err error
			// Each worker has sessions of its own.
			for i := worker; err == nil && time.Now().Before(end); i += workers {
				start := time.Now()
				err = b.records[i%(len(b.records)/workers*workers)].refresh(ctx)
				times = append(times, time.Since(start))
				next.Add(1)
			}
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, times...), append(errs, err)
		})
	}
	working.Wait()
	return all, errors.Join(errs...)
}

// bareSession is one of the bare client's.
type bareSession struct {
	client  *bareClient
	object  *api.SecretServerSession
	account int

	record  session.Record
	state   *corev1.Secret
	target  string // resource versions
	version string
}

// logIn makes the same writes as the operator's login: the intent, the state, the target, the status.
func (s *bareSession) logIn(ctx context.Context) error {
	state := newState(s.object)
	s.version = s.object.ResourceVersion
	attempt := s.record
	attempt.Attempt = &session.Attempt{Identity: s.identity(), Account: digest, At: time.Now().UTC(), Bad: 1}
	if err := fill(state, attempt, grant{}); err != nil {
		return err
	}
	created, err := s.client.core.Secrets(state.Namespace).Create(ctx, state, metav1.CreateOptions{FieldManager: api.ManagedBy})
	if err != nil {
		return err
	}
	s.state = created
	g, err := s.client.grant(ctx, url.Values{
		"grant_type": {"password"}, "username": {accountName(s.account)}, "password": {password(s.account, 0)},
	})
	if err != nil {
		return err
	}
	s.record.Grant, s.record.Logins, s.record.LastLoginAt = session.Password, 1, time.Now().UTC()
	return s.keep(ctx, g)
}

// refresh makes the four writes and the grant of a refresh.
func (s *bareSession) refresh(ctx context.Context) error {
	claimed := s.record
	claimed.Refresh = session.Claimed
	before, err := s.record.Encode()
	if err != nil {
		return err
	}
	after, err := claimed.Encode()
	if err != nil {
		return err
	}
	state, err := s.client.core.Secrets(s.state.Namespace).Patch(ctx, s.state.Name, types.JSONPatchType, claim(before, after),
		metav1.PatchOptions{FieldManager: api.ManagedBy})
	if err != nil {
		return err
	}
	s.state = state
	g, err := s.client.grant(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(state.Data[keyClaimed])}})
	if err != nil {
		return err
	}
	s.record.Grant, s.record.LastRefreshAt = session.RefreshToken, time.Now().UTC()
	s.record.Refreshes++
	s.record.RefreshesSinceLogin++
	return s.keep(ctx, g)
}

// keep stores, publishes and reports a grant.
func (s *bareSession) keep(ctx context.Context, g grant) error {
	now := time.Now().UTC()
	s.record.Identity, s.record.Account, s.record.Token = s.identity(), digest, digest
	s.record.ServerURL, s.record.Refresh = s.client.vault.URL, session.Held
	s.record.IssuedAt, s.record.ExpiresAt = now, now.Add(time.Duration(g.ExpiresIn)*time.Second)
	s.record.RefreshExpiresAt = s.record.ExpiresAt.Add(session.RefreshGrace)
	s.state.ManagedFields = nil
	if err := fill(s.state, s.record, g); err != nil {
		return err
	}
	secrets := s.client.core.Secrets(s.state.Namespace)
	state, err := secrets.Update(ctx, s.state, metav1.UpdateOptions{FieldManager: api.ManagedBy})
	if err != nil {
		return err
	}
	s.state = state
	force := metav1.ApplyOptions{FieldManager: api.ManagedBy, Force: true}
	target, err := secrets.Apply(ctx, newTarget(s.object, s.record, g, s.target), force)
	if err != nil {
		return err
	}
	s.target = target.ResourceVersion
	return s.report(ctx)
}

// report applies the status.
func (s *bareSession) report(ctx context.Context) error {
	answer, err := s.client.sessions.Patch(types.ApplyYAMLPatchType).
		AbsPath("/apis", api.Group, "v1alpha1", "namespaces", s.object.Namespace, "secretserversessions", s.object.Name, "status").
		Param("fieldManager", api.ManagedBy).Param("force", "true").
		SetHeader("Accept", "application/json").
		Body(jsonOf(newStatus(s.object, s.record, s.version))).Do(ctx).Raw()
	if err != nil {
		return err
	}
	var written metav1.PartialObjectMetadata
	if err := json.Unmarshal(answer, &written); err != nil {
		return err
	}
	s.version = written.ResourceVersion
	return nil
}

// grant is an answer of the token endpoint.
type grant struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
}

// grant asks the token endpoint.
func (b *bareClient) grant(ctx context.Context, form url.Values) (grant, error) {
	var g grant
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.vault.URL+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return g, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	answer, err := b.https.Do(request)
	if err != nil {
		return g, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return g, err
	}
	if answer.StatusCode != http.StatusOK {
		return g, fmt.Errorf("the token endpoint answered %s", answer.Status)
	}
	err = json.Unmarshal(body, &g)
	return g, err
}
