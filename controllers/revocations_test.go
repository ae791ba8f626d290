package controllers

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

var morning = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

func TestASilentServerIsLeftAloneForAWhile(t *testing.T) {
	const origin, other = "vault.example.com:443", "other.example.com:443"
	failure := func(cause secretserver.Cause) *secretserver.Error {
		return &secretserver.Error{Operation: secretserver.RevokeToken, Kind: secretserver.Ambiguous, Cause: cause}
	}
	tests := []struct {
		name   string
		heard  []*secretserver.Error
		after  time.Duration
		silent bool
	}{
		{"one that was never asked is not silent", nil, 0, false},
		{"one that answered is not", []*secretserver.Error{nil}, 0, false},
		{"one that timed out is", []*secretserver.Error{failure(secretserver.TimedOut)}, 0, true},
		{"one that cannot be reached is", []*secretserver.Error{failure(secretserver.ConnectionRefused)}, 0, true},
		{"to the last moment", []*secretserver.Error{failure(secretserver.TimedOut)}, silenceHolds - 1, true},
		{"and then not", []*secretserver.Error{failure(secretserver.TimedOut)}, silenceHolds, false},
		{"not if the clock was set back", []*secretserver.Error{failure(secretserver.TimedOut)}, -time.Hour, false},
		{"not once it has answered", []*secretserver.Error{failure(secretserver.TimedOut), nil}, 0, false},
		{"not once it has answered anything", []*secretserver.Error{failure(secretserver.TimedOut), failure(secretserver.ErrorStatus)}, 0, false},
		{"not because one session does not trust its certificate", []*secretserver.Error{failure(secretserver.UnknownAuthority)}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRevocations()
			for _, err := range tt.heard {
				r.heard(origin, err, morning)
			}
			if got := r.isSilent(origin, morning.Add(tt.after)); got != tt.silent {
				t.Errorf("silent is %t", got)
			}
			if r.isSilent(other, morning) {
				t.Error("another server is taken for silent")
			}
		})
	}
}

func TestSilentServersAreRememberedWithinBounds(t *testing.T) {
	r := newRevocations()
	for i := range 3 * mostSilent {
		r.heard(string(rune(i)), &secretserver.Error{Cause: secretserver.TimedOut}, morning)
	}
	if n := len(r.silent); n > mostSilent {
		t.Errorf("%d are remembered", n)
	}
}

func TestADepartureBeginsOnceForEachObject(t *testing.T) {
	r, name := newRevocations(), types.NamespacedName{Namespace: "n", Name: "billing"}
	first := r.departure(name, "1", morning)
	if again := r.departure(name, "1", morning.Add(time.Minute)); again != first || !again.letGoAt.Equal(morning.Add(letGoAfter)) {
		t.Error("a later pass gives it more time")
	}
	if r.departure(name, "2", morning) == first {
		t.Error("another object of the same name is taken for the first")
	}
	r.departed(name)
	if len(r.departures) != 0 {
		t.Error("who has departed is remembered")
	}
}

// vaults plays all Secret Servers, and notes what was revoked where.
type vaults struct {
	SecretServer
	at      string
	revoked map[string]string
}

func (v vaults) Revoke(_ context.Context, accessToken string) error {
	v.revoked[accessToken] = v.at
	return nil
}

// departing is a session on its way out whose state Secret is not there.
func departing(t *testing.T, revoked map[string]string) *pass {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry(), func() int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{
		clock:       testingclock.NewFakeClock(morning),
		dial:        func(e secretserver.Endpoint) (SecretServer, error) { return vaults{at: e.URL, revoked: revoked}, nil },
		places:      newGate(placesOf(Options{EndpointConcurrency: 1, MaxConcurrentReconciles: 1}), nil),
		revocations: newRevocations(),
		bundles:     newBundles(),
		metrics:     m,
	}
	return &pass{
		Reconciler: r, departure: &departure{letGoAt: morning.Add(letGoAfter)},
		session: &api.SecretServerSession{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "billing", UID: "1"},
			Spec:       api.SecretServerSessionSpec{DeletionPolicy: api.DeletionRevoke},
		},
	}
}

// token is a session's content with a token that expires after a while.
func token(access, url string, lifetime time.Duration) stored {
	return stored{AccessToken: access, Record: session.Record{
		Grant: session.Password, ServerURL: url, IssuedAt: morning.Add(-time.Hour), ExpiresAt: morning.Add(lifetime),
	}}
}

