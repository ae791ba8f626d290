package controllers

import (
	"reflect"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/flowcontrol"
	clocktesting "k8s.io/utils/clock/testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

func TestANewSessionThatWaitsIsToldOfWhenItHasWaitedLong(t *testing.T) {
	for name, c := range map[string]struct {
		age        time.Duration
		obstacle   session.Obstacle
		failures   int32
		conditions []string
		others     int // that said the same in this moment
		unheard    bool
	}{
		"it has just come":                {time.Second, session.Busy, 0, nil, 0, true},
		"it waits for long":               {quietStart, session.Busy, 0, nil, 0, false},
		"some others have waited as long": {quietStart, session.Busy, 0, nil, waitsTold - 1, false},
		"many others have waited as long": {quietStart, session.Busy, 0, nil, waitsTold, true},
		"it was told of before":           {time.Second, session.Busy, 0, []string{"Ready=False " + api.ReasonPending}, waitsTold, false},
		"its login has failed":            {time.Second, session.Busy, 1, nil, waitsTold, false},
		"it waits for a one-time code":    {time.Second, session.AwaitingCode, 0, nil, waitsTold, false},
		"a person must act":               {time.Second, session.CredentialsFault, 0, nil, waitsTold, false},
		"it does not wait for anything":   {time.Second, session.NoObstacle, 0, nil, waitsTold, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := enrolled(t, "billing", c.conditions...)
			s.CreationTimestamp = metav1.NewTime(noon)
			now := clocktesting.NewFakeClock(noon.Add(c.age))
			waits := flowcontrol.NewTokenBucketPassiveRateLimiterWithClock(waitsTold, waitsTold, now)
			for range c.others {
				waits.TryAccept()
			}
			p := &pass{Reconciler: &Reconciler{clock: now, waits: waits}, session: &s}
			p.failure.count = c.failures
			if got := p.unheard(session.Plan{Action: session.Wait, Obstacle: c.obstacle}); got != c.unheard {
				t.Errorf("passed over: %t, want %t", got, c.unheard)
			}
		})
	}
}

// Whoever adds a field to the status has to compare it: what is taken for the same is not written.
func TestStatusesThatDifferInOneFieldAreNotTheSame(t *testing.T) {
	fields := reflect.TypeFor[api.SecretServerSessionStatus]()
	for i := range fields.NumField() {
		t.Run(fields.Field(i).Name, func(t *testing.T) {
			var one, other api.SecretServerSessionStatus
			switch field := reflect.ValueOf(&other).Elem().Field(i).Addr().Interface().(type) {
			case *int64:
				*field = 1
			case *int32:
				*field = 1
			case *string:
				*field = "x"
			case *api.GrantType:
				*field = api.GrantRefreshToken
			case **metav1.Time:
				*field = &metav1.Time{Time: noon}
			case *[]metav1.Condition:
				*field = []metav1.Condition{{Type: api.ConditionReady}}
			default:
				t.Fatalf("say here what another %T is", field)
			}
			if sameStatus(one, other) || sameStatus(other, one) {
				t.Errorf("taken for the same:\n%+v\n%+v", one, other)
			}
		})
	}
}

func TestStatusesAreTheSameInWhateverOrder(t *testing.T) {
	status := func(conditions ...string) api.SecretServerSessionStatus {
		s := holding(enrolled(t, "billing", conditions...)).Status
		return s
	}
	held, ready := "Refreshable=True "+api.ReasonRefreshTokenHeld, current
	later := status(ready, held)
	later.Conditions[0].LastTransitionTime = metav1.NewTime(noon)
	message := status(ready, held)
	message.Conditions[1].Message = "Another."
	renewed := status(ready, held)
	renewed.RefreshCount++
	elsewhere := status(ready, held)
	moved := metav1.NewTime(elsewhere.TokenExpiresAt.In(time.FixedZone("elsewhere", 3600)))
	elsewhere.TokenExpiresAt = &moved
	for name, c := range map[string]struct {
		other api.SecretServerSessionStatus
		want  bool
	}{
		"the same":                          {status(ready, held), true},
		"the same in another order":         {status(held, ready), true},
		"the same moment in another zone":   {elsewhere, true},
		"a condition fewer":                 {status(ready), false},
		"another condition":                 {status(ready, "Stalled=True "+api.ReasonTargetConflict), false},
		"another reason":                    {status(ready, "Refreshable=True "+api.ReasonRefreshLimitReached), false},
		"another message":                   {message, false},
		"another time of transition":        {later, false},
		"another count, the same otherwise": {renewed, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sameStatus(status(ready, held), c.other); got != c.want {
				t.Errorf("the same: %t, want %t", got, c.want)
			}
		})
	}
}
