package session

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRecordIsKeptInLessThanHalfOfItsStoredForm(t *testing.T) {
	kept := Keep(format1)
	if len(kept) > len(format1)/2 {
		t.Errorf("%d bytes are kept of %d", len(kept), len(format1))
	}
	if got := kept.Text(); got != format1 {
		t.Errorf("\n got %s\nwant %s", got, format1)
	}
}

// What a walk leaves out falls back to the whole text, which this would show.
func TestEveryFieldIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := aRecord().Draw(t, "record")
		r.Token, r.Handled = rapid.String().Draw(t, "token"), rapid.String().Draw(t, "handled")
		r.Account = rapid.String().Draw(t, "account of the token")
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		kept := Keep(text)
		if kept[0] != keptFields {
			t.Errorf("kept as it stands: %s", text)
		}
		if kept.Text() != text {
			t.Errorf("\n got %s\nwant %s", kept.Text(), text)
		}
		got, err := kept.Record()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("\n got %+v\nwant %+v", got, r)
		}
	})
}

func TestWhatIsKeptIsTheStoredFormToTheLetter(t *testing.T) {
	texts := map[string]string{
		"spaces":                          ` {"format": 1}`,
		"a time in another zone":          strings.Replace(format1, `"issuedAt":"2026-03-02T12:00:00Z"`, `"issuedAt":"2026-03-02T13:00:00+01:00"`, 1),
		"a field of a later release":      `{"format":1,"probedAt":"2027-01-01T00:00:00Z"}`,
		"what begins as what is kept":     "\x01\x00",
		"what begins as the stored form":  "\x02{}",
		"half a character":                "{\"format\":1,\"handled\":\"\xff\"}",
		"a time before the year one":      `{"format":1,"endedAt":"0000-01-01T00:00:00.000000001+23:59"}`,
		"a field that is written as zero": `{"format":1,"identity":{"source":"","version":""},"logins":0}`,
	}
	for _, tt := range notRecords {
		texts[tt.name] = tt.text
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) { checkKept(t, text) })
	}
}

func FuzzKeep(f *testing.F) {
	f.Add(format1)
	f.Add(`{"format":1,"former":{}}`)
	f.Add(`{"format":1,"attempt":{"bad":7},"handled":"<&>"}`)
	f.Fuzz(func(t *testing.T, text string) { checkKept(t, text) })
}

// checkKept holds that nothing differs between a text that is kept and the text itself.
func checkKept(t *testing.T, text string) {
	t.Helper()
	kept := Keep(text)
	if got := kept.Text(); got != text {
		t.Errorf("kept %q as %q", text, got)
	}
	want, wantErr := Decode(text)
	got, err := kept.Record()
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("error %v, of the text itself %v", err, wantErr)
	}
	if !sameRecord(t, got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

// sameRecord compares two records by their stored forms, and so their times as they are written.
func sameRecord(t *testing.T, a, b Record) bool {
	t.Helper()
	first, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return first == second
}

func FuzzReadKept(f *testing.F) {
	f.Add(string(Keep(format1)))
	f.Add("")
	f.Add("\x01")
	f.Add("\x01\x7f")
	f.Fuzz(func(t *testing.T, kept string) {
		r, err := Kept(kept).Record()
		if err != nil && !errors.Is(err, ErrRecord) {
			t.Errorf("error %v", err)
		}
		if err != nil && !reflect.DeepEqual(r, Record{}) {
			t.Errorf("%+v beside the error", r)
		}
		_ = Kept(kept).Text()
	})
}
