package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"time"
)

// validity is that of all certificates: longer than a cluster should run.
const validity = 30 * 24 * time.Hour

// An authority issues the certificates of one cluster: those of users and that of
// the API server.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	crt  []byte // cert in PEM
}

func newAuthority() (*authority, error) {
	key, _, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "controlplane"},
		IsCA:     true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	cert, crt, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, crt: crt}, nil
}

// issue returns a certificate and its new private key, both in PEM.
func (a *authority) issue(template *x509.Certificate) (crt, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	_, crt, err = sign(template, a.cert, key, a.key)
	return crt, keyPEM, err
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, []byte, error) {
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Minute), now.Add(validity)
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// newKey returns a private key, and the same in PEM: in the one form from which
// kube-apiserver also reads the public key.
func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}
