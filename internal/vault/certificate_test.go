package vault_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/config/secret"
	"glia/internal/daemon"
	"glia/internal/pki"
	"glia/internal/vault"
)

func (b *bed) pair(k *vault.Keeper) tls.Certificate {
	b.Helper()
	c, err := tls.LoadX509KeyPair(k.CertFile(), k.CertFile())
	if err != nil {
		b.Fatal(err)
	}
	return c
}

const issue = "pki/issue/glia"

func certificates(b *bed) {
	o := b.options(b.appRole(time.Minute))
	o.Certificate = &vault.Certificate{Path: issue, Name: "node-1.example.org", Names: []string{"127.0.0.1", "localhost"}, TTL: time.Hour}
	k := b.open(o)
	first := b.pair(k)
	for _, name := range []string{"node-1.example.org", "127.0.0.1", "localhost"} {
		if err := first.Leaf.VerifyHostname(name); err != nil {
			b.Error(err)
		}
	}
	if left := time.Until(first.Leaf.NotAfter); left > time.Hour || left < 50*time.Minute {
		b.Errorf("it lives for %s", left)
	}
	if _, err := daemon.LoadTLS(k.CertFile(), secret.MustParse(k.CertFile()), k.CAFile(), o.Log); err != nil {
		b.Error(err)
	}
	b.open(o)
	if n := b.count("PUT " + issue); n != 1 {
		b.Errorf("a restart asks for a certificate though there is one: %d", n)
	}
	b.cut(true)
	if err := b.open(o).Ready(); err == nil || !strings.Contains(err.Error(), "the certificate is good until") {
		b.Errorf("ready: %v", err)
	}
	b.cut(false)
	o.Certificate.Names = append(o.Certificate.Names, "other.example.org")
	if k = b.open(o); b.pair(k).Leaf.VerifyHostname("other.example.org") != nil {
		b.Error("a certificate without the new name is used on")
	}
	o.Certificate.Names = []string{"evil.example.com"}
	if _, err := vault.Open(b.Context(), o); err == nil || !strings.Contains(err.Error(), "issue a certificate by pki/issue/glia: vault answers 400") || !strings.Contains(err.Error(), "not allowed by this role") {
		b.Errorf("a name that the role does not allow: %v", err)
	}
}

func renewedCertificates(b *bed) {
	o := b.options(b.appRole(time.Minute))
	o.Refresh = time.Hour
	o.Certificate = &vault.Certificate{Path: issue, Name: "node-1.example.org", TTL: 4 * time.Second}
	k := b.run(o)
	creds, err := daemon.LoadTLS(k.CertFile(), secret.MustParse(k.CertFile()), k.CAFile(), o.Log)
	if err != nil {
		b.Fatal(err)
	}
	first := creds.Fingerprint()
	b.until("a renewed certificate is taken up", func() bool { return creds.Fingerprint() != first })
}

// publisher issues certificates elsewhere, and puts them into the entry of a host.
type publisher struct {
	*bed
	ca *pki.Authority
}

