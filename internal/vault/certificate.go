package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"glia/config/secret"
)

// Certificate is what is wanted of the PKI engine, or, with Published, read from the key-value engine.
type Certificate struct {
	Path  string        // such as pki/issue/glia: the mount, issue, and a role; or such as kv/data/glia/node-1, the entry of a host
	Name  string        // common name
	Names []string      // more names, and addresses
	TTL   time.Duration // 0: what the role says

	// Published says that Path is an entry that somebody else writes, with the keys certificate, private_key and issuing_ca, each a
	// PEM text, as the PKI engine names them. It is read again at every refresh.
	Published bool
}

// CertFile is the file with certificate, chain and key, all in one, so that they are replaced together.
func (k *Keeper) CertFile() string { return filepath.Join(k.Dir, "host.pem") }

// CAFile is the file with the authority that has issued it.
func (k *Keeper) CAFile() string { return filepath.Join(k.Dir, "ca.pem") }

// names are those that the certificate must have: hosts, and addresses.
func (c *Certificate) names() (hosts, ips []string) {
	for _, n := range append([]string{c.Name}, c.Names...) {
		if ip := net.ParseIP(n); ip != nil {
			ips = append(ips, ip.String())
		} else if n != "" {
			hosts = append(hosts, n)
		}
	}
	slices.Sort(hosts)
	slices.Sort(ips)
	return slices.Compact(hosts), slices.Compact(ips)
}

// covers says whether a certificate has all the names.
func (c *Certificate) covers(leaf *x509.Certificate) bool {
	hosts, ips := c.names()
	for _, n := range append(hosts, ips...) {
		if leaf.VerifyHostname(n) != nil {
			return false
		}
	}
	return true
}

// loadCertificate looks at what was kept. One for other names is not used for longer than needed.
func (k *Keeper) loadCertificate() {
	if k.Certificate == nil {
		return
	}
	b, err := secret.ReadFile(k.CertFile())
	if err != nil {
		return // there is none yet, or it is replaced
	}
	pair, err := tls.X509KeyPair(b, b)
	if err != nil {
		return
	}
	if _, err := os.Stat(k.CAFile()); err != nil {
		return
	}
	k.date(pair.Leaf, pair.Leaf.NotBefore)
	if !k.Certificate.covers(pair.Leaf) {
		k.renewAt = time.Time{}
	}
}

// date plans the renewal of a certificate.
func (k *Keeper) date(leaf *x509.Certificate, issued time.Time) {
	k.renewAt = renewal(issued, leaf.NotAfter)
	k.mu.Lock()
	k.expires = leaf.NotAfter
	k.mu.Unlock()
}

// renewal is after two thirds of the life of a certificate, and up to a tenth of it earlier, so that a fleet that was installed at one time
// does not come at once.
func renewal(issued, ends time.Time) time.Time {
	life := max(ends.Sub(issued), 0)
	return issued.Add(life*2/3 - rand.N(life/10+1))
}

