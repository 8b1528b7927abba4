package config

import (
	"net"
	"path/filepath"
	"slices"
	"strings"

	"glia/config/secret"
)

// Vault is the section [vault]: where references that begin with vault: are read, and who issues certificates.
type Vault struct {
	Address   string `toml:"address"`   // https://, or http:// on loopback; empty: there is none
	Namespace string `toml:"namespace"` // of Vault Enterprise; empty for none
	CA        string `toml:"ca"`        // PEM; empty: the authorities of the system
	Proxy     string `toml:"proxy"`     // URL without credentials

	Login    VaultLogin `toml:"login"`
	Mount    string     `toml:"mount"` // of the method; empty: its name
	Token    secret.Ref `toml:"token"`
	RoleID   string     `toml:"role_id"`
	SecretID secret.Ref `toml:"secret_id"`
	Role     string     `toml:"role"`
	JWTFile  string     `toml:"jwt_file"`

	Refresh Duration `toml:"refresh"` // between two readings; a second to a day
	Dir     string   `toml:"dir"`     // of what is kept; absolute
	Keep    Duration `toml:"keep"`    // how old that may be at a start; an hour to a year

	Names []string `toml:"names"` // more of them, and addresses, in the certificate that tls.vault asks for
	TTL   Duration `toml:"ttl"`   // of that certificate; 0: what the role says
}

// Used says whether there is a Vault.
func (v Vault) Used() bool { return v.Address != "" }

// VaultLogin is a way to log in.
type VaultLogin string

// The ways to log in.
const (
	VaultToken      VaultLogin = "token"
	VaultAppRole    VaultLogin = "approle"
	VaultKubernetes VaultLogin = "kubernetes"
)

var vaultLogins = []VaultLogin{VaultToken, VaultAppRole, VaultKubernetes}

// UnmarshalText accepts the ways above and nothing else.
func (l *VaultLogin) UnmarshalText(text []byte) error { return choose(l, text, vaultLogins) }
func (*VaultLogin) want() string                      { return wantOneOf(vaultLogins) }

func defaultVault(dir string) Vault {
	return Vault{
		Login: VaultAppRole, JWTFile: "/var/run/secrets/kubernetes.io/serviceaccount/token",
		Refresh: minutes(5), Dir: dir, Keep: minutes(7 * 24 * 60), Names: nil,
	}
}

// validate judges the section, and all references of the configuration that need it.
func (v Vault) validate(c *check, config any, t TLS) {
	if !v.Used() {
		for _, r := range secret.Refs(config) {
			if _, _, ok := r.Vault(); ok {
				c.bad([]string{"vault.address"}, "is missing, and %s is to be read there", r)
			}
		}
		if t.Vault != "" {
			c.bad([]string{"tls.vault"}, "needs vault.address")
		}
		return
	}
	c.remote("vault.address", v.Address, "https://vault.example.org:8200")
	c.proxy("vault.proxy", v.Proxy)
	if v.CA != "" {
		c.absolute("vault.ca", v.CA)
	}
	for key, r := range map[string]secret.Ref{"vault.token": v.Token, "vault.secret_id": v.SecretID} {
		if _, _, inside := r.Vault(); inside {
			c.bad([]string{key}, "is what Vault is entered with, so it can not be there")
		}
	}
	if strings.Trim(v.Mount, "/") != v.Mount {
		c.bad([]string{"vault.mount"}, `%q has a slash around it: write it as "approle"`, v.Mount)
	}
	switch v.Login {
	case VaultToken:
		if v.Token.IsZero() {
			c.bad([]string{"vault.token"}, "is missing: say where the token is")
		}
	case VaultAppRole:
		if v.RoleID == "" {
			c.bad([]string{"vault.role_id"}, "is missing: it is what vault read auth/approle/role/NAME/role-id prints")
		}
		if v.SecretID.IsZero() {
			c.bad([]string{"vault.secret_id"}, "is missing: say where the secret id is")
		}
	case VaultKubernetes:
		if v.Role == "" {
			c.bad([]string{"vault.role"}, "is missing: name the role of auth/kubernetes")
		}
		c.absolute("vault.jwt_file", v.JWTFile)
	}
	c.absolute("vault.dir", v.Dir)
	if v.Refresh < seconds(1) || v.Refresh > minutes(24*60) {
		c.bad([]string{"vault.refresh"}, "%s is not possible: want 1s to 24h", v.Refresh)
	}
	if v.Keep < minutes(60) || v.Keep > minutes(366*24*60) {
		c.bad([]string{"vault.keep"}, "%s is not possible: want 1h to 8784h, which is a year", v.Keep)
	}
	if v.TTL < 0 || v.TTL > 0 && v.TTL < minutes(5) {
		c.bad([]string{"vault.ttl"}, "%s is not possible: want 0 for what the role says, or at least 5m", v.TTL)
	}
	for i, n := range v.Names {
		if net.ParseIP(n) == nil {
			c.hostname(element("vault.names", i), n)
		}
	}
}

func (v Vault) checkFiles(c *check) {
	if !v.Used() {
		return
	}
	checkSecret(c, "vault.token", v.Token)
	checkSecret(c, "vault.secret_id", v.SecretID)
	checkPEM(c, "vault", v.CA, "", secret.Ref{})
}

// validateVault judges how a certificate comes from Vault.
func (t TLS) validateVault(c *check) {
	if t.Cert != "" || !t.Key.IsZero() {
		c.bad([]string{"tls.vault", "tls.cert", "tls.key"}, "is instead of tls.cert and tls.key: set it or them")
	}
	parts := strings.Split(t.Vault, "/")
	clean := filepath.Clean(t.Vault) == t.Vault && !filepath.IsAbs(t.Vault) && len(parts) >= 3
	if !clean || !t.Published() && parts[len(parts)-2] != "issue" {
		c.bad([]string{"tls.vault"}, `%q is no path of a role of the PKI engine, such as "pki/issue/glia", and no folder of version 2 of the key-value engine, such as "kv/data/glia"`, t.Vault)
	}
	if t.CA != "" {
		c.absolute("tls.ca", t.CA)
	}
}

// Published says that Vault is a folder of the key-value engine where each host has an entry with its certificate, and not a role
// of the PKI engine.
func (t TLS) Published() bool {
	parts := strings.Split(t.Vault, "/")
	return len(parts) >= 3 && parts[len(parts)-2] != "issue" && slices.Contains(parts[1:len(parts)-1], "data")
}
