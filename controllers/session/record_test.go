package session

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// format1 is what releases with format 1 have stored. It never changes: a release reads what the last one wrote.
const format1 = `{"format":1,` +
	`"identity":{"source":"5f1c","version":"uid-1/42"},` +
	`"serverURL":"https://vault.example.com/SecretServer",` +
	`"grant":"RefreshToken",` +
	`"issuedAt":"2026-03-02T12:00:00Z","expiresAt":"2026-03-02T12:19:59Z",` +
	`"refresh":"Held","refreshExpiresAt":"2026-03-02T12:34:59Z",` +
	`"refreshesSinceLogin":2,"logins":5,"refreshes":14,` +
	`"lastLoginAt":"2026-03-02T11:30:00Z","lastRefreshAt":"2026-03-02T12:00:00Z",` +
	`"attempt":{"identity":{"source":"5f1c","version":"uid-1/43"},"account":"9a0e",` +
	`"at":"2026-03-02T12:05:00Z","refused":true,"bad":3}}`

// stored1 is what format1 says.
func stored1() Record {
	return Record{
		Identity:            Identity{Source: "5f1c", Version: "uid-1/42"},
		ServerURL:           "https://vault.example.com/SecretServer",
		Grant:               RefreshToken,
		IssuedAt:            noon,
		ExpiresAt:           noon.Add(1199 * time.Second),
		Refresh:             Held,
		RefreshExpiresAt:    noon.Add(1199*time.Second + RefreshGrace),
		RefreshesSinceLogin: 2,
		Logins:              5,
		Refreshes:           14,
		LastLoginAt:         noon.Add(-30 * time.Minute),
		LastRefreshAt:       noon,
		Attempt: &Attempt{
			Identity: Identity{Source: "5f1c", Version: "uid-1/43"}, Account: "9a0e",
			At: noon.Add(5 * time.Minute), Refused: true, Bad: 3,
		},
	}
}

// ended1 is stored1 after Secret Server has ended the token.
func ended1() Record {
	r := stored1()
	r.EndedAt = noon.Add(10 * time.Minute)
	return r
}

func TestRecordIsStoredAsFormat1(t *testing.T) {
	text, err := stored1().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if text != format1 {
		t.Errorf("the stored form has changed: give it a new format, and keep reading this one\n got %s\nwant %s", text, format1)
	}
}