// certify gets a certificate when one is due.
func (k *Keeper) certify(ctx context.Context) error {
	switch {
	case k.Certificate == nil:
		return nil
	case k.Certificate.Published:
		return k.takePublished(ctx)
	case k.Now().Before(k.renewAt):
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	hosts, ips := k.Certificate.names()
	given := map[string]any{"common_name": k.Certificate.Name, "format": "pem"}
	if len(hosts) > 0 {
		given["alt_names"] = strings.Join(hosts, ",")
	}
	if len(ips) > 0 {
		given["ip_sans"] = strings.Join(ips, ",")
	}
	if k.Certificate.TTL > 0 {
		given["ttl"] = fmt.Sprintf("%ds", int64(k.Certificate.TTL.Seconds()))
	}
	s, err := k.api.Logical().WriteWithContext(ctx, k.Certificate.Path, given)
	if err != nil {
		return fmt.Errorf("issue a certificate by %s: %w", k.Certificate.Path, k.mend(err))
	}
	if s == nil {
		return &refusal{fmt.Sprintf("issue a certificate by %s: the answer is empty", k.Certificate.Path)}
	}
	leaf, _, err := k.keepCertificate(s.Data)
	if err != nil {
		return &refusal{fmt.Sprintf("issue a certificate by %s: %v", k.Certificate.Path, err)}
	}
	k.date(leaf, k.Now())
	k.Log.Info("certificate issued by vault", "name", k.Certificate.Name, "not_after", leaf.NotAfter)
	return nil
}

// takePublished reads the certificate that somebody has published. One that is of no use is told, and the last good one stays.
func (k *Keeper) takePublished(ctx context.Context) error {
	path := k.Certificate.Path
	data, err := k.keyValue(ctx, path)
	if err != nil {
		return fmt.Errorf("read the certificate %s: %w", path, err)
	}
	for _, key := range []string{"certificate", "private_key", "issuing_ca"} {
		if text(data[key]) == "" {
			return &refusal{fmt.Sprintf("read the certificate %s: there is no text with the key %s", path, key)}
		}
	}
	leaf, changed, err := k.keepCertificate(data)
	if err != nil {
		return &refusal{fmt.Sprintf("read the certificate %s: %v", path, err)}
	}
	if changed {
		k.date(leaf, leaf.NotBefore)
		k.Log.Info("certificate taken from vault", "path", path, "not_after", leaf.NotAfter)
	}
	if left := leaf.NotAfter.Sub(k.Now()); left < leaf.NotAfter.Sub(leaf.NotBefore)/lastPart && !k.warned.Equal(leaf.NotAfter) {
		k.warned = leaf.NotAfter
		k.Log.Warn("the certificate in vault ends soon: publish a new one", "path", path, "not_after", leaf.NotAfter)
	}
	return nil
}

// lastPart is the share of its life in which a published certificate should have been replaced: half of what is left when those of the
// PKI engine are renewed.
const lastPart = 6

// keepCertificate writes what Vault has, if it is not kept already, the authority first: it is trusted before anything is signed by it.
func (k *Keeper) keepCertificate(data map[string]any) (leaf *x509.Certificate, changed bool, err error) {
	cert, key := text(data["certificate"]), text(data["private_key"])
	chain := []string{text(data["issuing_ca"])}
	if list, ok := data["ca_chain"].([]any); ok {
		for _, c := range list {
			if t := text(c); !slices.Contains(chain, t) {
				chain = append(chain, t)
			}
		}
	}
	host := strings.Join(append([]string{cert}, append(chain, key)...), "\n") + "\n"
	pair, err := tls.X509KeyPair([]byte(host), []byte(key))
	switch {
	case err != nil:
		return nil, false, errors.New("what is there is no certificate with its key")
	case !k.Certificate.covers(pair.Leaf):
		return nil, false, fmt.Errorf("it is not good for all of %s: %s", strings.Join(append([]string{k.Certificate.Name}, k.Certificate.Names...), ", "), k.Certificate.whoNames())
	case !k.Now().Before(pair.Leaf.NotAfter):
		return nil, false, fmt.Errorf("it has expired at %s: a new one is needed there", stamp(pair.Leaf.NotAfter))
	}
	ca := strings.Join(chain, "\n") + "\n"
	if block, _ := pem.Decode([]byte(ca)); block == nil {
		return nil, false, errors.New("there is no authority in the answer")
	}
	if holds(k.CAFile(), ca) && holds(k.CertFile(), host) && !k.certExpires().IsZero() {
		return pair.Leaf, false, nil
	}
	if err := writeFile(k.CAFile(), []byte(ca)); err != nil {
		return nil, false, err
	}
	if err := writeFile(k.CertFile(), []byte(host)); err != nil {
		return nil, false, err
	}
	return pair.Leaf, true, nil
}

// whoNames says who decides which names are in it.
func (c *Certificate) whoNames() string {
	if c.Published {
		return "issue it for them"
	}
	return "see what the role allows"
}

func holds(file, content string) bool {
	b, err := os.ReadFile(file)
	return err == nil && string(b) == content
}

// certExpires is when the certificate ends that is in use; zero while there is none.
func (k *Keeper) certExpires() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.expires
}

// text is a PEM text without white space around it.
func text(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}
