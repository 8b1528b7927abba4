package pki_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/config"
	"glia/internal/access"
	"glia/internal/pki"
)

var now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func create(t *testing.T) (dir string, ca *pki.Authority) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "ca")
	ca, err := pki.Create(dir, "authority", now, now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return dir, ca
}

func TestAuthority_IssuesWhatServersAndClientsTake(t *testing.T) {
	t.Parallel()
	dir, _ := create(t)
	ca, err := pki.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	i, err := ca.Issue(pki.Request{Name: "node-1", Names: []string{"10.0.0.1", "::1", "node-1.example.com", "spiffe://example.com/glia"}, Role: config.RoleRead, Until: now.AddDate(9, 0, 0)}, now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	for _, name := range []string{"node-1", "node-1.example.com", "10.0.0.1", "::1"} {
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			o := x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{use}, CurrentTime: now}
			if _, err := i.Cert.Verify(o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if !i.Cert.NotAfter.Equal(ca.Cert.NotAfter) {
		t.Errorf("valid until %s, and the authority until %s", i.Cert.NotAfter, ca.Cert.NotAfter)
	}
	if who := access.OfCertificate(i.Cert); who.Carries() != config.RoleRead || who.Label() != "node-1" {
		t.Errorf("it is of %s with the role %q", who, who.Carries())
	}
	// What was issued signs nothing itself.
	if i.Cert.IsCA || !ca.Cert.MaxPathLenZero {
		t.Error("it could sign others")
	}
	if _, err := ca.Issue(pki.Request{Name: "late", Until: now.AddDate(3, 0, 0)}, now.AddDate(2, 0, 0)); err == nil || !strings.Contains(err.Error(), "the authority has expired on 2027-03-01") {
		t.Errorf("got %v", err)
	}
	if _, err := ca.Issue(pki.Request{Name: "late", Until: now.AddDate(0, 0, -1)}, now); err == nil || !strings.Contains(err.Error(), "would have expired") {
		t.Errorf("got %v", err)
	}
}

func TestOpen_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		want  string
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"no key", func(d string) error { return os.Remove(filepath.Join(d, pki.KeyFile)) }, "make one with glia cert init"},
		{"no certificate", func(d string) error { return os.Remove(filepath.Join(d, pki.CertFile)) }, "no such file"},
		{"open to others", func(d string) error { return os.Chmod(filepath.Join(d, pki.KeyFile), 0o604) }, "(mode 0604)"},
		{"no PEM", func(d string) error { return os.WriteFile(filepath.Join(d, pki.KeyFile), []byte("x"), 0o600) }, `no PEM block "PRIVATE KEY"`},
		{"another one's certificate", func(d string) error {
			_, err := pki.Create(filepath.Join(d, "other"), "x", now, now.AddDate(1, 0, 0))
			if err != nil {
				return err
			}
			return os.Rename(filepath.Join(d, "other", pki.CertFile), filepath.Join(d, pki.CertFile))
		}, "are no pair"},
	} {
		dir, _ := create(t)
		if err := tt.spoil(dir); err != nil {
			t.Fatal(err)
		}
		_, err := pki.Open(dir)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzReadCert(f *testing.F) {
	dir := f.TempDir()
	if _, err := pki.Create(dir, "x", now, now.AddDate(1, 0, 0)); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, pki.CertFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "cert")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := pki.ReadCert(file); (c == nil) == (err == nil) {
			t.Errorf("got %v and %v", c, err)
		} else if c != nil {
			access.OfCertificate(c)
		}
	})
}
