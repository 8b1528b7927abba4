package cli

import (
	"crypto/x509"
	"io"
	"strings"
	"time"

	"glia/internal/access"
	"glia/internal/daemon"
)

// cert is one certificate as it is shown.
type cert struct {
	File        string    `json:"file"`
	Holder      string    `json:"holder"`
	Names       []string  `json:"names,omitempty"` // under which it is known, the holder's first
	Authority   bool      `json:"authority,omitempty"`
	Role        string    `json:"role,omitempty"` // that it carries; absent: none
	Issuer      string    `json:"issuer"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Expired     bool      `json:"expired"`
	Fingerprint string    `json:"fingerprint"` // SHA-256, hexadecimal
}

func certFrom(file string, c *x509.Certificate, now time.Time) cert {
	who := access.OfCertificate(c)
	return cert{
		File: file, Holder: who.Label(), Names: who.Names(), Authority: c.IsCA, Role: string(who.Carries()), Issuer: c.Issuer.CommonName,
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Expired: now.After(c.NotAfter), Fingerprint: daemon.Fingerprint(c),
	}
}

func (c cert) write(w io.Writer, now time.Time) {
	role := c.Role
	switch {
	case c.Authority:
		role = "it is an authority, and signs for others"
	case role == "":
		role = "it carries none; [access] of each program says which it has there"
	default:
		role += ", where [access] of a program says no other one"
	}
	valid := stamp(c.NotAfter)
	switch {
	case c.Expired:
		valid += ", EXPIRED " + span(now.Sub(c.NotAfter)) + " ago"
	case now.Before(c.NotBefore):
		valid += ", NOT YET valid: begins in " + span(c.NotBefore.Sub(now))
	default:
		valid += ", for " + span(c.NotAfter.Sub(now))
	}
	issuer := c.Issuer
	if c.Authority && c.Issuer == c.Holder {
		issuer = "itself"
	}
	facts(w, [2]string{"file", c.File}, [2]string{"holder", c.Holder}, [2]string{"names", strings.Join(c.Names, ", ")}, [2]string{"role", role},
		[2]string{"valid until", valid}, [2]string{"signed by", issuer}, [2]string{"fingerprint", c.Fingerprint})
}
