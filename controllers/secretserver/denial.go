package secretserver

import (
	"net/http"
	"strings"
)

// deadMessage is what Secret Server says, in the message of a 403, of a token that expired or was revoked. Every other 403 is
// about rights, and the status is the same, so this one text is part of the protocol: Delinea documents it as such (repository
// DelineaXPM/delinea-tools, docs/api-contracts.md, "Authenticated request recovery") and tests it against live servers. A full stop
// follows there, which is not relied on here.
const deadMessage = "Authentication failed or expired token"

// dead reports whether the answer says that the access token is dead. The cause is not zero if that cannot be told.
func (r reply) dead() (dead bool, cause Cause) {
	switch r.StatusCode {
	case http.StatusUnauthorized:
		return true, 0
	case http.StatusForbidden:
		return decodeDenial(r.text)
	default:
		return false, 0
	}
}

// decodeDenial reads the body of a 403, and reports whether it is about a dead token and not about rights. The cause is zero if, and
// only if, it is Secret Server that speaks, whose errors are objects with a message: a 403 may also come from something in
// between, and says nothing of the token then.
func decodeDenial(body []byte) (dead bool, cause Cause) {
	fields, cause := decodeObject(body)
	if cause != 0 {
		return false, cause
	}
	text, ok := decodeString(fields["message"])
	message := strings.TrimSpace(text)
	if !ok || message == "" {
		return false, NoMessage
	}
	return strings.TrimSuffix(message, ".") == deadMessage, 0
}
