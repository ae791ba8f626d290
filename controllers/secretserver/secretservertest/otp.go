package secretservertest

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- RFC 6238 prescribes it for one-time codes
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// otpStep is RFC 6238's time step in seconds.
const otpStep = 30

// decodeSeed reads a base32 TOTP seed as authenticator apps show it: any case,
// blanks and padding allowed.
func decodeSeed(seed string) ([]byte, error) {
	plain := strings.ToUpper(strings.TrimRight(strings.ReplaceAll(seed, " ", ""), "="))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(plain)
	if err != nil || len(key) == 0 {
		return nil, errors.New("OTP seed is not base32") // the seed itself is a secret
	}
	return key, nil
}

// otpCode is the six-digit code of RFC 6238 for one time step.
func otpCode(key []byte, step int64) string {
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) // #nosec G115 -- steps after 1970 are positive
	mac := hmac.New(sha1.New, key)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	value := binary.BigEndian.Uint32(sum[at:at+4]) & 0x7fffffff
	return fmt.Sprintf("%06d", value%1_000_000)
}

// otpMatch finds the time step whose code this is, among the present one and its
// neighbours: a client's clock may be half a minute off.
func otpMatch(key []byte, code string, now time.Time) (step int64, ok bool) {
	present := now.Unix() / otpStep
	for step := present - 1; step <= present+1; step++ {
		if code == otpCode(key, step) {
			return step, true
		}
	}
	return 0, false
}
