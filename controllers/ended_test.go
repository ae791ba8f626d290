package controllers

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// Ready is True exactly while the target holds a token that is believed valid, whatever became of its record.
func TestTokenThatTheServerEndedIsNotCalledValid(t *testing.T) {
	const ended = "Secret Server no longer takes the token in the target"
	for name, story := range map[string]struct {
		published bool // the target holds the token of the record
		endedAt   time.Time
		target    target
		wasReady  metav1.ConditionStatus
		expires   time.Time
		reason    string
		told      bool // that it was ended
	}{
		"a token that nobody ended": {true, time.Time{}, target{intact: true}, metav1.ConditionTrue, noon.Add(time.Minute), api.ReasonTokenCurrent, false},
		"a token that was ended":    {true, noon, target{intact: true}, metav1.ConditionTrue, noon.Add(time.Minute), api.ReasonTokenExpired, true},
		"a token that was ended, and whose time is over by now": {
			true, noon, target{intact: true}, metav1.ConditionFalse, noon, api.ReasonTokenExpired, true,
		},
		"a token whose time is over": {true, time.Time{}, target{intact: true}, metav1.ConditionFalse, noon, api.ReasonTokenExpired, false},
		"a valid token, with a newer one that is not published yet": {
			false, time.Time{}, target{intact: true}, metav1.ConditionTrue, noon.Add(time.Minute), api.ReasonTokenCurrent, false,
		},
		"an ended token, with a newer one stored in the same pass and not published yet": {
			false, time.Time{}, target{intact: true, ended: true}, metav1.ConditionTrue, noon.Add(time.Minute), api.ReasonTokenExpired, true,
		},
		"an ended token, with a newer one stored in an earlier pass and not published yet": {
			false, time.Time{}, target{intact: true}, metav1.ConditionFalse, noon.Add(time.Minute), api.ReasonTokenExpired, true,
		},
		"a token whose time is over, with a newer one that is not published yet": {
			false, time.Time{}, target{intact: true}, metav1.ConditionFalse, noon, api.ReasonTokenExpired, false,
		},
		"a target that somebody spoilt": {false, time.Time{}, target{}, metav1.ConditionFalse, noon.Add(time.Minute), api.ReasonPending, false},
	} {
		t.Run(name, func(t *testing.T) {
			expires := metav1.NewTime(story.expires)
			p := &pass{session: &api.SecretServerSession{}, published: story.published, target: story.target}
			p.state.record = session.Record{EndedAt: story.endedAt}
			p.session.Status.Conditions = []metav1.Condition{{Type: api.ConditionReady, Status: story.wasReady}}
			s := api.SecretServerSessionStatus{TokenExpiresAt: &expires}

			got := readiness(p, session.Plan{}, s, nil, nil, noon)

			if told := strings.HasPrefix(got.message, ended); got.reason != story.reason || told != story.told {
				t.Errorf("%s: %q, want %s", got.reason, got.message, story.reason)
			}
		})
	}
}

func TestWhatKeepsAnEndedTokenFromItsSuccessorIsTold(t *testing.T) {
	got := endedFault(fault{api.ReasonEndpointUnavailable, "No connection. It is retried."})
	if got.reason != api.ReasonEndpointUnavailable || !strings.HasSuffix(got.message, "restored from a backup. No connection. It is retried.") {
		t.Errorf("%s: %q", got.reason, got.message)
	}
}
