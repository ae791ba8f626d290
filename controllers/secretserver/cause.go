package secretserver

// Cause says what went wrong, for people. The set is closed: no text from outside is ever part of it.
type Cause uint8

// The causes.
const (
	// With NotSent: no connection.

	NameNotResolved    Cause = iota + 1 // DNS knows no such host, or gave no answer
	ConnectionRefused                   // nothing listens there
	Unreachable                         // no route to the host
	NotConnected                        // any other reason for having no connection
	ProxyUnreachable                    // no connection to the HTTP proxy
	ProxyRefused                        // the HTTP proxy would not connect
	UnknownAuthority                    // the certificate's issuer is not trusted
	WrongHostName                       // the certificate is for another host
	CertificateExpired                  // or not valid yet
	InvalidCertificate                  // any other fault of the certificate
	HandshakeFailed                     // TLS, for any other reason
	PlainHTTP                           // the server does not speak TLS on this port
	InvalidURL                          // the endpoint's URL is no https base URL
	Withheld                            // a connection was had, but not the permission: see [WithPermit]

	// With NotSent or Ambiguous.

	Canceled // the caller's context was
	TimedOut

	// With Ambiguous: no whole answer.

	ConnectionLost
	NotHTTP // the answer breaks the rules of HTTP, or its header breaks off

	// With Protocol: a whole answer, but none of Secret Server.

	Redirected
	AnswerTooLarge // above 1 MiB; 64 KiB to anything but a grant
	EmptyAnswer
	HTMLAnswer
	NotJSON       // or JSON, but not one object
	TruncatedJSON // the server itself sent too little
	NoAccessToken
	MalformedAccessToken // no string, spaces, control characters, not ASCII, below 4 bytes, above 64 KiB
	WrongTokenType
	NoMessage // in a 403 to an access token

	// With Refused, Throttled, Unavailable or Protocol.

	ErrorStatus // the status says it all

	// With InvalidCA.

	NotPEM
	NoCertificate        // PEM of something else
	MalformedCertificate // in every PEM block

	causes // how many there are, plus one
)

// String is a short English phrase which fits behind a colon.
func (c Cause) String() string {
	phrases := [causes]string{
		NameNotResolved:      "host name could not be resolved",
		ConnectionRefused:    "connection refused",
		Unreachable:          "host unreachable",
		NotConnected:         "no connection",
		ProxyUnreachable:     "proxy could not be reached",
		ProxyRefused:         "proxy refused to connect",
		UnknownAuthority:     "TLS certificate signed by an unknown authority",
		WrongHostName:        "TLS certificate is for another host name",
		CertificateExpired:   "TLS certificate expired or not yet valid",
		InvalidCertificate:   "TLS certificate not acceptable",
		HandshakeFailed:      "TLS handshake failed",
		PlainHTTP:            "plain HTTP instead of TLS",
		InvalidURL:           "not an https base URL",
		Withheld:             "withheld",
		Canceled:             "canceled",
		TimedOut:             "timed out",
		ConnectionLost:       "connection lost",
		NotHTTP:              "malformed or incomplete HTTP answer",
		Redirected:           "redirected",
		AnswerTooLarge:       "answer too large",
		EmptyAnswer:          "empty answer",
		HTMLAnswer:           "HTML instead of JSON",
		NotJSON:              "answer is not a JSON object",
		TruncatedJSON:        "truncated JSON",
		NoAccessToken:        "no access token in the answer",
		MalformedAccessToken: "malformed access token",
		WrongTokenType:       "token type is not bearer",
		NoMessage:            "no message in the answer",
		ErrorStatus:          "error status",
		NotPEM:               "not in PEM format",
		NoCertificate:        "no certificate in the PEM text",
		MalformedCertificate: "malformed certificate",
	}
	if int(c) < len(phrases) && phrases[c] != "" {
		return phrases[c]
	}
	return "unknown cause"
}
