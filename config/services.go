package config

import (
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// HAProxy is the section [haproxy] of synapse: the file that is written, and the process that is kept at it.
type HAProxy struct {
	ConfigFile     string   `toml:"config_file"` // absolute; empty: nothing is written
	Sockets        []string `toml:"sockets"`     // absolute paths of stats sockets of level admin; empty: each change is a reload
	CheckCommand   []string `toml:"check_command"`
	ReloadCommand  []string `toml:"reload_command"`
	ReloadInterval Duration `toml:"reload_interval"` // least time between two reloads
	ReloadJitter   float64  `toml:"reload_jitter"`   // up to so many intervals more, 0 to 100

	Global          []string `toml:"global"`
	Defaults        []string `toml:"defaults"`
	SharedFrontend  []string `toml:"shared_frontend"` // empty: there is none
	BindAddress     string   `toml:"bind_address"`
	UseWeights      bool     `toml:"use_weights"`
	MaxServerID     int      `toml:"max_server_id"`
	ServerOrderSeed int      `toml:"server_order_seed"`

	Sections []HAProxySection `toml:"section"`
}

// HAProxySection is one [[haproxy.section]], which is written as it is.
type HAProxySection struct {
	Title string   `toml:"title"`
	Lines []string `toml:"lines"`
}

// Files is the section [files] of synapse.
type Files struct {
	Directory string `toml:"directory"` // absolute, of its own; empty: no files
}

// Service is one [[service]] of synapse.
type Service struct {
	Name    string          `toml:"name"`
	Combine string          `toml:"combine"` // of several sources: union, sequential or fallback
	Sources []ServiceSource `toml:"source"`

	Filters            []string `toml:"filters"`         // label=value or label!=value
	DefaultServers     []string `toml:"default_servers"` // host:port or name=host:port
	KeepDefaultServers bool     `toml:"keep_default_servers"`
	KeepPrevious       bool     `toml:"keep_previous"`
	MaxStale           Duration `toml:"max_stale"`     // 0 is for ever
	PanicPercent       int      `toml:"panic_percent"` // 0 is off
	PanicHold          Duration `toml:"panic_hold"`
	LeaderElection     bool     `toml:"leader_election"`
	BackendPort        int      `toml:"backend_port"` // 0: that of each backend

	File    bool           `toml:"file"`
	HAProxy ServiceHAProxy `toml:"haproxy"`
}

// ServiceSource is one [[service.source]].
type ServiceSource struct {
	Method   string   `toml:"method"`   // zookeeper, consul, serf, dns, file or static
	Servers  []string `toml:"servers"`  // zookeeper: empty are those of [zookeeper]; dns: name servers; serf: RPC of an agent, empty is that of [serf]; others: none
	Path     string   `toml:"path"`     // zookeeper: of the folder; file: of the file
	Endpoint string   `toml:"endpoint"` // zookeeper: of server sets; empty for the main one
	Service  string   `toml:"service"`  // consul and serf
	Tags     []string `toml:"tags"`     // consul
	Backends []string `toml:"backends"` // dns and static: host:port or name=host:port; dns also a name without port, for SRV
	Interval Duration `toml:"interval"` // dns; serf: between two looks without event
	Settings string   `toml:"settings"` // zookeeper: path of the node with settings of the service; consul: key with them; empty: there are none
}

// ServiceHAProxy is [service.haproxy]: how a service is rendered.
type ServiceHAProxy struct {
	Disabled       bool     `toml:"disabled"`
	Port           int      `toml:"port"`         // 0: no frontend, unless bind_address is that of a socket
	BindAddress    string   `toml:"bind_address"` // empty: that of [haproxy]
	BindOptions    string   `toml:"bind_options"`
	ServerOptions  string   `toml:"server_options"`
	Frontend       []string `toml:"frontend"`
	Backend        []string `toml:"backend"`
	Listen         []string `toml:"listen"`
	BackendName    string   `toml:"backend_name"`  // empty: the name of the service
	BackendOrder   string   `toml:"backend_order"` // asc, desc, no_shuffle or empty
	HashCookie     bool     `toml:"hash_cookie"`
	SharedFrontend []string `toml:"shared_frontend"`
}

func (v *Service) setDefaults() { v.Combine, v.KeepPrevious, v.PanicHold = "union", true, seconds(30) }

func (s *ServiceSource) setDefaults() { s.Interval = seconds(30) }

func defaultHAProxy() HAProxy {
	return HAProxy{
		CheckCommand: []string{"haproxy", "-c", "-f", "{file}"}, ReloadCommand: []string{"systemctl", "reload", "haproxy"}, ReloadInterval: seconds(2),
		BindAddress: "localhost", MaxServerID: 65535,
	}
}

func (h HAProxy) validate(c *check) {
	c.positive("haproxy.reload_interval", h.ReloadInterval)
	if !(h.ReloadJitter >= 0 && h.ReloadJitter <= 100) {
		c.bad([]string{"haproxy.reload_jitter"}, "%v is not possible: want 0 to 100", h.ReloadJitter)
	}
	c.within("haproxy.max_server_id", h.MaxServerID, 1<<31-1)
	c.upTo("haproxy.server_order_seed", h.ServerOrderSeed, 1<<32-1)
	c.command("haproxy.check_command", h.CheckCommand)
	c.command("haproxy.reload_command", h.ReloadCommand)
	for i, s := range h.Sockets {
		c.absolute(element("haproxy.sockets", i), s)
	}
	if h.ConfigFile == "" {
		return
	}
	c.absolute("haproxy.config_file", h.ConfigFile)
	if !slices.ContainsFunc(h.CheckCommand, func(a string) bool { return strings.Contains(a, "{file}") }) {
		c.bad([]string{"haproxy.check_command"}, `does not say where the file goes: want {file} in it, as in ["haproxy", "-c", "-f", "{file}"]`)
	}
	if len(h.ReloadCommand) == 0 {
		c.bad([]string{"haproxy.reload_command"}, "is empty: some changes can not be made without a reload")
	}
	if len(h.Global) == 0 || len(h.Defaults) == 0 {
		c.bad([]string{"haproxy.global", "haproxy.defaults", "haproxy.config_file"}, "the whole file is written, so haproxy.global and haproxy.defaults are needed")
	}
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]*$`)

func (s *Synapse) validateServices(c *check) {
	c.absolute("state_dir", s.StateDir)
	s.HAProxy.validate(c)
	s.Settings.validate(c)
	if s.Files.Directory != "" {
		c.absolute("files.directory", s.Files.Directory)
	}
	seen := map[string]bool{}
	for i, v := range s.Services {
		s.validateService(c, element("service", i), v, seen)
	}
}

// validateService judges one service, whose keys are below at, beside those whose names were seen.
func (s *Synapse) validateService(c *check, at string, v Service, seen map[string]bool) {
	switch {
	case !serviceName.MatchString(v.Name):
		c.bad([]string{join(at, "name"), at}, "%q can not be the name of a service: use letters, digits, dots, colons, dashes and underscores", v.Name)
	case seen[v.Name]:
		c.bad([]string{join(at, "name"), at}, "there is another service %s", v.Name)
	}
	seen[v.Name] = true
	v.validate(c, at)
	if v.File && s.Files.Directory == "" {
		c.bad([]string{join(at, "file")}, "has no place to be: set files.directory")
	}
	if len(v.Sources) == 0 {
		c.bad([]string{join(at, "source")}, "is missing: say in [[service.source]] where the backends are told")
	}
	for j, src := range v.Sources {
		src.validate(c, element(join(at, "source"), j), s.ZooKeeper, s.Serf)
	}
}

var backendOrders = []string{"", "asc", "desc", "no_shuffle"}

func (v Service) validate(c *check, at string) {
	if !slices.Contains([]string{"union", "sequential", "fallback"}, v.Combine) {
		c.bad([]string{join(at, "combine")}, `%q is not known: want "union", "sequential" or "fallback"`, v.Combine)
	}
	for i, f := range v.Filters {
		if _, _, _, ok := ParseFilter(f); !ok {
			c.bad([]string{element(join(at, "filters"), i)}, `%q is no filter, such as "az=us-east-1a" or "role!=canary"`, f)
		}
	}
	c.places(join(at, "default_servers"), v.DefaultServers, false)
	if v.MaxStale < 0 {
		c.bad([]string{join(at, "max_stale")}, "%s is not possible: want 0 for ever, or more", v.MaxStale)
	}
	c.upTo(join(at, "panic_percent"), v.PanicPercent, 100)
	c.positive(join(at, "panic_hold"), v.PanicHold)
	c.upTo(join(at, "backend_port"), v.BackendPort, 65535)
	c.upTo(join(join(at, "haproxy"), "port"), v.HAProxy.Port, 65535)
	if !slices.Contains(backendOrders, v.HAProxy.BackendOrder) {
		c.bad([]string{join(join(at, "haproxy"), "backend_order")}, `%q is not known: want "asc", "desc", "no_shuffle", or "" for an order by chance that is always the same`, v.HAProxy.BackendOrder)
	}
}

func (s ServiceSource) validate(c *check, at string, z ZooKeeper, serf Serf) {
	s.validateSettings(c, at+".settings")
	switch s.Method {
	case "zookeeper":
		if len(s.Servers) == 0 && len(z.Servers) == 0 {
			c.bad([]string{at + ".servers"}, "is missing: name the servers here or in zookeeper.servers")
		}
		if !path.IsAbs(s.Path) || path.Clean(s.Path) != s.Path || s.Path == "/" {
			c.bad([]string{at + ".path"}, `%q is not the absolute path of a folder, such as "/nerve/services/web/services"`, s.Path)
		}
	case "consul":
		c.word(at+".service", s.Service, "the name of a service of Consul")
	case "serf":
		c.word(at+".service", s.Service, "the name of a service, as in the tag smart:web")
		c.positive(at+".interval", s.Interval)
		switch {
		case len(s.Servers) > 1:
			c.bad([]string{at + ".servers"}, "one agent is asked: name one")
		case len(s.Servers) == 1:
			c.address(element(at+".servers", 0), s.Servers[0])
		case serf.Agent == "":
			c.bad([]string{at + ".servers"}, `is missing: name the RPC of an agent on this host here or in serf.agent, such as "127.0.0.1:7373"`)
		}
	case "dns":
		c.positive(at+".interval", s.Interval)
		c.places(at+".backends", s.Backends, true)
	case "file":
		c.absolute(at+".path", s.Path)
	case "static":
		c.places(at+".backends", s.Backends, false)
	default:
		c.bad([]string{at + ".method"}, `%q is not known: want "zookeeper", "consul", "serf", "dns", "file" or "static"`, s.Method)
	}
	if (s.Method == "dns" || s.Method == "static") && len(s.Backends) == 0 {
		c.bad([]string{at + ".backends"}, "is missing: name the backends as host:port")
	}
	if s.Method == "dns" {
		for i, r := range s.Servers {
			c.address(element(at+".servers", i), r)
		}
	}
}

func (s ServiceSource) validateSettings(c *check, at string) {
	switch {
	case s.Settings == "":
	case s.Method == "zookeeper":
		if !path.IsAbs(s.Settings) || path.Clean(s.Settings) != s.Settings || s.Settings == "/" {
			c.bad([]string{at}, `%q is not the absolute path of a node, such as "/nerve/services/web/services"`, s.Settings)
		}
	case s.Method == "consul":
		if strings.HasPrefix(s.Settings, "/") || strings.TrimSpace(s.Settings) != s.Settings {
			c.bad([]string{at}, `%q is no key of Consul's key-value store, such as "services/web"`, s.Settings)
		}
	default:
		c.bad([]string{at}, "settings can be in ZooKeeper and Consul only")
	}
}

// places checks a list of backends.
func (c *check) places(key string, list []string, bare bool) {
	for i, p := range list {
		if _, _, port, ok := ParsePlace(p); !ok || port == 0 && !bare {
			c.bad([]string{element(key, i), key}, `%q is not host:port or name=host:port`, p)
		}
	}
}

// ParseFilter reads label=value, or label!=value, for which not is true.
func ParseFilter(s string) (label, value string, not, ok bool) {
	label, value, ok = strings.Cut(s, "=")
	label, not = strings.CutSuffix(label, "!")
	return label, value, not, ok && label != ""
}

// ParsePlace reads host:port or name=host:port. Without :port the port is 0.
func ParsePlace(s string) (name, host string, port int, ok bool) {
	if n, rest, named := strings.Cut(s, "="); named {
		name, s = n, rest
	}
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return name, s, 0, s != "" && !strings.ContainsAny(s, ": \t/")
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return name, host, int(n), err == nil && n > 0 && host != "" && !strings.ContainsAny(host, " \t/")
}
