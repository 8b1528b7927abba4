// Package pki is a small certificate authority in a directory, for fleets that have no other one.
//
// It guarantees that no file is ever overwritten, that keys are readable by their owner only from the moment
// they exist, and that a certificate does not outlive its authority. It takes nothing back: a certificate
// counts until it expires, or until the authority is replaced.
//
// It fails with errors that name the file and what to do about it. A file that was made before a failure
// stays.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"glia/config"
	"glia/internal/access"
)

// The files of an authority in its directory.
const (
	CertFile = "ca.pem"
	KeyFile  = "ca.key"
)

// early is how far before its making a certificate is valid, for hosts whose clocks are behind.
const early = 5 * time.Minute

// Authority signs certificates.
type Authority struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Create makes a new authority in the directory, which is made if it does not exist, valid until then. The
// name stands in the certificate.
func Create(dir, name string, now, until time.Time) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-early), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := sign(tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := (Issued{cert, key}).Save(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile)); err != nil {
		return nil, err
	}
	return &Authority{cert, key}, nil
}

// Open reads the authority in a directory. A key that everybody on the host may read is refused.
func Open(dir string) (*Authority, error) {
	keyFile := filepath.Join(dir, KeyFile)
	info, err := os.Stat(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no authority in %s, whose key would be %s: make one with glia cert init", dir, keyFile)
	}
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("everybody on this host may access the key of the authority, %s (mode %04o): run chmod 0600 on it, and make a new authority if others may have read it", keyFile, mode)
	}
	cert, err := ReadCert(filepath.Join(dir, CertFile))
	if err != nil {
		return nil, err
	}
	der, err := readPEM(keyFile, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", keyFile, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key %s is of a kind that does not sign", keyFile)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("%s is not the certificate of an authority", filepath.Join(dir, CertFile))
	}
	if pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
		return nil, fmt.Errorf("%s and %s are no pair", filepath.Join(dir, CertFile), keyFile)
	}
	return &Authority{cert, key}, nil
}

// Request is what a certificate is asked for. It is good for servers and clients alike.
type Request struct {
	Name  string      // of its holder: a host or a person
	Names []string    // more of them: DNS names, addresses, and URIs such as spiffe://example.com/glia/repairer
	Role  config.Role // that it carries; empty for none
	Until time.Time   // cut to the end of the authority
}

// Issued is a certificate with its key.
type Issued struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Issue makes a key and signs a certificate for it. A name that can be reached, as host or address, is added
// to those that clients compare.
func (a *Authority) Issue(r Request, now time.Time) (Issued, error) {
	if now.After(a.Cert.NotAfter) {
		return Issued{}, fmt.Errorf("the authority has expired on %s: make a new one with glia cert init", a.Cert.NotAfter.Format(time.DateOnly))
	}
	if r.Until.After(a.Cert.NotAfter) {
		r.Until = a.Cert.NotAfter
	}
	if !r.Until.After(now) {
		return Issued{}, fmt.Errorf("the certificate would have expired on %s", r.Until.Format(time.DateOnly))
	}
	serial, err := newSerial()
	if err != nil {
		return Issued{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: r.Name}, NotBefore: now.Add(-early), NotAfter: r.Until,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range append([]string{r.Name}, r.Names...) {
		if err := addName(tmpl, name, name == r.Name); err != nil {
			return Issued{}, err
		}
	}
	if r.Role != "" {
		if err := addName(tmpl, access.RoleURI+string(r.Role), false); err != nil {
			return Issued{}, err
		}
	}
	key, err := newKey()
	if err != nil {
		return Issued{}, err
	}
	cert, err := sign(tmpl, a.Cert, key.Public(), a.key)
	if err != nil {
		return Issued{}, fmt.Errorf("sign the certificate of %s: %w", r.Name, err)
	}
	return Issued{cert, key}, nil
}

// Save writes the certificate and its key as PEM, and replaces no file. The key comes first, so that there is
// never a certificate without one.
func (i Issued) Save(certFile, keyFile string) error {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(certFile); err == nil {
		return exists(certFile)
	}
	if err := writeNew(keyFile, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}); err != nil {
		return err
	}
	return writeNew(certFile, 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: i.Cert.Raw})
}

// Pair is the certificate with its key, for connections.
func (i Issued) Pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.Cert.Raw}, PrivateKey: i.key, Leaf: i.Cert}
}

// ReadCert reads the first certificate of a PEM file.
func ReadCert(file string) (*x509.Certificate, error) {
	der, err := readPEM(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", file, err)
	}
	return cert, nil
}

// addName adds a name of the kind that it looks like. The first one may be no such name, but a person's.
func addName(c *x509.Certificate, name string, person bool) error {
	u, err := url.Parse(name)
	switch {
	case net.ParseIP(name) != nil:
		c.IPAddresses = append(c.IPAddresses, net.ParseIP(name))
	case isHost(name):
		c.DNSNames = append(c.DNSNames, name)
	case err == nil && u.Scheme != "" && (u.Host != "" || u.Opaque != ""):
		c.URIs = append(c.URIs, u)
	case !person:
		return fmt.Errorf("%q is no DNS name, address or URI", name)
	}
	return nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// newSerial is a random number of 127 bits: RFC 5280, 4.1.2.2, wants at most 20 octets, positive and unique.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}

func sign(tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
