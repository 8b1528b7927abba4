package repairer

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/http"
)

type identityKey struct{}

// Identified lets the API know by which certificate a client proves who it is.
func Identified(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			name := "certificate " + certificateName(r.TLS.PeerCertificates[0])
			r = r.WithContext(context.WithValue(r.Context(), identityKey{}, name))
		}
		h.ServeHTTP(w, r)
	})
}

// certificateName is what a certificate is made out to: a mail address, or the common name of its subject,
// or else its fingerprint.
func certificateName(c *x509.Certificate) string {
	switch {
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	}
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// identity is what proves who asks: the certificate, or where there is none what the client says about the
// user of its operating system. It may be empty.
func identity(ctx context.Context, osUser string) string {
	if name, ok := ctx.Value(identityKey{}).(string); ok {
		return name
	}
	if osUser == "" {
		return ""
	}
	return "user " + osUser
}
