package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

func TestSessionsGoInTheOrderInWhichTheirPodsNeedAToken(t *testing.T) {
	holding := func(expires time.Time) *pass {
		return &pass{
			session: &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(morning.Add(-24 * time.Hour))}},
			state:   state{record: session.Record{ExpiresAt: expires}}, published: true,
		}
	}
	without := func(created time.Time) *pass {
		return &pass{session: &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(created)}}}
	}
	order := []struct {
		name string
		*pass
	}{
		{"an old one that has lost its token", without(morning.Add(-24 * time.Hour))},
		{"one whose token has expired", holding(morning.Add(-time.Minute))},
		{"one whose token expires soon", holding(morning.Add(time.Minute))},
		{"a new one that has waited for some minutes", without(morning.Add(-5 * time.Minute))},
		{"a new one", without(morning)},
		{"one whose token lasts", holding(morning.Add(time.Hour))},
	}
	for i := range order[1:] {
		if before, after := order[i], order[i+1]; !before.neededBy().Before(after.neededBy()) {
			t.Errorf("%s (%s) does not go before %s (%s)", before.name, before.neededBy(), after.name, after.neededBy())
		}
	}
}
