package main

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

const (
	// pollInterval is how often all targets are looked at.
	pollInterval = 400 * time.Millisecond
	// pollTimeout bounds one look. While the API server does not answer, pods keep what they have.
	pollTimeout = 2 * time.Second
)

// A poller looks at all targets as pods would, and asks Secret Server about the tokens in them.
type poller struct {
	client  client.Client
	valid   func(token string) bool
	servers *servers

	mu       sync.Mutex
	watches  []watch
	tokens   []string // of each session's target, as last read; "" for none
	statuses []api.SecretServerSessionStatus
	own      []bool // a wrong password stands in the session's credentials
	last     time.Time
}

func newPoller(c client.Client, valid func(string) bool, s *servers, sessions int) *poller {
	return &poller{
		client: c, valid: valid, servers: s,
		watches: make([]watch, sessions), tokens: make([]string, sessions), own: make([]bool, sessions),
		statuses: make([]api.SecretServerSessionStatus, sessions),
	}
}

// run polls until the context ends.
func (p *poller) run(ctx context.Context) {
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	for ctx.Err() == nil {
		p.read(ctx)
		p.judge(time.Now())
		select {
		case <-ticks.C:
		case <-ctx.Done():
		}
	}
}

// read reads targets and statuses; what cannot be read stays as it was.
func (p *poller) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var secrets corev1.SecretList
	targets := cached()
	targets.FieldSelector = fields.OneTermNotEqualSelector("type", api.StateSecretType)
	if p.client.List(ctx, &secrets, targets, client.MatchingLabels{api.LabelManagedBy: api.ManagedBy}) == nil {
		p.takeTokens(secrets.Items)
	}
	var sessions api.SecretServerSessionList
	if p.client.List(ctx, &sessions, cached()) == nil {
		p.takeStatuses(sessions.Items)
	}
}

// cached are options to list from the API server's own cache, which costs little.
func cached() *client.ListOptions {
	return &client.ListOptions{Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: "0"}}
}

func (p *poller) takeTokens(secrets []corev1.Secret) {
	tokens := make(map[string]string, len(secrets))
	for i := range secrets {
		tokens[secrets[i].Name] = string(secrets[i].Data[api.TargetKeyToken])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.tokens {
		p.tokens[i] = tokens[sessionName(i)]
	}
}

func (p *poller) takeStatuses(sessions []api.SecretServerSession) {
	statuses := make(map[string]api.SecretServerSessionStatus, len(sessions))
	for i := range sessions {
		statuses[sessions[i].Name] = sessions[i].Status
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.statuses {
		p.statuses[i] = statuses[sessionName(i)]
	}
}

// judge enters what is seen now into the books.
func (p *poller) judge(now time.Time) {
	up := p.servers.upSince()
	p.mu.Lock()
	defer p.mu.Unlock()
	since := now.Sub(p.last)
	if p.last.IsZero() {
		since = 0
	}
	p.last = now
	for i := range p.watches {
		p.watches[i].see(sight{
			at: now, since: since, own: p.own[i], upSince: up,
			valid: p.tokens[i] != "" && p.valid(p.tokens[i]),
			ready: meta.IsStatusConditionTrue(p.statuses[i].Conditions, api.ConditionReady),
		})
	}
}

// book is a copy of what was seen so far.
func (p *poller) book() []watch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.watches)
}

// forget begins the books anew.
func (p *poller) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watches = make([]watch, len(p.watches))
}

// token is the one in a session's target.
func (p *poller) token(session int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tokens[session]
}

// ready is the session's condition Ready, as last read.
func (p *poller) ready(session int) *metav1.Condition {
	p.mu.Lock()
	defer p.mu.Unlock()
	return meta.FindStatusCondition(p.statuses[session].Conditions, api.ConditionReady)
}

// blame says whether sessions are themselves at fault from now on.
func (p *poller) blame(sessions []int, own bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range sessions {
		p.own[i] = own
	}
}
