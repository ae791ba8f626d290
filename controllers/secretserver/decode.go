package secretserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	// minAccessToken is the least that Delinea's own clients take for an access token, in bytes.
	minAccessToken = 4
	// maxToken bounds either token, in bytes. Real ones are a few hundred; two of this size still fit into one Kubernetes Secret.
	maxToken = 64 << 10
	// maxLifetime is the longest lifetime believed, as in Delinea's own clients. A server whose API session timeout is unlimited
	// may state anything.
	maxLifetime = 365 * 24 * time.Hour
)

// decodeGrant reads the body of a 200 answer. The cause is zero if, and only if, the grant can be used. Names of fields are
// matched exactly, unknown ones are passed over, and of a name that stands twice the last counts.
func decodeGrant(body []byte) (Grant, Cause) {
	fields, cause := decodeObject(body)
	if cause != 0 {
		return Grant{}, cause
	}
	accessToken, ok := decodeString(fields["access_token"])
	switch {
	case ok && accessToken == "":
		return Grant{}, NoAccessToken
	case !ok, len(accessToken) < minAccessToken, !sendable(accessToken):
		return Grant{}, MalformedAccessToken
	}
	tokenType, ok := decodeString(fields["token_type"])
	if !ok || tokenType != "" && !strings.EqualFold(tokenType, "bearer") {
		return Grant{}, WrongTokenType
	}
	refreshToken, ok := decodeString(fields["refresh_token"])
	if !ok || !sendable(refreshToken) {
		refreshToken = ""
	}
	return Grant{
		AccessToken:  accessToken,
		RefreshToken: refreshToken,
		TokenType:    tokenType,
		ExpiresIn:    decodeLifetime(fields["expires_in"]),
	}, 0
}

// decodeObject reads exactly one JSON object, which a byte order mark may precede.
func decodeObject(body []byte) (map[string]json.RawMessage, Cause) {
	const blanks = " \t\r\n" // of JSON (RFC 8259), which has fewer of them than bytes.TrimSpace takes
	text := bytes.Trim(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), blanks)
	if bytes.HasPrefix(text, []byte("<")) {
		return nil, HTMLAnswer
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	var fields map[string]json.RawMessage
	err := decoder.Decode(&fields)
	switch {
	case errors.Is(err, io.EOF):
		return nil, EmptyAnswer
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, TruncatedJSON
	case err != nil, fields == nil: // null
		return nil, NotJSON
	}
	if _, err = decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, NotJSON
	}
	return fields, 0
}

// decodeString reads a JSON string. Absent and null are the empty string; anything else is not ok.
func decodeString(raw json.RawMessage) (text string, ok bool) {
	if raw == nil {
		return "", true
	}
	err := json.Unmarshal(raw, &text)
	return text, err == nil
}

// sendable reports whether a token consists of the visible ASCII that RFC 6749, appendix A, makes tokens of, without the
// space that no Authorization header could carry, and is not too long.
func sendable(token string) bool {
	return len(token) <= maxToken && strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// decodeLifetime reads seconds from a number, which is what servers send, or a numeric string, which is what the published
// specification says. A fraction is dropped: rather a token renewed early than late. Zero means no usable lifetime.
func decodeLifetime(raw json.RawMessage) time.Duration {
	text, ok := decodeString(raw)
	if !ok {
		text = string(raw)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err == nil && seconds >= 1 && seconds <= maxLifetime.Seconds() {
		return time.Duration(seconds) * time.Second
	}
	return 0
}
