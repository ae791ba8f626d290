package controllers

import (
	"errors"
	"reflect"
	"testing"

	"tokensync.dev/secret-server-operator/controllers/session"
)

// stateAsWritten is a state Secret's content, and what is remembered of its having been written.
func stateAsWritten(t *testing.T, content stored) (*Records, string) {
	t.Helper()
	records := NewRecords()
	text, err := records.encode(content.Record)
	if err != nil {
		t.Fatal(err)
	}
	return records, text
}

func TestWhatWasWrittenIsReadAsItIsDecoded(t *testing.T) {
	content := healthyState()
	records, text := stateAsWritten(t, content)
	decoded, err := session.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*Records{"remembered": records, "never seen": NewRecords(), "of nobody who remembers": nil} {
		got, err := r.decode(text)
		if err != nil || !reflect.DeepEqual(got, decoded) {
			t.Errorf("%s: error %v\n got %+v\nwant %+v", name, err, got, decoded)
		}
		if got, want := r.keep(text), session.Keep(text); got != want {
			t.Errorf("%s: kept as %q, want %q", name, got, want)
		}
	}
}

// A webhook, or another writer, may have changed what the API server answers.
func TestAnAnswerIsReadAsItIsAndNotAsItWasAskedFor(t *testing.T) {
	content := healthyState()
	records, text := stateAsWritten(t, content)
	secret := stateSecretWith(text, nil, nil, nil, nil, nil)
	if err := writeState(secret, content); err != nil {
		t.Fatal(err)
	}
	content.Logins = 7
	other, err := content.Encode()
	if err != nil {
		t.Fatal(err)
	}
	secret.Annotations[annotationRecord] = other
	if got, err := records.readState(secret); err != nil || got.Logins != 7 {
		t.Errorf("%d logins, %v: want those of the answer, 7", got.Logins, err)
	}
	secret.Annotations[annotationRecord] = text + " "
	if got, err := records.readState(secret); err != nil || got.Logins != 1 {
		t.Errorf("%d logins, %v", got.Logins, err)
	}
	secret.Annotations = nil
	if _, err := records.readState(secret); !errors.Is(err, errState) {
		t.Errorf("got error %v of an answer without a record, want errState", err)
	}
}

func TestFewRecordsAreRemembered(t *testing.T) {
	records := NewRecords()
	for i := range int64(2 * mostRecords) {
		if _, err := records.encode(session.Record{Logins: i}); err != nil {
			t.Fatal(err)
		}
	}
	if n := records.known.Len(); n != mostRecords {
		t.Errorf("%d are remembered, want %d", n, mostRecords)
	}
}
