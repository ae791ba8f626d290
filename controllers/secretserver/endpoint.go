package secretserver

import (
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"strings"
	"time"
)

// defaultTimeout applies when an Endpoint states none.
const defaultTimeout = 30 * time.Second

// Endpoint is where a Secret Server is and how to reach it.
type Endpoint struct {
	// URL is the base URL, virtual directory included: https, a host, and no user info, query or fragment. Trailing slashes
	// make no difference.
	URL string
	// ServerName is the host name that the certificate must be for; empty means the URL's.
	ServerName string
	// CA holds certificates in PEM that are trusted besides the system's. Nil means the system's alone; empty but not nil
	// is an error, as it is likely somebody's mistake.
	CA []byte
	// Timeout bounds one request, from looking up the name to the last byte of the answer. Zero or less means 30 seconds.
	Timeout time.Duration
}

// base is the URL without its trailing slashes.
func (e Endpoint) base() (*url.URL, bool) {
	base, err := url.Parse(strings.TrimRight(e.URL, "/"))
	if err != nil || base.Scheme != "https" || base.Hostname() == "" || base.User != nil || strings.ContainsAny(e.URL, "?#") {
		return nil, false
	}
	return base, true
}

// authorities are the certificates in a PEM text. The cause is zero if, and only if, there is one at least: a bundle with
// a certificate that cannot be read is as good as the rest of it.
func authorities(text []byte) ([]*x509.Certificate, Cause) {
	var found []*x509.Certificate
	cause := NotPEM
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			cause = max(cause, NoCertificate)
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			cause = max(cause, MalformedCertificate)
			continue
		}
		found = append(found, certificate)
	}
	if len(found) > 0 {
		return found, 0
	}
	return nil, cause
}
