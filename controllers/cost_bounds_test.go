package controllers

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// costed is a step of a refresh, or of the watch, that needs no server and so has an exact cost.
type costed struct {
	name string
	// most allocations that one run may make.
	most int
	run  func() error
}

// refreshedPass is a pass that has just published a refreshed token.
func refreshedPass() *pass {
	state := healthyState()
	state.Attempt, state.Attempted = nil, nil
	state.Grant, state.Refreshes, state.LastRefreshAt = session.RefreshToken, 7, noon
	state.AccessToken, state.RefreshToken = strings.Repeat("Ag0123_-", 32), strings.Repeat("Rf0123_-", 32)
	state.Token, state.Username = shortDigest(state.AccessToken), "svc-billing"
	s := &api.SecretServerSession{
		ObjectMeta: metav1.ObjectMeta{Namespace: "payments", Name: "billing", UID: "0b1c9a52-5b6f-4d8c-9d3c-9a1f3f1f2b10", Generation: 1},
		Spec:       api.SecretServerSessionSpec{Endpoint: api.Endpoint{URL: vaultURL}, Refresh: api.Refresh{Percent: 67}},
	}
	p := &pass{session: s, published: true, target: target{version: "41", intact: true}}
	p.state = state42(state)
	s.Status = statusOf(p, session.Plan{Action: session.Wait, NextGrantAt: noon.Add(10 * time.Minute)}, noon.Add(-time.Minute))
	return p
}

// state42 is a state as it was loaded.
func state42(content stored) state {
	return state{exists: true, record: content.Record, stored: content}
}

func costs() []costed {
	p := refreshedPass()
	plan := session.Plan{Action: session.Wait, NextGrantAt: noon.Add(13 * time.Minute)}
	status := statusOf(p, plan, noon)
	secret := newStateSecret(p.session)
	strip := newStripper(NewRecords())
	if err := strip.records.writeState(secret, p.state.stored); err != nil {
		panic(err)
	}
	target := targetSecret(p.session, defaultData(p.state.stored))
	managed, foreign := watchedTarget(p.session), watchedForeign()
	return []costed{
		{"render the status", 12, func() error { _ = statusOf(p, plan, noon); return nil }},
		{"compare two statuses", 0, func() error { _ = sameStatus(status, p.session.Status); return nil }},
		{"apply configuration of the status", 20, func() error { _ = statusApply(&status); return nil }},
		{"render the target", 28, func() error { _ = targetSecret(p.session, defaultData(p.state.stored)); return nil }},
		{"what the target must own", 12, func() error { _ = appliedOwnership(target); return nil }},
		{"read the state", 30, func() error { _, err := readState(secret); return err }},
		{"read the state that was just written", 10, func() error { _, err := strip.records.readState(secret); return err }},
		{"write the state", 18, func() error { return writeState(secret, p.state.stored) }},
		{"strip a state that was just written", 30, func() error {
			_, err := strip.secret(&metav1.PartialObjectMetadata{ObjectMeta: secret.ObjectMeta})
			return err
		}},
		{"strip a target", 70, func() error { _, err := strip.secret(managed()); return err }},
		{"strip a foreign Secret", 2, func() error { _, err := strip.secret(foreign()); return err }},
	}
}

// watchedTarget returns copies of a target's metadata as the watch delivers it.
func watchedTarget(s *api.SecretServerSession) func() *metav1.PartialObjectMetadata {
	fields, err := json.Marshal(map[string]any{
		"f:data": map[string]any{"f:expiresAt": map[string]any{}, "f:serverURL": map[string]any{}, "f:token": map[string]any{}},
		"f:metadata": map[string]any{
			"f:labels":          map[string]any{"f:" + api.LabelManagedBy: map[string]any{}, "f:" + api.LabelSession: map[string]any{}},
			"f:ownerReferences": map[string]any{fmt.Sprintf(`k:{"uid":%q}`, s.UID): map[string]any{}},
		},
		"f:type": map[string]any{},
	})
	if err != nil {
		panic(err)
	}
	meta := newStateSecret(s).ObjectMeta
	meta.Name = s.TargetName()
	meta.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: api.ManagedBy, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(string(fields)),
	}}
	return func() *metav1.PartialObjectMetadata { return &metav1.PartialObjectMetadata{ObjectMeta: meta} }
}

// watchedForeign is the same of a Secret that is not the operator's.
func watchedForeign() func() *metav1.PartialObjectMetadata {
	meta := metav1.ObjectMeta{
		Namespace: "payments", Name: "release", UID: "5a3c", ResourceVersion: "40", Labels: map[string]string{"owner": "helm"},
		Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: strings.Repeat("x", 4<<10)},
	}
	return func() *metav1.PartialObjectMetadata { return &metav1.PartialObjectMetadata{ObjectMeta: meta} }
}

func BenchmarkCosts(b *testing.B) {
	for _, c := range costs() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestCostsAreBounded(t *testing.T) {
	for _, c := range costs() {
		t.Run(c.name, func(t *testing.T) {
			got := testing.AllocsPerRun(100, func() {
				if err := c.run(); err != nil {
					t.Fatal(err)
				}
			})
			most := c.most
			if racing {
				most += most / 2
			}
			if int(got) > most {
				t.Errorf("%.0f allocations, want %d at most; see BenchmarkCosts", got, most)
			}
		})
	}
}

// What is cached of each Secret that is not the operator's is its price in memory.
func TestLittleIsKeptOfAForeignSecret(t *testing.T) {
	stripped, err := newStripper(nil).secret(watchedForeign()())
	if err != nil {
		t.Fatal(err)
	}
	kept := stripped.(*metav1.PartialObjectMetadata) //nolint:forcetypeassert // as it went in
	want := metav1.ObjectMeta{Namespace: "payments", Name: "release", UID: "5a3c", ResourceVersion: "40"}
	if !reflect.DeepEqual(kept.ObjectMeta, want) {
		t.Errorf("kept %+v, want %+v", kept.ObjectMeta, want)
	}
}
