package controllers

import (
	"reflect"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// watchedState is the metadata of a session's state Secret as the watch delivers it.
func watchedState(t *testing.T, s *api.SecretServerSession, r session.Record) (meta *metav1.PartialObjectMetadata, record string) {
	t.Helper()
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	meta = &metav1.PartialObjectMetadata{ObjectMeta: newStateSecret(s).ObjectMeta}
	meta.UID, meta.ResourceVersion = "5c7e", "42"
	meta.Annotations = map[string]string{annotationRecord: text, "team": "payments"}
	meta.ManagedFields = []metav1.ManagedFieldsEntry{entry(api.ManagedBy, "Update", `{}`)}
	return meta, text
}

// A claim tests that the record still stands as it was read, to the letter.
func TestTheCacheKeepsTheRecordToTheLetter(t *testing.T) {
	p := refreshedPass()
	meta, text := watchedState(t, p.session, p.state.record)
	for _, time := range []string{"once", "twice"} {
		if _, err := newStripper(nil).secret(meta); err != nil {
			t.Fatal(err)
		}
		if got := recordText(meta); got != text {
			t.Errorf("stripped %s:\n got %s\nwant %s", time, got, text)
		}
		if got := recordOf(meta); got == nil || !reflect.DeepEqual(*got, p.state.record) {
			t.Errorf("stripped %s:\n got %+v\nwant %+v", time, got, p.state.record)
		}
		if got, want := accountsOf(meta), []string{p.state.record.Account}; !slices.Equal(got, want) {
			t.Errorf("stripped %s: accounts %v, want %v", time, got, want)
		}
		if !metav1.IsControlledBy(meta, p.session) || meta.UID != "5c7e" || meta.ResourceVersion != "42" || meta.Annotations != nil {
			t.Errorf("stripped %s: kept %+v", time, meta.ObjectMeta)
		}
	}
}

func TestTheCacheKeepsARecordThatCannotBeRead(t *testing.T) {
	p := refreshedPass()
	meta, _ := watchedState(t, p.session, p.state.record)
	meta.Annotations[annotationRecord] = "\x01edited by hand"
	if _, err := newStripper(nil).secret(meta); err != nil {
		t.Fatal(err)
	}
	if got := recordText(meta); got != "\x01edited by hand" {
		t.Errorf("kept %q", got)
	}
	if got := recordOf(meta); got != nil {
		t.Errorf("read %+v", got)
	}
}

// What is cached of each session is most of the operator's memory.
func TestTheCacheKeepsOfASessionWhatPassesRead(t *testing.T) {
	s := refreshedPass().session.DeepCopy()
	s.Annotations = map[string]string{api.AnnotationRefreshRequested: "now"}
	s.Finalizers = []string{api.FinalizerRevoke}
	want := s.DeepCopy()
	s.Status.Conditions = slices.Grow(s.Status.Conditions, 4)
	s.Labels, s.Annotations["note"] = map[string]string{"app.kubernetes.io/name": "billing"}, "x"
	s.OwnerReferences = []metav1.OwnerReference{{Kind: "Application", Name: "billing", UID: "a-1"}}
	s.ManagedFields = []metav1.ManagedFieldsEntry{entry("kubectl", "Apply", `{}`)}
	for range 2 {
		if _, err := newStripper(nil).session(s); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s, want) {
			t.Errorf("\nkept %+v\nwant %+v", s, want)
		}
	}
	if room := cap(s.Status.Conditions) - len(s.Status.Conditions); room > 1 {
		t.Errorf("there is room for %d more conditions", room)
	}
}
