package controllers

import (
	"encoding/hex"
	"testing"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

// What earlier releases stored must go on matching, or every session logs in again after an update.
func TestDigestsWithoutAnOTPSeedAreThoseOfEarlierReleases(t *testing.T) {
	c := secretserver.Credentials{Username: "billing", Password: "p", Domain: "CORP"}
	salt := []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f")
	digest, err := hex.DecodeString("6d3f1e3aa3afa26cfc82bf3178680345ebd6c926fed603be07aeffa4119b8562")
	if err != nil {
		t.Fatal(err)
	}
	if !fingerprint(append(salt, digest...)).matches(vaultURL, c) {
		t.Error("the fingerprint of a login is another one")
	}
	s := &api.SecretServerSession{Spec: api.SecretServerSessionSpec{
		Endpoint: api.Endpoint{URL: vaultURL + "/"},
		Credentials: api.Credentials{
			SecretRef: api.SecretReference{Name: "account"}, UsernameKey: "username", PasswordKey: "password", Domain: "CORP",
		},
	}}
	const source = "29d725420ee5b1ff"
	if got := sourceOf(s); got != source {
		t.Errorf("the source of a session is %s, want %s", got, source)
	}
	s.Spec.Credentials.OTPSeedKey = "otp"
	withSeed := sourceOf(s)
	s.Spec.Credentials.OTPSeedKey = "otp2"
	if withSeed == source || sourceOf(s) == withSeed {
		t.Error("another key of the OTP seed goes unnoticed")
	}
}

func TestASeedIsPartOfTheFingerprintAndItsSpellingIsNot(t *testing.T) {
	login := func(text string) secretserver.Credentials {
		seed, problem := readSeed([]byte(text))
		if problem != "" {
			t.Fatal(problem)
		}
		return secretserver.Credentials{Username: "billing", Password: "p", OTPSeed: seed}
	}
	f := fingerprintOf(vaultURL, login("GEZDGNBVGY3TQOJQ"))
	if !f.matches(vaultURL, login("gezd gnbv gy3t qojq\n")) {
		t.Error("the same seed in another spelling is another login")
	}
	if f.matches(vaultURL, login("GEZDGNBVGY3TQOJR")) {
		t.Error("a corrected seed is the same login: it would not be tried")
	}
	if f.matches(vaultURL, credentialsWith("p")) {
		t.Error("a login without a seed is the same")
	}
}
