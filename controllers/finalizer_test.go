package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
)

// shelf is an API server with one session, or none.
type shelf struct {
	client.Client
	live    *api.SecretServerSession
	patches int
}

func (s *shelf) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if s.live == nil {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	s.live.DeepCopyInto(into.(*api.SecretServerSession)) //nolint:forcetypeassert // the only kind there is
	return nil
}

func (s *shelf) Patch(_ context.Context, into client.Object, patch client.Patch, _ ...client.PatchOption) error {
	s.patches++
	body, err := patch.Data(into)
	if err != nil {
		return err
	}
	var changed struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(body, &changed); err != nil {
		return err
	}
	switch {
	case s.live == nil:
		return apierrors.NewNotFound(schema.GroupResource{}, into.GetName())
	case changed.Metadata.UID != s.live.UID, changed.Metadata.ResourceVersion != s.live.ResourceVersion:
		return apierrors.NewConflict(schema.GroupResource{}, into.GetName(), errors.New("another"))
	}
	s.live.Finalizers = changed.Metadata.Finalizers
	s.live.ResourceVersion += "0"
	into.SetResourceVersion(s.live.ResourceVersion)
	return nil
}

func TestFinalizersAreChangedOnlyOnWhatWasSeen(t *testing.T) {
	const theirs = "example.com/theirs"
	seen := func(finalizers ...string) *api.SecretServerSession {
		return &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "billing", UID: "1", Generation: 1, ResourceVersion: "7", Finalizers: finalizers,
		}}
	}
	changed := func(s *api.SecretServerSession, version string, change func(*api.SecretServerSession)) *api.SecretServerSession {
		s.ResourceVersion = version
		change(s)
		return s
	}
	nothing := func(*api.SecretServerSession) {}
	tests := []struct {
		name         string
		cached, live *api.SecretServerSession
		wanted       bool
		left         []string
		patches      int
		behind       bool
	}{
		{"added", seen(theirs), seen(theirs), true, []string{theirs, api.FinalizerRevoke}, 1, false},
		{"removed", seen(api.FinalizerRevoke, theirs), seen(api.FinalizerRevoke, theirs), false, []string{theirs}, 1, false},
		{
			"added beside one that has come meanwhile",
			seen(), changed(seen(theirs), "8", nothing), true, []string{theirs, api.FinalizerRevoke}, 2, false,
		},
		{
			"removed beside one that has gone meanwhile",
			seen(theirs, api.FinalizerRevoke), changed(seen(api.FinalizerRevoke), "8", nothing), false, []string{}, 2, false,
		},
		{
			"not added twice, though the answer to the first time was lost",
			seen(), changed(seen(api.FinalizerRevoke), "8", nothing), true, []string{api.FinalizerRevoke}, 1, false,
		},
		{
			"not removed for a spec that was changed meanwhile",
			seen(api.FinalizerRevoke), changed(seen(api.FinalizerRevoke), "8", func(s *api.SecretServerSession) { s.Generation = 2 }),
			false, []string{api.FinalizerRevoke}, 1, true,
		},
		{
			"not added to another object of the same name",
			seen(), changed(seen(), "8", func(s *api.SecretServerSession) { s.UID = "2" }), true, nil, 1, true,
		},
		{"not added to an object that is gone", seen(), nil, true, nil, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &shelf{live: tt.live}
			c := testingclock.NewFakeClock(morning)
			p := &pass{Reconciler: &Reconciler{clock: c, live: server, cache: server, expectations: newExpectations(c)}, session: tt.cached}
			err := p.setFinalizer(t.Context(), tt.wanted)
			if got := errors.Is(err, errBehind); got != tt.behind || (err != nil && !got) {
				t.Fatalf("got error %v", err)
			}
			if server.patches != tt.patches {
				t.Errorf("%d patches, want %d", server.patches, tt.patches)
			}
			if tt.live != nil && !slices.Equal(tt.live.Finalizers, tt.left) {
				t.Errorf("left %v, want %v", tt.live.Finalizers, tt.left)
			}
			if err == nil && (!slices.Equal(p.session.Finalizers, tt.left) || p.session.ResourceVersion != tt.live.ResourceVersion) {
				t.Errorf("the pass goes on from %v at %s", p.session.Finalizers, p.session.ResourceVersion)
			}
		})
	}
}
