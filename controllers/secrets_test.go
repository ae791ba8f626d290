package controllers

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
	"tokensync.dev/secret-server-operator/controllers/session"
)

// stateSecretWith is a state Secret with some record and data.
func stateSecretWith(record string, access, refresh, claimed, made, attempted []byte) *corev1.Secret {
	s := &api.SecretServerSession{ObjectMeta: metav1.ObjectMeta{Namespace: "payments", Name: "billing", UID: "uid"}}
	secret := newStateSecret(s)
	secret.Annotations = map[string]string{annotationRecord: record}
	secret.Data = map[string][]byte{
		keyAccessToken: access, keyRefreshToken: refresh, keyClaimedRefreshToken: claimed, keyFingerprint: made, keyAttempted: attempted,
	}
	return secret
}

// readState and writeState are those of one that remembers nothing.
func readState(secret *corev1.Secret) (stored, error) { return (*Records)(nil).readState(secret) }

func writeState(secret *corev1.Secret, s stored) error { return (*Records)(nil).writeState(secret, s) }

// healthyState is what a session with everything in it has stored.
func healthyState() stored {
	login := secretserver.Credentials{Username: "billing", Password: "p"}
	return stored{
		Record: session.Record{
			Identity: session.Identity{Source: "5f1c", Version: "uid-1/42"}, Account: accountOf(vaultURL, login),
			Token: shortDigest("AgAccess"), ServerURL: vaultURL, Grant: session.Password, IssuedAt: noon, ExpiresAt: noon.Add(20 * time.Minute),
			Refresh: session.Held, RefreshExpiresAt: noon.Add(35 * time.Minute), Logins: 1, LastLoginAt: noon, CodeStep: session.CodeStep(noon),
			Attempt: &session.Attempt{Account: "9a0e", At: noon, Refused: true, Bad: 2},
		},
		AccessToken: "AgAccess", RefreshToken: "Refresh",
		Fingerprint: fingerprintOf(vaultURL, login), Attempted: fingerprintOf(vaultURL, credentialsWith("q")),
	}
}

func TestStateSurvivesBeingStored(t *testing.T) {
	want := healthyState()
	secret := stateSecretWith("", nil, nil, []byte("left by an earlier claim"), nil, nil)
	if err := writeState(secret, want); err != nil {
		t.Fatal(err)
	}
	got, err := readState(secret)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\nstored %+v\n   got %+v", want.Record, got.Record)
	}
	if _, ok := secret.Data[keyClaimedRefreshToken]; ok {
		t.Error("a claimed refresh token is left behind")
	}
}

// Times of the operator's own zone would not fit the short form in which records are cached.
func TestARecordIsStoredInUTCWhereverTheOperatorRuns(t *testing.T) {
	issued := noon.In(time.FixedZone("CET", 3600))
	grant := secretserver.Grant{AccessToken: "AgNext", RefreshToken: "Next", ExpiresIn: 20 * time.Minute}
	before := healthyState()
	before.Attempt = nil
	for name, next := range map[string]stored{
		"a login":   before.loggedIn(grant, issued, before.Identity, vaultURL, &login{account: before.Account}),
		"a refresh": before.refreshed(grant, issued),
	} {
		text, err := next.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if kept := session.Keep(text); len(kept) > len(text)/2 {
			t.Errorf("%s: %d bytes are kept of %d: %s", name, len(kept), len(text), text)
		}
	}
}