func TestEveryTokenThatIsKnownIsRevokedOnce(t *testing.T) {
	const here, there = "https://here.example.com", "https://there.example.com"
	withFormer := func(s stored, access, url string, lifetime time.Duration) stored {
		s.FormerToken, s.Former = access, &session.Former{ServerURL: url, ExpiresAt: morning.Add(lifetime)}
		return s
	}
	grant := func(s stored) *newGrant { return &newGrant{session: "1", stored: s} }
	tests := []struct {
		name   string
		stored stored
		grant  *newGrant
		want   map[string]string
	}{
		{"the stored one", token("a", here, time.Minute), nil, map[string]string{"a": here}},
		{"one that could not be stored", stored{}, grant(token("b", here, time.Minute)), map[string]string{"b": here}},
		{
			"a refreshed one that could not be stored, and the one before",
			token("a", here, time.Minute), grant(token("b", here, time.Hour)), map[string]string{"a": here, "b": here},
		},
		{
			"one that has replaced the stored one, and could not be stored",
			token("a", here, time.Minute), grant(withFormer(token("b", there, time.Hour), "a", here, time.Minute)),
			map[string]string{"a": here, "b": there},
		},
		{
			"a former one",
			withFormer(token("b", there, time.Hour), "a", here, time.Minute), nil, map[string]string{"a": here, "b": there},
		},
		{
			"none that has expired",
			withFormer(token("b", there, 0), "a", here, time.Minute), nil, map[string]string{"a": here},
		},
		{"none at all", stored{}, nil, map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			revoked := map[string]string{}
			p := departing(t, revoked)
			p.state.stored, p.state.record, p.grant = tt.stored, tt.stored.Record, tt.grant
			for range 2 {
				if err := p.revoke(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if !maps.Equal(revoked, tt.want) {
				t.Errorf("got %v, want %v", revoked, tt.want)
			}
			if !p.departure.concluded {
				t.Error("there is to be another attempt")
			}
		})
	}
}

func TestARevocationThatFindsNoPlaceIsMadeLater(t *testing.T) {
	revoked := map[string]string{}
	p := departing(t, revoked)
	p.state.stored = token("a", "https://vault.example.com", time.Minute)
	p.state.record = p.state.stored.Record
	p.places.wake = func(types.NamespacedName) {}
	for name, full := range map[string]room{
		"of all revocations":     {kind: ofRevocation},
		"of that server's calls": {ofServer, "vault.example.com:443"},
	} {
		p.busy = false
		another := p.places.enter(types.NamespacedName{Name: "another"}, noon, full)
		if err := p.revoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !p.busy || p.departure.concluded || len(revoked) > 0 {
			t.Errorf("the gate %s is full: busy %t, concluded %t, revoked %v", name, p.busy, p.departure.concluded, revoked)
		}
		another.leave()
		p.places.turn(p.name())() // the pass for which it was woken wants nothing
	}
	if err := p.revoke(t.Context()); err != nil || len(revoked) != 1 {
		t.Errorf("there is a place again: revoked %v, error %v", revoked, err)
	}
}

// One of two tokens was revoked in an earlier pass, and the time was over before the turn of the other.
func TestWhatWasDoneIsToldBesideWhatWasNot(t *testing.T) {
	p := departing(t, map[string]string{})
	p.state.record = token("a", "https://vault.example.com", time.Minute).Record
	p.state.record.Former = &session.Former{ServerURL: "https://former.example.com", ExpiresAt: morning.Add(time.Hour)}
	p.departure.ended = []ending{{token("a", "https://vault.example.com", time.Minute).current().key(), resultSucceeded, "revoked"}}
	p.concludeDeparture()
	if len(p.departure.ended) != 2 || !strings.HasPrefix(p.departure.ended[1].note, "The former access token was not revoked at "+
		"https://former.example.com: its turn did not come in time.") {
		t.Errorf("got %v", p.departure.ended)
	}
}

func TestNotesOfWhatWasNotRevokedAreStableAndSayWhatToDo(t *testing.T) {
	p := departing(t, map[string]string{})
	p.state.record = token("", "https://vault.example.com", time.Minute).Record
	p.session.Spec.Suspend = true
	p.concludeDeparture()
	p.concludeDeparture()
	want := []ending{{"https://vault.example.com 2026-03-02T09:01:00Z", resultSkipped, "The access token was not revoked at https://vault.example.com: spec.suspend is true, so no call was made. " +
		"It stays valid there until 2026-03-02T09:01:00Z. If that is too long, end the sessions of the account in Secret Server."}}
	if !slices.Equal(p.departure.ended, want) {
		t.Errorf("\n got %v\nwant %v", p.departure.ended, want)
	}
}
