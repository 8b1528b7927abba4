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

// Certificate is what is wanted of the PKI engine.
type Certificate struct {
	Path  string        // such as pki/issue/glia: the mount, issue, and a role
	Name  string        // common name
	Names []string      // more names, and addresses
	TTL   time.Duration // 0: what the role says
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
	if k.Certificate == nil || k.Now().Before(k.renewAt) {
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
	leaf, err := k.keepCertificate(s.Data)
	if err != nil {
		return &refusal{fmt.Sprintf("issue a certificate by %s: %v", k.Certificate.Path, err)}
	}
	k.date(leaf, k.Now())
	k.Log.Info("certificate issued by vault", "name", k.Certificate.Name, "not_after", leaf.NotAfter)
	return nil
}

// keepCertificate writes what the engine has issued, the authority first: it is trusted before anything is signed by it.
func (k *Keeper) keepCertificate(data map[string]any) (*x509.Certificate, error) {
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
	if err != nil {
		return nil, errors.New("what was issued is no certificate with its key")
	}
	if !k.Certificate.covers(pair.Leaf) {
		return nil, fmt.Errorf("it is not good for all of %s: see what the role allows", strings.Join(append([]string{k.Certificate.Name}, k.Certificate.Names...), ", "))
	}
	ca := strings.Join(chain, "\n") + "\n"
	if block, _ := pem.Decode([]byte(ca)); block == nil {
		return nil, errors.New("there is no authority in the answer")
	}
	if err := writeFile(k.CAFile(), []byte(ca)); err != nil {
		return nil, err
	}
	if err := writeFile(k.CertFile(), []byte(host)); err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// text is a PEM text without white space around it.
func text(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}