// FuzzReadState reads a state Secret as a whole: whatever stands in it, what is read can be true, is stored as it was
// read, and an error tells nothing of what it was about.
func FuzzReadState(f *testing.F) {
	healthy := stateSecretWith("", nil, nil, nil, nil, nil)
	if err := writeState(healthy, healthyState()); err != nil {
		f.Fatal(err)
	}
	record := healthy.Annotations[annotationRecord]
	access, refresh, made := healthy.Data[keyAccessToken], healthy.Data[keyRefreshToken], healthy.Data[keyFingerprint]
	f.Add(record, access, refresh, []byte(nil), made, healthy.Data[keyAttempted])
	f.Add(record, []byte("AgAnother"), refresh, []byte(nil), made, []byte(nil))
	f.Add(record, access, []byte(nil), refresh, made, []byte(nil))
	f.Add(strings.Replace(record, `"Held"`, `"Claimed"`, 1), access, []byte(nil), refresh, made[:7], []byte("\x00"))
	f.Add(record[:len(record)-1], access, refresh, []byte(nil), []byte(nil), []byte(nil))
	f.Add(`{"format":1}`, []byte(nil), []byte(nil), []byte(nil), []byte(nil), []byte(nil))
	f.Add(`{"format":2}`, access, refresh, refresh, made, made)
	f.Add("", []byte(nil), []byte(nil), []byte(nil), []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, record string, access, refresh, claimed, made, attempted []byte) {
		secret := stateSecretWith(record, access, refresh, claimed, made, attempted)
		s, err := readState(secret)
		if err != nil {
			if !errors.Is(err, errState) {
				t.Fatalf("got error %v, want errState", err)
			}
			for _, secret := range [][]byte{access, refresh, claimed} {
				if len(secret) > 16 && bytes.Contains([]byte(err.Error()), secret) {
					t.Fatalf("the error tells a token: %v", err)
				}
			}
			return
		}
		if s.HasToken() && shortDigest(s.AccessToken) != s.Token {
			t.Fatal("an access token is believed that was not stored with the record")
		}
		if s.Refresh == session.Held && s.RefreshToken == "" {
			t.Fatal("a refresh token is held, and there is none")
		}
		s.Fingerprint.matches(vaultURL, credentialsWith("p"))
		if got := accountsIn(session.Keep(secret.Annotations[annotationRecord])); len(got) > 2 {
			t.Fatalf("the record speaks of %d accounts", len(got))
		}
		again := stateSecretWith("", nil, nil, nil, nil, nil)
		if err := writeState(again, s); err != nil {
			t.Fatalf("what was read cannot be stored: %v", err)
		}
		same, err := readState(again)
		if err != nil {
			t.Fatalf("what was stored cannot be read: %v", err)
		}
		if !sameState(same, s) {
			t.Fatalf("\nfirst %+v\n then %+v", s.Record, same.Record)
		}
	})
}

// sameState compares two states; empty and absent data are the same.
func sameState(a, b stored) bool {
	if !bytes.Equal(a.Fingerprint, b.Fingerprint) || !bytes.Equal(a.Attempted, b.Attempted) {
		return false
	}
	a.Fingerprint, a.Attempted, b.Fingerprint, b.Attempted = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// FuzzReadSeed reads anything as an OTP seed: it is refused without being shown, or codes can be made of it.
func FuzzReadSeed(f *testing.F) {
	for _, text := range []string{
		"", rfcSeed, "gezd gnbv gy3t qojq", "GEZD-GNBV-GY3T-QOJQ==", "otpauth://totp/x?secret=" + rfcSeed, "GEZDGNBVGY3TQOJı", "\xff=", "========",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		seed, problem := readSeed(text)
		if (seed == "") == (problem == "") {
			t.Fatalf("a seed of %d characters and problem %q", len(seed), problem)
		}
		if seed == "" {
			if part := strings.TrimSpace(string(text)); len(part) > 16 && strings.Contains(problem, part[:12]) {
				t.Fatalf("the problem shows the seed: %s", problem)
			}
			return
		}
		code, err := codeOf(seed, 1)
		if err != nil || len(code) != 6 || strings.Trim(code, "0123456789") != "" {
			t.Fatalf("no code of six digits: %q, %v", code, err)
		}
		if again, problem := readSeed([]byte(strings.ToLower(seed) + "\n")); again != seed {
			t.Fatalf("the seed as it was read is read otherwise: %s", problem)
		}
	})
}
