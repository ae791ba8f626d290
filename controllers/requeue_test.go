package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// endingPass is of a session whose target holds a token that expires so long after noon.
func endingPass(left time.Duration) *pass {
	p := &pass{
		Reconciler: &Reconciler{clock: clocktesting.NewFakeClock(noon), outages: newWard().outages},
		session:    &api.SecretServerSession{},
		published:  true,
	}
	p.state.record = session.Record{Grant: session.Password, IssuedAt: noon.Add(-time.Hour), ExpiresAt: noon.Add(left)}
	return p
}

// A session that waits for something else must not be called ready for longer than its token lives.
func TestWhoWaitsIsBackWhenItsTokenExpires(t *testing.T) {
	for name, wait := range map[string]func(*pass) session.Plan{
		"for its turn": func(*pass) session.Plan { return session.Plan{Action: session.Wait, Obstacle: session.Busy, At: noon} },
		"for its server": func(p *pass) session.Plan {
			return session.Plan{Action: session.Wait, Obstacle: session.EndpointDown, At: p.state.record.ExpiresAt}
		},
		"for the API server to take the target": func(p *pass) session.Plan {
			p.unwritable = true
			return session.Plan{Action: session.Wait, Obstacle: session.Conflict, At: p.state.record.ExpiresAt}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := endingPass(5 * time.Second)
			p.state.record.Refresh, p.state.record.RefreshExpiresAt = session.Held, noon.Add(time.Hour)
			if got := p.requeue(wait(p)).RequeueAfter; got != 5*time.Second {
				t.Errorf("looked at again in %v, and the token expires in 5s", got)
			}
			p = endingPass(-time.Second)
			if got := p.requeue(session.Plan{Action: session.Wait, Obstacle: session.Busy, At: noon}).RequeueAfter; got != queueTimeout {
				t.Errorf("looked at again in %v after its token has expired", got)
			}
		})
	}
}

func TestWhoWaitsIsBackWhenItsRefreshTokenExpires(t *testing.T) {
	p := endingPass(-time.Minute)
	p.state.record.Refresh, p.state.record.RefreshExpiresAt = session.Held, noon.Add(9*time.Second)
	if got := p.requeue(session.Plan{Action: session.Wait, Obstacle: session.Busy, At: noon}).RequeueAfter; got != 9*time.Second {
		t.Errorf("looked at again in %v, and the refresh token expires in 9s", got)
	}
}

// Its status is to tell of it no later than it would have without thousands of others.
func TestANewSessionThatWaitsIsBackWhenThereIsSomethingToTell(t *testing.T) {
	for name, tt := range map[string]struct {
		age  time.Duration
		told bool
		want time.Duration
	}{
		"it has just come":                          {10 * time.Second, false, quietStart - 10*time.Second},
		"it has waited long, as many others have":   {quietStart, false, queueTimeout},
		"it was told of":                            {10 * time.Second, true, queueTimeout},
		"it has just come, by a clock that is late": {-time.Hour, false, queueTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			p := endingPass(0)
			p.published, p.state.record = false, session.Record{}
			p.session.CreationTimestamp = metav1.NewTime(noon.Add(-tt.age))
			if tt.told {
				p.session.Status.Conditions = []metav1.Condition{{Type: api.ConditionReady, Reason: api.ReasonPending}}
			}
			if got := p.requeue(session.Plan{Action: session.Wait, Obstacle: session.Busy, At: noon}).RequeueAfter; got != tt.want {
				t.Errorf("looked at again in %v, want %v", got, tt.want)
			}
		})
	}
}

// If its Secret Server turns out to be down, its status is to say so soon; a turn may come as late as it likes.
func TestWhoWaitsForADoubtfulSecretServerIsLookedAtOften(t *testing.T) {
	w := newWard()
	p := endingPass(time.Hour)
	p.outages, p.vantage = w.outages, atVault
	p.places = newGate(placesOf(Options{MaxConcurrentReconciles: 2, EndpointConcurrency: 1}), func(types.NamespacedName) {})
	waiting := session.Plan{Action: session.Wait, Obstacle: session.Busy, At: noon}
	if got := p.requeue(waiting).RequeueAfter; got != queueTimeout {
		t.Errorf("looked at again in %v while it waits for its turn, want %v", got, queueTimeout)
	}
	p.crowded = true
	if got := p.requeue(waiting).RequeueAfter; got != doubtTimeout {
		t.Errorf("looked at again in %v while its former token waits too, want %v", got, doubtTimeout)
	}
	p.crowded = false
	w.asks(t, "a", broken)
	if _, ok := p.admit(); ok {
		t.Fatal("another one asks at once after a failure")
	}
	if got := p.requeue(waiting).RequeueAfter; got != doubtTimeout {
		t.Errorf("looked at again in %v, want %v", got, doubtTimeout)
	}
}

func TestOtherCredentialsDoNotWaitForTheRetryOfARefresh(t *testing.T) {
	for name, tt := range map[string]struct {
		wanted session.Identity
		fault  *fault
		want   time.Duration
	}{
		"the same":    {wanted: session.Identity{Source: "s", Version: "1"}, want: 5 * time.Minute},
		"others":      {wanted: session.Identity{Source: "s", Version: "2"}},
		"none at all": {wanted: session.Identity{Source: "s"}, fault: &fault{}, want: 5 * time.Minute},
	} {
		p := endingPass(time.Minute)
		p.state.record.Identity = session.Identity{Source: "s", Version: "1"}
		p.wanted, p.credentialsFault = tt.wanted, tt.fault
		p.session.Status = api.SecretServerSessionStatus{
			ConsecutiveFailures: 9, LastFailureReason: api.ReasonEndpointUnavailable,
			LastFailureAt: new(metav1.NewTime(noon)), NextRefreshAt: new(metav1.NewTime(noon.Add(5 * time.Minute))),
		}
		p.observeFailure()
		if got := p.failure.retryAt.Sub(noon); got != tt.want {
			t.Errorf("%s: tried again in %v, want %v", name, got, tt.want)
		}
	}
}
