package controllers

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"

	api "tokensync.dev/secret-server-operator/api/v1alpha1"
	"tokensync.dev/secret-server-operator/controllers/secretserver"
)

const saltSize = 16

// fingerprint tells whether two logins were made with the same endpoint, account, password and OTP seed, without holding them.
// It is salted, so that equal passwords do not show, and kept only where the tokens themselves are: in memory and in
// the state Secret's data.
type fingerprint []byte

// fingerprintOf salts and digests what a login is made with.
func fingerprintOf(serverURL string, c secretserver.Credentials) fingerprint {
	salt := make([]byte, saltSize, saltSize+sha256.Size)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	return append(salt, digestLogin(salt, serverURL, c)...)
}

// matches reports whether the fingerprint was taken of the same login. A malformed fingerprint matches nothing.
func (f fingerprint) matches(serverURL string, c secretserver.Credentials) bool {
	if len(f) != saltSize+sha256.Size {
		return false
	}
	return hmac.Equal(f[saltSize:], digestLogin(f[:saltSize], serverURL, c))
}

func digestLogin(salt []byte, serverURL string, c secretserver.Credentials) []byte {
	mac := hmac.New(sha256.New, salt)
	writeFields(mac, canonical(serverURL), c.Domain, c.Username, c.Password)
	if c.OTPSeed != "" { // without one it must stay what earlier releases stored
		writeFields(mac, c.OTPSeed)
	}
	return mac.Sum(nil)
}

// accountOf names the account that a login is made to, for the sessions that share it: a digest without the password.
func accountOf(serverURL string, c secretserver.Credentials) string {
	return shortDigest(canonical(serverURL), strings.ToLower(c.Domain), strings.ToLower(c.Username))
}

// sourceOf names the part of a session's identity that its spec decides.
func sourceOf(s *api.SecretServerSession) string {
	c := s.Spec.Credentials
	fields := []string{serverURL(s), c.Domain, c.SecretRef.Name, c.UsernameKey, c.PasswordKey}
	if c.OTPSeedKey != "" { // without one it must stay what earlier releases stored
		fields = append(fields, c.OTPSeedKey)
	}
	return shortDigest(fields...)
}

// serverURL is the session's base URL without trailing slashes.
func serverURL(s *api.SecretServerSession) string { return strings.TrimRight(s.Spec.Endpoint.URL, "/") }

// shortDigest is for telling apart, not for security: 64 bits in hexadecimal.
func shortDigest(fields ...string) string {
	h := sha256.New()
	writeFields(h, fields...)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// writeFields writes each field with its end marked, so that moving a boundary changes the digest.
func writeFields(h hash.Hash, fields ...string) {
	for _, field := range fields {
		_, _ = h.Write([]byte(field)) // it never returns an error
		_, _ = h.Write([]byte{0})
	}
}
