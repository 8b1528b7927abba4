package config

import (
	"crypto/tls"
	"crypto/x509"
	"path"
	"slices"
	"strings"

	"glia/config/secret"
)

// Registry is a kind of registry.
type Registry string

// The kinds of registries.
const (
	RegistrySerf      Registry = "serf"
	RegistryZooKeeper Registry = "zookeeper"
	RegistryConsul    Registry = "consul"
)

var registries = []Registry{RegistrySerf, RegistryZooKeeper, RegistryConsul}

// UnmarshalText accepts the kinds above and nothing else.
func (r *Registry) UnmarshalText(text []byte) error { return choose(r, text, registries) }
func (*Registry) want() string                      { return wantOneOf(registries) }

// Watch is how several registries are watched.
type Watch string

// The ways of watching several registries.
const (
	WatchUnion  Watch = "union"  // all hosts of all of them, while all of them answer
	WatchPrefer Watch = "prefer" // the first of them that answers
)

var watches = []Watch{WatchUnion, WatchPrefer}

// UnmarshalText accepts the ways above and nothing else.
func (w *Watch) UnmarshalText(text []byte) error { return choose(w, text, watches) }
func (*Watch) want() string                      { return wantOneOf(watches) }

// ZooKeeper is the section [zookeeper].
type ZooKeeper struct {
	Servers        []string   `toml:"servers"` // host or host:port
	Path           string     `toml:"path"`    // absolute, not the root
	SessionTimeout Duration   `toml:"session_timeout"`
	User           string     `toml:"user"` // of the digest scheme; empty for none
	Password       secret.Ref `toml:"password" old:"password_file"`
	CA             string     `toml:"ca"` // PEM; empty for plain TCP
	Cert           string     `toml:"cert"`
	Key            secret.Ref `toml:"key"`
}

// Consul is the section [consul].
type Consul struct {
	Address    string     `toml:"address"` // host:port, or unix:// and a path
	Datacenter string     `toml:"datacenter"`
	Token      secret.Ref `toml:"token" old:"token_file"`
	Path       string     `toml:"path"` // prefix of all keys, without slashes around it
	TTL        Duration   `toml:"ttl"`
	CA         string     `toml:"ca"` // PEM; empty for plain HTTP
	Cert       string     `toml:"cert"`
	Key        secret.Ref `toml:"key"`
}

func defaultZooKeeper() ZooKeeper { return ZooKeeper{Path: "/glia", SessionTimeout: seconds(15)} }

func defaultConsul() Consul {
	return Consul{Address: "127.0.0.1:8500", Path: "glia", TTL: seconds(15)}
}

// backends are the sections of the registries, of which some are used.
type backends struct {
	use       []Registry
	serf      Serf
	zookeeper ZooKeeper
	consul    Consul
}

// validate judges the list, and the sections of what is in it.
func (b backends) validate(c *check) {
	if len(b.use) == 0 {
		c.bad([]string{"registries"}, `is empty: name at least one of "serf", "zookeeper" and "consul"`)
	}
	for i, r := range b.use {
		if slices.Contains(b.use[:i], r) {
			c.bad([]string{element("registries", i), "registries"}, "%q is named twice", r)
		}
	}
	b.serf.validate(c)
	if slices.Contains(b.use, RegistryZooKeeper) {
		b.zookeeper.validate(c)
	}
	if slices.Contains(b.use, RegistryConsul) {
		b.consul.validate(c)
	}
}

func (b backends) checkFiles(c *check) {
	if slices.Contains(b.use, RegistrySerf) {
		b.serf.checkFiles(c)
	}
	if slices.Contains(b.use, RegistryZooKeeper) {
		b.zookeeper.checkFiles(c)
	}
	if slices.Contains(b.use, RegistryConsul) {
		b.consul.checkFiles(c)
	}
}

func (z ZooKeeper) validate(c *check) {
	if len(z.Servers) == 0 {
		c.bad([]string{"zookeeper.servers", "zookeeper"}, `is missing: name the servers, for example ["zk-1:2181", "zk-2:2181", "zk-3:2181"]`)
	}
	for i, s := range z.Servers {
		c.word(element("zookeeper.servers", i), s, "the host or host:port of a server")
	}
	if !path.IsAbs(z.Path) || z.Path == "/" || path.Clean(z.Path) != z.Path {
		c.bad([]string{"zookeeper.path"}, `%q is not the absolute path of a folder, such as "/glia"`, z.Path)
	}
	z.validateSession(c)
}

// validateSession judges how a session is made, with whatever servers.
func (z ZooKeeper) validateSession(c *check) {
	c.positive("zookeeper.session_timeout", z.SessionTimeout)
	switch {
	case z.User == "" && !z.Password.IsZero():
		c.bad([]string{"zookeeper.password"}, "is of no use without zookeeper.user")
	case z.User != "" && z.Password.IsZero():
		c.bad([]string{"zookeeper.user"}, "has no password: say in zookeeper.password where it is")
	case strings.Contains(z.User, ":"):
		c.bad([]string{"zookeeper.user"}, "%q can not be a user: it has a colon", z.User)
	}
	validatePEM(c, "zookeeper", z.CA, z.Cert, z.Key)
}

func (k Consul) validate(c *check) {
	if p, ok := strings.CutPrefix(k.Address, "unix://"); ok {
		c.absolute("consul.address", p)
	} else {
		c.address("consul.address", k.Address)
	}
	if strings.Trim(k.Path, "/") != k.Path || strings.Contains(k.Path, "//") || k.Path == "" {
		c.bad([]string{"consul.path"}, `%q is not a prefix of keys without slashes around it, such as "glia"`, k.Path)
	}
	c.positive("consul.ttl", k.TTL)
	validatePEM(c, "consul", k.CA, k.Cert, k.Key)
}

// validatePEM judges the names of the files of a client: an authority alone, or with a certificate of ours.
func validatePEM(c *check, section, ca, cert string, key secret.Ref) {
	for name, file := range map[string]string{".ca": ca, ".cert": cert} {
		if file != "" {
			c.absolute(section+name, file)
		}
	}
	if (cert == "") != key.IsZero() {
		c.bad([]string{section + ".cert", section + ".key"}, "a certificate and its key go together: set %s.cert and %s.key, or none of them", section, section)
	}
	if ca == "" && cert != "" {
		c.bad([]string{section + ".cert"}, "is of no use without %s.ca: the server would not be called by TLS", section)
	}
}

func (z ZooKeeper) checkFiles(c *check) {
	checkSecret(c, "zookeeper.password", z.Password)
	checkPEM(c, "zookeeper", z.CA, z.Cert, z.Key)
}

func (k Consul) checkFiles(c *check) {
	checkSecret(c, "consul.token", k.Token)
	checkPEM(c, "consul", k.CA, k.Cert, k.Key)
}

func checkPEM(c *check, section, ca, cert string, key secret.Ref) {
	if data, ok := c.read(section+".ca", ca, false); ok && !x509.NewCertPool().AppendCertsFromPEM(data) {
		c.bad([]string{section + ".ca"}, "%s has no PEM certificate in it", ca)
	}
	certData, ok := c.read(section+".cert", cert, false)
	keyData, okKey := c.secret(section+".key", key)
	if !ok || !okKey {
		return
	}
	if _, err := tls.X509KeyPair(certData, []byte(keyData.Reveal())); err != nil {
		c.bad([]string{section + ".cert", section + ".key"}, "%s and %s are no pair: %s", cert, key, err)
	}
}
