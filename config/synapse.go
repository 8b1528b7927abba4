package config

import (
	"reflect"
	"slices"
)

// Synapse is the configuration of synapse; synapse.toml has the words for operators.
type Synapse struct {
	Host     string `toml:"host"`      // Resolve sets it to the name of the host when empty
	StateDir string `toml:"state_dir"` // what was used last, of services; absolute

	ServicesDir string `toml:"services_dir"` // one [[service]] a file; absolute, empty for none

	Registries []Registry `toml:"registries"` // that are watched, in order of preference
	Watch      Watch      `toml:"watch"`      // how, when they are several

	Log Log `toml:"log"`
	API API `toml:"api"`
	TLS TLS `toml:"tls"`

	Access Access `toml:"access"`
	Vault  Vault  `toml:"vault"`

	Debug Debug `toml:"debug"`
	Serf  Serf  `toml:"serf"`

	ZooKeeper ZooKeeper `toml:"zookeeper"`
	Consul    Consul    `toml:"consul"`

	Fleet Fleet `toml:"fleet"`

	HAProxy  HAProxy   `toml:"haproxy"`
	Files    Files     `toml:"files"`
	Settings Settings  `toml:"settings"`
	Services []Service `toml:"service"` // LoadSynapse adds those of ServicesDir

	Templates []Template `toml:"template"`
}

// Fleet is the section [fleet].
type Fleet struct {
	Resync       Duration `toml:"resync"`        // between two comparisons with the whole registry
	FetchTimeout Duration `toml:"fetch_timeout"` // of one request to a nerve
	MaxAge       Duration `toml:"max_age"`       // after it fetched detail is not used; more than Resync + FetchTimeout
}

// DefaultSynapse is the configuration of an empty file, not resolved.
func DefaultSynapse() Synapse {
	serf := defaultSerf()
	serf.Bind = "127.0.0.1:7947" // a nerve on the same host has Serf's own port
	return Synapse{
		StateDir: "/var/lib/glia/synapse", HAProxy: defaultHAProxy(), Settings: defaultSettings(),
		Registries: []Registry{RegistrySerf}, Watch: WatchUnion,
		Log: defaultLog(),
		API: API{Listen: "127.0.0.1:7412"}, Access: defaultAccess(), Vault: defaultVault("/var/lib/glia/synapse/vault"),
		Serf: serf, ZooKeeper: defaultZooKeeper(), Consul: defaultConsul(),
		Fleet: Fleet{Resync: seconds(30), FetchTimeout: seconds(5), MaxAge: minutes(2)},
	}
}

// Resolve fills in what was left empty and is derived, as Nerve.Resolve does.
func (s *Synapse) Resolve(hostname string) {
	if s.Host == "" {
		s.Host = hostname
	}
	s.API.resolve()
	s.Serf.resolve(s.Host)
}

// followed are the keys that are put into force without a restart.
var followed = []string{"services_dir", "log", "haproxy", "files", "settings", "service", "template"}

// Restart names the keys and sections in which a later configuration differs, and that take effect with a restart only. Those of
// registries follow as far as services are followed there.
func (s Synapse) Restart(later Synapse) (keys []string) {
	was, is := reflect.ValueOf(s), reflect.ValueOf(later)
	for i := range was.NumField() {
		key := was.Type().Field(i).Tag.Get("toml")
		if (key == "zookeeper" || key == "consul") && !slices.Contains(s.Registries, Registry(key)) || slices.Contains(followed, key) {
			continue
		}
		if !reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (s *Synapse) validate(c *check) {
	if s.Host != "" {
		c.hostname("host", s.Host)
	}
	if s.ServicesDir != "" {
		c.absolute("services_dir", s.ServicesDir)
	}
	s.API.validate(c, s.TLS, "read the state of the fleet")
	s.TLS.validate(c)
	s.Access.validate(c, s.API, s.TLS)
	s.Vault.validate(c, s, s.TLS)
	s.Debug.validate(c)
	s.backends().validate(c)
	s.Fleet.validate(c)
	s.validateServices(c)
	s.validateTemplates(c)
}

func (s *Synapse) checkFiles(c *check) {
	s.TLS.checkFiles(c)
	s.Vault.checkFiles(c)
	s.backends().checkFiles(c)
	s.checkTemplates(c)
}

func (s *Synapse) backends() backends { return backends{s.Registries, s.Serf, s.ZooKeeper, s.Consul} }

func (f Fleet) validate(c *check) {
	c.positive("fleet.resync", f.Resync)
	c.positive("fleet.fetch_timeout", f.FetchTimeout)
	c.positive("fleet.max_age", f.MaxAge)
	if f.Resync > 0 && f.FetchTimeout > 0 && f.MaxAge > 0 && f.MaxAge <= f.Resync+f.FetchTimeout {
		c.bad([]string{"fleet.max_age", "fleet.resync", "fleet.fetch_timeout"},
			"detail that is too old after %s would be so between two resyncs: want more than resync and fetch timeout together, which are %s",
			f.MaxAge, f.Resync+f.FetchTimeout)
	}
}
