package daemon

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"glia/config/secret"
)

// TLS is the certificate, the key and the trusted authorities of one program. Both sides of every
// connection present a certificate of the authorities, valid for both server and client use. Changed
// files are taken up at the next handshake; while they can not be used, the last good ones are, and
// that is logged once. It is safe for concurrent use.
type TLS struct {
	cert, ca string
	key      secret.Ref
	log      *slog.Logger
	current  atomic.Pointer[material]
	refused  atomic.Pointer[stamps] // of the files that could not be used last; nil when all is well
}

// material is what the files held at one time.
type material struct {
	stamps stamps
	cert   tls.Certificate // with Leaf
	roots  *x509.CertPool
}

// stamps tell one state of the three files from another. Of a key that is in no file, what it is tells that.
type stamps struct {
	files [3]os.FileInfo // none of such a key
	key   [sha256.Size]byte
}

// LoadTLS reads the PEM files and the key. Its file must not be open to everybody.
func LoadTLS(cert string, key secret.Ref, ca string, log *slog.Logger) (*TLS, error) {
	t := &TLS{cert: cert, key: key, ca: ca, log: log}
	st, err := t.stat()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	m, err := t.read(st)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	t.current.Store(m)
	return t, nil
}

// Server is the configuration for serving.
func (t *TLS) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := t.material()
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				Certificates: []tls.Certificate{m.cert},
				ClientAuth:   tls.RequireAndVerifyClientCert,
				ClientCAs:    m.roots,
				NextProtos:   []string{"h2", "http/1.1"},
				// A resumed session would not be checked against changed authorities.
				SessionTicketsDisabled: true,
			}, nil
		},
	}
}

// Client is the configuration for one connection to the server of that name, as the files are now.
func (t *TLS) Client(serverName string) *tls.Config {
	m := t.material()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{m.cert},
		RootCAs:      m.roots,
		ServerName:   serverName,
		NextProtos:   []string{"h2", "http/1.1"},
	}
}

// Fingerprint is that of the program's own certificate, as it is now.
func (t *TLS) Fingerprint() string { return Fingerprint(t.material().cert.Leaf) }

// NotAfter is when the program's own certificate ends, as it is now.
func (t *TLS) NotAfter() time.Time { return t.material().cert.Leaf.NotAfter }

// Fingerprint is the SHA-256 of a certificate in hexadecimal, lower case.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// material is what the files hold now, or what they held when they were last good.
func (t *TLS) material() *material {
	last := t.current.Load()
	st, err := t.stat()
	if err == nil && st.same(&last.stamps) {
		t.refused.Store(nil)
		return last
	}
	var m *material
	if err == nil {
		m, err = t.read(st)
	}
	if err != nil {
		// Two handshakes at once may both say so, which does no harm.
		if was := t.refused.Swap(&st); was == nil || !st.same(was) {
			t.log.Error("changed TLS files can not be used, the last good ones are", "err", err)
		}
		return last
	}
	t.refused.Store(nil)
	t.current.Store(m)
	t.log.Info("TLS files changed", "fingerprint", Fingerprint(m.cert.Leaf), "not_after", m.cert.Leaf.NotAfter)
	return m
}

func (t *TLS) stat() (st stamps, err error) {
	names := []string{t.cert, "", t.ca}
	if path, ok := t.key.Path(); ok {
		names[1] = path
	} else {
		key, kerr := t.key.Read()
		err, st.key = kerr, sha256.Sum256([]byte(key.Reveal()))
	}
	for i, name := range names {
		if name == "" {
			continue
		}
		info, serr := os.Stat(name)
		if serr != nil {
			err = errors.Join(err, serr)
			continue
		}
		st.files[i] = info
	}
	return st, err
}

func (t *TLS) read(st stamps) (*material, error) {
	key, err := t.key.Read()
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	certPEM, err := os.ReadFile(t.cert)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, []byte(key.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", t.cert, t.key, err)
	}
	pem, err := os.ReadFile(t.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authority %s: no PEM certificate in it", t.ca)
	}
	return &material{st, cert, roots}, nil
}

func (s *stamps) same(o *stamps) bool {
	if s.key != o.key {
		return false
	}
	for i, a := range s.files {
		b := o.files[i]
		if (a == nil) != (b == nil) {
			return false
		}
		if a != nil && (!os.SameFile(a, b) || !a.ModTime().Equal(b.ModTime()) || a.Size() != b.Size() || a.Mode() != b.Mode()) {
			return false
		}
	}
	return true
}