func (b *bed) publisher() publisher {
	b.Helper()
	ca, err := pki.Create(filepath.Join(b.dir, "ca"), "elsewhere", time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	return publisher{b, ca}
}

// texts are those of an entry with a certificate for a name, from one hour to another one from now.
func (p publisher) texts(name string, from, to time.Duration) map[string]string {
	p.Helper()
	issued, err := p.ca.Issue(pki.Request{Name: name, Until: time.Now().Add(to)}, time.Now().Add(from))
	if err != nil {
		p.Fatal(err)
	}
	cert, key := filepath.Join(p.TempDir(), "cert"), filepath.Join(p.TempDir(), "key")
	if err := issued.Save(cert, key); err != nil {
		p.Fatal(err)
	}
	out := map[string]string{}
	for word, file := range map[string]string{"certificate": cert, "private_key": key, "issuing_ca": filepath.Join(p.dir, "ca", pki.CertFile)} {
		text, err := os.ReadFile(file)
		if err != nil {
			p.Fatal(err)
		}
		out[word] = string(text)
	}
	return out
}

const entry = "kv/glia/node-1.example.org"

// taking are options of one that takes what is published for it.
func (b *bed) taking() vault.Options {
	o := b.options(b.appRole(time.Minute))
	o.Certificate = &vault.Certificate{Path: "kv/data/glia/node-1.example.org", Name: "node-1.example.org", Published: true}
	return o
}

func publishedCertificates(b *bed) {
	p, o := b.publisher(), b.taking()
	b.Put(entry, p.texts("node-1.example.org", -time.Hour, 24*time.Hour))
	k := b.run(o)
	creds, err := daemon.LoadTLS(k.CertFile(), secret.MustParse(k.CertFile()), k.CAFile(), o.Log)
	if err != nil {
		b.Fatal(err)
	}
	first := creds.Fingerprint()
	b.Put(entry, p.texts("node-1.example.org", -12*time.Hour, time.Hour))
	b.until("the one that was published later is taken up", func() bool { return creds.Fingerprint() != first })
	b.until("it is said that it ends soon", func() bool {
		return strings.Contains(b.log.String(), "the certificate in vault ends soon: publish a new one")
	})
	second, asked := creds.Fingerprint(), b.count("GET kv/data/glia/node-1.example.org")
	b.Put(entry, p.texts("node-2.example.org", -time.Hour, time.Hour))
	b.until("one for another host is refused", func() bool {
		err := k.Ready()
		return err != nil && strings.Contains(err.Error(), "read the certificate kv/data/glia/node-1.example.org: it is not good for all of node-1.example.org: issue it for them; the certificate is good until ")
	})
	b.cut(true)
	if creds.Fingerprint() != second {
		b.Error("the last good one is not used any more")
	}
	again := b.open(o)
	if b.pair(again).Leaf.VerifyHostname("node-1.example.org") != nil || again.Ready() == nil {
		b.Errorf("a start without Vault: %v", again.Ready())
	}
	b.cut(false)
	b.Put(entry, p.texts("node-1.example.org", -time.Hour, 24*time.Hour))
	b.until("it is ready again", func() bool { return k.Ready() == nil })
	if now := b.count("GET kv/data/glia/node-1.example.org"); now > asked+1000 {
		b.Errorf("it asks without a pause: %d times", now-asked)
	}
	if n := strings.Count(b.log.String(), "ends soon"); n != 1 {
		b.Errorf("it is said %d times that one certificate ends soon", n)
	}
}

func badPublished(b *bed) {
	p, o := b.publisher(), b.taking()
	with := func(key, text string) map[string]string {
		all := p.texts("node-1.example.org", -time.Hour, time.Hour)
		all[key] = text
		return all
	}
	for want, texts := range map[string]map[string]string{
		"there is no text with the key private_key":                       with("private_key", ""),
		"there is no text with the key issuing_ca":                        with("issuing_ca", " "),
		"what is there is no certificate with its key":                    with("private_key", p.texts("node-1.example.org", -time.Hour, time.Hour)["private_key"]),
		"there is no authority in the answer":                             with("issuing_ca", "canary"),
		"it is not good for all of node-1.example.org: issue it for them": p.texts("node-2.example.org", -time.Hour, time.Hour),
		"it has expired at ":                                              p.texts("node-1.example.org", -2*time.Hour, -time.Hour),
		"the newest version is deleted":                                   nil,
	} {
		b.Put(entry, texts)
		_, err := vault.Open(b.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "read the certificate kv/data/glia/node-1.example.org: "+want) || strings.Contains(err.Error(), "canary") {
			b.Errorf("%v\nwant %q", err, want)
		}
	}
}

func TestCertificate_IsRenewedWellBeforeItsEnd(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, life := range []time.Duration{0, time.Second, 72 * time.Hour, 365 * 24 * time.Hour} {
		seen := map[time.Time]bool{}
		for range 100 {
			at := vault.Renewal(issued, issued.Add(life))
			if seen[at] = true; at.Before(issued.Add(life/2)) || at.After(issued.Add(life*2/3)) {
				t.Errorf("a certificate for %s is renewed after %s", life, at.Sub(issued))
			}
		}
		if life > time.Second && len(seen) < 10 {
			t.Errorf("a fleet renews certificates for %s at %d times", life, len(seen))
		}
	}
	if at := vault.Renewal(issued, issued.Add(-time.Hour)); at.After(issued) {
		t.Errorf("one that has ended is renewed %s later", at.Sub(issued))
	}
}
