package config

import (
	"net"
	"path"

	"glia/config/secret"
)

// Log is the section [log].
type Log struct {
	Level  Level  `toml:"level"`
	Format Format `toml:"format"`
}

// API is the section [api]: where a program serves its API, metrics and health.
type API struct {
	// Listen is host:port. Only a loopback address is possible without [tls]. Port 0 lets the kernel
	// choose.
	Listen string `toml:"listen"`

	// Advertise is the host:port that others are told to call. Resolve sets it to Listen when empty.
	Advertise string `toml:"advertise"`

	// Socket is a unix socket that serves the same to users of this host, by absolute path; empty for none.
	Socket string `toml:"socket"`
}

// TLS is the section [tls]: PEM files, by absolute path; the key may also be elsewhere. All three are set or none. With them a
// program serves only clients, and calls only servers, that present a certificate of the authority.
type TLS struct {
	Cert string     `toml:"cert"`
	Key  secret.Ref `toml:"key"`
	CA   string     `toml:"ca"`

	Vault string `toml:"vault"` // instead of Cert and Key: role of the PKI engine of [vault], or folder of published certificates; CA is then optional
}

// Enabled says whether TLS is used.
func (t TLS) Enabled() bool { return t != TLS{} }

// Debug is the section [debug].
type Debug struct {
	Socket string `toml:"socket"` // unix socket that serves net/http/pprof; empty for none
}

// Serf is the section [serf]: the embedded Serf agent.
type Serf struct {
	Node      string   `toml:"node"` // Resolve sets it to the host when empty
	Bind      string   `toml:"bind"`
	Advertise string   `toml:"advertise"` // empty: Serf's own choice, which is Bind if that is one address
	RPC       string   `toml:"rpc"`       // for the command serf, always loopback; empty for none
	Join      []string `toml:"join"`      // host or host:port; others that know the cluster

	EncryptKey  secret.Ref `toml:"encrypt_key" old:"encrypt_key_file"` // base64 of 16, 24 or 32 bytes, as "serf keygen" prints
	KeyringFile string     `toml:"keyring_file"`                       // instead: JSON list of such keys, that "serf keys" rotates
	Profile     Profile    `toml:"profile"`

	// With Agent, glia works through an agent that runs already, and the keys above are of no use.
	Agent    string     `toml:"agent"`                          // host:port of its RPC, on loopback; empty: glia is an agent itself
	AgentKey secret.Ref `toml:"agent_key" old:"agent_key_file"` // what its RPC wants
	DropIn   string     `toml:"drop_in"`                        // absolute, .json; keeps the tags over a reload of the agent
}

func defaultLog() Log { return Log{Level: LevelInfo, Format: FormatText} }

func defaultSerf() Serf { return Serf{Bind: "127.0.0.1:7946", Profile: ProfileLAN} }

// validate judges the section. What a stranger could do with the API completes the sentence "anybody
// there could …".
func (a API) validate(c *check, t TLS, stranger string) {
	host, ok := c.address("api.listen", a.Listen)
	switch {
	case !ok:
	case !t.Enabled() && !loopback(host):
		c.bad([]string{"api.listen", "tls", "tls.cert", "tls.key", "tls.ca"},
			"%s is reachable from other hosts, and without [tls] anybody there could %s: set tls.cert, tls.key and tls.ca, or listen on loopback",
			a.Listen, stranger)
	case a.Advertise == "" && everywhere(host):
		c.bad([]string{"api.advertise", "api.listen"},
			"%s is no address that others can call: set api.advertise to the host:port that they should use", a.Listen)
	}
	if a.Socket != "" {
		c.socket("api.socket", a.Socket)
	}
	if a.Advertise == "" {
		return
	}
	host, port, ok := c.hostPort("api.advertise", a.Advertise)
	if ok && (everywhere(host) || port == 0) {
		c.bad([]string{"api.advertise"}, "%s is no address that others can call: name one host and one port", a.Advertise)
	}
}

func (a *API) resolve() {
	if a.Advertise == "" {
		a.Advertise = a.Listen
	}
}

func (t TLS) validate(c *check) {
	if !t.Enabled() {
		return
	}
	if t.Vault != "" {
		t.validateVault(c)
		return
	}
	for key, path := range map[string]string{"tls.cert": t.Cert, "tls.key": t.Key.String(), "tls.ca": t.CA} {
		switch {
		case path == "":
			c.bad([]string{key}, "is missing: set all of tls.cert, tls.key and tls.ca, or none")
		case key != "tls.key":
			c.absolute(key, path)
		}
	}
}

func (d Debug) validate(c *check) {
	if d.Socket == "" {
		return
	}
	c.socket("debug.socket", d.Socket)
}

func (s Serf) validate(c *check) {
	s.validateAgent(c)
	if s.Node != "" {
		c.hostname("serf.node", s.Node)
	}
	if host, ok := c.address("serf.bind", s.Bind); ok && host == "" {
		c.bad([]string{"serf.bind"}, `%q names no address: write "0.0.0.0%s" if you mean all of them`, s.Bind, s.Bind)
	}
	if s.Advertise != "" {
		if host, _, ok := c.hostPort("serf.advertise", s.Advertise); ok && everywhere(host) {
			c.bad([]string{"serf.advertise"}, "%s is no address that others can call: name one", s.Advertise)
		}
	}
	if s.RPC != "" {
		if host, ok := c.address("serf.rpc", s.RPC); ok && !loopback(host) {
			c.bad([]string{"serf.rpc"}, `%s is reachable from other hosts, and Serf's RPC has no TLS: listen on loopback, or set "" for no RPC`, s.RPC)
		}
	}
	for i, j := range s.Join {
		c.word(element("serf.join", i), j, "the host or host:port of another member")
	}
	if s.KeyringFile != "" {
		c.absolute("serf.keyring_file", s.KeyringFile)
		if !s.EncryptKey.IsZero() {
			c.bad([]string{"serf.keyring_file", "serf.encrypt_key"}, "serf.encrypt_key is set, too: name one of the two")
		}
	}
}

func (s Serf) validateAgent(c *check) {
	if s.Agent == "" {
		for key, value := range map[string]string{"serf.agent_key": s.AgentKey.String(), "serf.drop_in": s.DropIn} {
			if value != "" {
				c.bad([]string{key}, "is of no use without serf.agent")
			}
		}
		return
	}
	if host, ok := c.address("serf.agent", s.Agent); ok && !loopback(host) {
		c.bad([]string{"serf.agent"}, "%s is another host, and Serf's RPC has no TLS: use the agent of this host", s.Agent)
	}
	if s.DropIn != "" {
		c.absolute("serf.drop_in", s.DropIn)
		if path.Ext(s.DropIn) != ".json" {
			c.bad([]string{"serf.drop_in"}, `%q is no file that serf reads: its name must end with .json, as in "/etc/serf/zzz_nerve_glia.json"`, s.DropIn)
		}
	}
}

func (s *Serf) resolve(host string) {
	if s.Node == "" {
		s.Node = host
	}
}

// everywhere says whether a host to listen on means all addresses.
func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}