func TestRecordOfNothingIsStoredInBrief(t *testing.T) {
	text, err := Record{}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"format":1,"identity":{"source":"","version":""}}`; text != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func TestRecordOfEarlierReleasesIsRead(t *testing.T) {
	tests := []struct {
		name, text string
		want       Record
	}{
		{"all of format 1", format1, stored1()},
		{"with a token that the server ended", strings.Replace(format1, `"refresh":`, `"endedAt":"2026-03-02T12:10:00Z","refresh":`, 1), ended1()},
		{"with a field of a later release", strings.Replace(format1, `"logins"`, `"probedAt":"2027-01-01T00:00:00Z","logins"`, 1), stored1()},
		{"with nothing in it", `{"format":1}`, Record{}},
		{"with a one-time code", `{"format":1,"codeStep":59147280}`, Record{CodeStep: 59147280}},
		{
			"with a token that was replaced",
			`{"format":1,"former":{"serverURL":"https://former.example.com","expiresAt":"2026-03-02T12:20:00Z"}}`,
			Record{Former: &Former{ServerURL: "https://former.example.com", ExpiresAt: expires}},
		},
		{"with no attempt", `{"format":1,"attempt":null}`, Record{}},
		{"with a refresh token and no access token", `{"format":1,"refresh":"Claimed"}`, Record{Refresh: Claimed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// notRecords are refused, each for one reason. What they say must not be told: it lay beside tokens.
var notRecords = []struct{ name, text string }{
	{"nothing", ``},
	{"null", `null`},
	{"a number", `1`},
	{"a list", `[{"format":1}]`},
	{"a word", `marker`},
	{"a token in its place", `AgMarkermarkermarker`},
	{"cut short", format1[:len(format1)-1]},
	{"followed by more", format1 + `{"marker":1}`},
	{"no format", `{"grant":"Password","serverURL":"marker"}`},
	{"the next format", `{"format":2,"serverURL":"marker"}`},
	{"a format that is no number", `{"format":"marker"}`},
	{"a format beyond all numbers", `{"format":1e400}`},
	{"an unknown grant", `{"format":1,"grant":"marker"}`},
	{"an unknown refresh state", `{"format":1,"refresh":"marker"}`},
	{"a time that is none", `{"format":1,"issuedAt":"marker"}`},
	{"a token that expires when it is issued", `{"format":1,"grant":"Password","issuedAt":"2026-03-02T12:00:00Z","expiresAt":"2026-03-02T12:00:00Z"}`},
	{"a token without its times", `{"format":1,"grant":"Password","serverURL":"marker"}`},
	{"a negative count of refreshes since login", `{"format":1,"refreshesSinceLogin":-1}`},
	{"a negative count of logins", `{"format":1,"logins":-1}`},
	{"a negative count of refreshes", `{"format":1,"refreshes":-1}`},
	{"a count beyond all counting", `{"format":1,"logins":9223372036854775808}`},
	{"a negative time step of a code", `{"format":1,"codeStep":-1}`},
	{"a former token that is none", `{"format":1,"former":"marker"}`},
	{"an end that is no time", `{"format":1,"endedAt":"marker"}`},
	{"an attempt that is none", `{"format":1,"attempt":"marker"}`},
}

func TestDecodeRefusesWhatIsNoRecord(t *testing.T) {
	for _, tt := range notRecords {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode(tt.text)
			if !errors.Is(err, ErrRecord) {
				t.Fatalf("got error %v, want ErrRecord", err)
			}
			if !reflect.DeepEqual(got, Record{}) {
				t.Errorf("got %+v beside the error, want the zero Record", got)
			}
			if strings.Contains(err.Error(), "arker") {
				t.Errorf("the error %q repeats what was stored", err)
			}
		})
	}
}

// A time that JSON cannot hold comes from an absurd lifetime; better an error than a record that is none.
func TestEncodeReportsATimeThatCannotBeWritten(t *testing.T) {
	r := stored1()
	r.ExpiresAt = noon.AddDate(9000, 0, 0)
	if text, err := r.Encode(); err == nil {
		t.Errorf("encoded the year 11026 as %s", text)
	}
}

func TestTokensOfAnObjectsLifeAreNumbered(t *testing.T) {
	none, first, renewed, second := Record{}, Record{Grant: Password, Logins: 1},
		Record{Grant: RefreshToken, Logins: 1, Refreshes: 1}, Record{Grant: Password, Logins: 2, Refreshes: 1}
	for i, r := range []Record{none, first, renewed, second} {
		if got := r.Sequence(); got != int64(i) {
			t.Errorf("grant %d has number %d", i, got)
		}
		if got, want := r.HasToken(), i > 0; got != want {
			t.Errorf("after %d grants: HasToken is %t", i, got)
		}
	}
}

// aStoredTime can be written: RFC 3339 knows four digits of a year.
func aStoredTime() *rapid.Generator[time.Time] {
	year9999 := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	return rapid.OneOf(
		rapid.Just(time.Time{}),
		rapid.Custom(func(t *rapid.T) time.Time {
			s, ns := rapid.Int64Range(time.Time{}.Unix(), year9999).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")
			return time.Unix(s, ns).UTC()
		}),
	)
}

func anIdentity() *rapid.Generator[Identity] {
	return rapid.Custom(func(t *rapid.T) Identity {
		return Identity{Source: rapid.String().Draw(t, "source"), Version: rapid.String().Draw(t, "version")}
	})
}

// aRecord is one that can be true.
func aRecord() *rapid.Generator[Record] {
	count := rapid.Int64Range(0, math.MaxInt64)
	return rapid.Custom(func(t *rapid.T) Record {
		r := Record{
			Identity:            anIdentity().Draw(t, "identity"),
			ServerURL:           rapid.String().Draw(t, "serverURL"),
			Grant:               rapid.SampledFrom([]GrantType{"", Password, RefreshToken}).Draw(t, "grant"),
			IssuedAt:            aStoredTime().Draw(t, "issuedAt"),
			ExpiresAt:           aStoredTime().Draw(t, "expiresAt"),
			Refresh:             rapid.SampledFrom([]RefreshState{"", Held, Claimed, NotIssued, LimitReached}).Draw(t, "refresh"),
			EndedAt:             aStoredTime().Draw(t, "endedAt"),
			RefreshExpiresAt:    aStoredTime().Draw(t, "refreshExpiresAt"),
			RefreshesSinceLogin: count.Draw(t, "refreshesSinceLogin"),
			Logins:              count.Draw(t, "logins"),
			Refreshes:           count.Draw(t, "refreshes"),
			LastLoginAt:         aStoredTime().Draw(t, "lastLoginAt"),
			LastRefreshAt:       aStoredTime().Draw(t, "lastRefreshAt"),
			CodeStep:            count.Draw(t, "codeStep"),
		}
		if r.ExpiresAt.Before(r.IssuedAt) {
			r.IssuedAt, r.ExpiresAt = r.ExpiresAt, r.IssuedAt
		}
		if r.ExpiresAt.Equal(r.IssuedAt) {
			r.Grant = ""
		}
		if rapid.Bool().Draw(t, "replaced another") {
			r.Former = &Former{ServerURL: rapid.String().Draw(t, "former server"), ExpiresAt: aStoredTime().Draw(t, "former expires")}
		}
		if rapid.Bool().Draw(t, "attempted") {
			r.Attempt = &Attempt{
				Identity: anIdentity().Draw(t, "attempted identity"), Account: rapid.String().Draw(t, "account"),
				At: aStoredTime().Draw(t, "attempted at"), Refused: rapid.Bool().Draw(t, "refused"),
				Bad: rapid.IntRange(0, 100).Draw(t, "bad"),
			}
		}
		return r
	})
}

func TestRecordSurvivesBeingStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := aRecord().Draw(t, "record")
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(text)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("\nstored %+v\n   got %+v\n    as %s", r, got, text)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	for _, tt := range notRecords {
		f.Add(tt.text)
	}
	f.Add(format1)
	f.Add(`{"format":1}`)
	f.Add(`{"format":1,"account":"9a0e","token":"5f1c","codeStep":59147280,"handled":"now"}`)
	f.Add(`{"format":1,"former":{"serverURL":"https://vault.example.com","expiresAt":"2026-03-02T12:00:00Z"}}`)
	f.Add(`{"format":1,"former":{}}`)
	f.Add(`{"FORMAT":1,"format":1,"serverURL":"\ud800\u0000<&>"}`)
	f.Add(`{"format":1,"endedAt":"9999-12-31T23:59:59.999999999-12:00"}`)
	f.Add(`{"format":1,"attempt":{},"issuedAt":"0000-01-01T00:00:00.000000001+23:59"}`)
	f.Add(`{"format":1,"grant":"Password","issuedAt":"0001-01-01T00:00:00Z","expiresAt":"9999-12-31T23:59:59-23:59"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Decode(text)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatalf("got error %v, want ErrRecord", err)
			}
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		same, err := Decode(again)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v: %s", err, again)
		}
		// Compared as text: a time of no offset may stand for the local zone or for UTC, and is the same time.
		if then, err := same.Encode(); err != nil || then != again {
			t.Fatalf("\nfirst %s\n then %s, %v", again, then, err)
		}
	})
}
