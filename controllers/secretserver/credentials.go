package secretserver

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// redacted is printed in place of every value that holds a secret.
const redacted = "[redacted]"

// Credentials are what a password grant is made with. They are sent as they are: nothing is trimmed or checked.
//
// Printed by fmt, slog or encoding/json they show nothing. There are two ways around that, as fmt calls no method there:
// Credentials in an unexported field of a struct that is printed whole, and the verb %p, which go vet finds.
type Credentials struct {
	Username string
	Password string
	// Domain is the Active Directory domain. Empty means a local account, and no domain is sent.
	Domain string
	// OTP is a one-time password. It goes into the OTP header, not into the form; empty means no header.
	OTP string
	// OTPSeed is what OTP was made from. It is never sent: it stands here to be compared, and to be hidden with the rest.
	OTPSeed string
}

// String hides the credentials.
func (Credentials) String() string { return redacted }

// GoString hides the credentials from %#v.
func (Credentials) GoString() string { return redacted }

// Format hides the credentials from every other verb of fmt.
func (Credentials) Format(state fmt.State, _ rune) { printRedacted(state) }

// LogValue hides the credentials from slog.
func (Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the credentials from encoding/json.
func (Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// printRedacted is Format for every verb, known or not.
func printRedacted(state fmt.State) {
	fmt.Fprint(state, redacted) //nolint:errcheck // fmt.State buffers, and Format has nobody to tell
}
