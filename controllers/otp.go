package controllers

import (
	"encoding/base32"
	"fmt"
	"math"
	"strings"
	"unicode"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// minSeed is the least that a seed must have, in bytes: 80 bits, as many services issue them. RFC 4226 asks for 128.
const minSeed = 10

// readSeed reads an OTP seed as people store it, and returns it in base32 without padding, or else what is wrong with
// it. Nothing of the seed is ever part of that.
func readSeed(text []byte) (seed, problem string) {
	seed = strings.Map(func(r rune) rune {
		if r == '-' || unicode.IsSpace(r) {
			return -1
		}
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, string(text))
	if strings.HasPrefix(seed, "OTPAUTH:") {
		return "", "holds an otpauth:// URI and not the seed alone. Set it to the value after secret= in that URI."
	}
	seed = strings.TrimRight(seed, "=")
	// A length of 1, 3 or 6 over a multiple of 8 ends within a byte, which the decoder does not mind.
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(seed)
	switch {
	case seed == "":
		return "", "is empty. Set it to the seed of the account's one-time codes."
	case err != nil || base32.StdEncoding.WithPadding(base32.NoPadding).EncodedLen(len(key)) != len(seed):
		return "", "is no OTP seed: that is base32, the letters A to Z and the digits 2 to 7, in whole. Copy it again."
	case len(key) < minSeed:
		return "", fmt.Sprintf("is too short for an OTP seed, which has %d characters or more. Copy all of it.",
			base32.StdEncoding.WithPadding(base32.NoPadding).EncodedLen(minSeed))
	}
	return seed, ""
}

// codeOf is the one-time code of a seed that readSeed has returned, for one time step: RFC 6238 with six digits and
// SHA-1, which is what Secret Server and the usual apps have.
func codeOf(seed string, step int64) (string, error) {
	if step < 0 || step > math.MaxInt64/2 {
		return "", fmt.Errorf("no one-time code for time step %d", step)
	}
	code, err := hotp.GenerateCodeCustom(seed, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return "", fmt.Errorf("make a one-time code: %w", err) // the library's errors hold nothing of the seed
	}
	return code, nil
}
