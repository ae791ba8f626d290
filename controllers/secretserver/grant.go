package secretserver

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// Grant is a successful answer of the token endpoint. Like Credentials it shows nothing when printed.
type Grant struct {
	// AccessToken is 4 bytes to 64 KiB of visible ASCII.
	AccessToken string
	// RefreshToken is empty when none was issued, or none that could ever be sent back. A refresh token that is no visible
	// ASCII, or longer than 64 KiB, counts as none: it is useless, and the access token that came with it is not.
	RefreshToken string
	// TokenType is as the server wrote it: "bearer" in any case, or empty.
	TokenType string
	// ExpiresIn is the lifetime of the access token in whole seconds, from one second to 365 days, counted from when the server
	// issued it. Zero means that the server stated none that can be used.
	ExpiresIn time.Duration
}

// String hides the grant.
func (Grant) String() string { return redacted }

// GoString hides the grant from %#v.
func (Grant) GoString() string { return redacted }

// Format hides the grant from every other verb of fmt.
func (Grant) Format(state fmt.State, _ rune) { printRedacted(state) }

// LogValue hides the grant from slog.
func (Grant) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the grant from encoding/json.
func (Grant) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
