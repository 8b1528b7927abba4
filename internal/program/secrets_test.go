package program_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/config"
	"glia/config/secret"
	"glia/internal/pki"
	"glia/internal/program/synapsed"
	"glia/internal/testbed"
	"glia/internal/vault/vaulttest"
)

// A synapse has its gossip key and its certificate from Vault, whose engine issues it or where somebody has published it, serves on while
// Vault is sealed, starts again meanwhile, and says so.
func TestSynapse_WithVault(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"pki/issue/glia", "kv/data/hosts"} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			synapseWithVault(t, from)
		})
	}
}

func synapseWithVault(t *testing.T, from string) {
	v := vaulttest.Start(t)
	v.Put("kv/hosts/watcher.example.org", issuedElsewhere(t, "watcher.example.org", "127.0.0.1"))
	v.Put("kv/glia", map[string]string{"gossip": "MDEyMzQ1Njc4OWFiY2RlZg=="})
	role, id := v.AppRole(time.Minute)
	dir := t.TempDir()
	secretID := filepath.Join(dir, "secret-id")
	if err := os.WriteFile(secretID, []byte(id), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.DefaultSynapse()
	c.Host, c.API.Listen, c.Serf.Bind, c.StateDir = "watcher.example.org", testbed.Addr(t), testbed.Addr(t), filepath.Join(dir, "state")
	c.Serf.EncryptKey = secret.MustParse("vault:kv/data/glia#gossip")
	c.Vault.Address, c.Vault.RoleID, c.Vault.SecretID, c.Vault.Dir, c.Vault.Refresh = v.URL, role, secret.MustParse(secretID), filepath.Join(dir, "vault"), config.Duration(time.Second)
	c.TLS.Vault = from
	c.Resolve("")
	begin := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended, started := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			if err := synapsed.Run(ctx, c, synapsed.Parts{Started: func() { close(started) }}, slog.New(slog.DiscardHandler)); err != nil {
				t.Error(err)
			}
		}()
		select {
		case <-started:
		case <-ended:
			t.FailNow()
		}
		return func() { cancel(); <-ended }
	}
	stop := begin()
	untilSaid(t, c.Vault.Dir, "https://"+c.API.Listen+"/readyz", "vault: ready\n")
	untilSaid(t, c.Vault.Dir, "https://"+c.API.Listen+"/metrics", "\nglia_certificate_expires_timestamp_seconds 1.")
	v.Seal()
	untilSaid(t, c.Vault.Dir, "https://"+c.API.Listen+"/readyz", "vault: not ready: "+v.URL+" is of no use since ", "vault answers 503: Vault is sealed; secrets read at ", "; the certificate is good until ")
	stop()
	stop = begin()
	defer stop()
	untilSaid(t, c.Vault.Dir, "https://"+c.API.Listen+"/readyz", "Vault is sealed")
	v.Unseal()
	untilSaid(t, c.Vault.Dir, "https://"+c.API.Listen+"/readyz", "vault: ready\n")
}

// issuedElsewhere are the texts of an entry with a certificate.
func issuedElsewhere(t *testing.T, name string, more ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	ca, err := pki.Create(dir, "elsewhere", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Issue(pki.Request{Name: name, Names: more, Until: time.Now().Add(time.Hour)}, time.Now())
	if err == nil {
		err = issued.Save(file("cert"), file("key"))
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for key, from := range map[string]string{"certificate": "cert", "private_key": "key", "issuing_ca": pki.CertFile} {
		text, err := os.ReadFile(file(from))
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(text)
	}
	return out
}

// untilSaid asks, with the certificate in the folder, until it says all that.
func untilSaid(t *testing.T, dir, url string, want ...string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "host.pem"), filepath.Join(dir, "host.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := client.Do(req); err != nil {
			last = err.Error()
		} else {
			b, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			last = string(b)
		}
		said := true
		for _, w := range want {
			said = said && strings.Contains(last, w)
		}
		if said {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not said: %q; the last answer: %s", want, last)
		}
	}
}
