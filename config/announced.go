package config

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"
)

// AnnouncedService is one element of [[service]] of nerve, or one file of services_dir: a service of its host that is checked, and
// announced as nerve of Airbnb's Smartstack does.
type AnnouncedService struct {
	Name     string   `toml:"name"`     // of the service, unique here; in a file of services_dir empty: its name without .toml
	Host     string   `toml:"host"`     // that it is reached at; empty: that of the nerve
	Port     int      `toml:"port"`     // 1 to 65535
	Instance string   `toml:"instance"` // name of this instance of it; empty: the host of the nerve
	Weight   int      `toml:"weight"`   // -1: none is announced
	Options  string   `toml:"options"`  // haproxy_server_options
	Labels   []string `toml:"labels"`   // as label=value

	Interval  Duration  `toml:"interval"` // between the end of a round of its checks and the next; at least 10 ms
	RateLimit RateLimit `toml:"rate_limit"`

	Checks []ServiceCheck `toml:"check"` // none: it is up
	Places []ServicePlace `toml:"place"`
}

// RateLimit is [service.rate_limit]: how often what is announced may change.
type RateLimit struct {
	AverageRate float64 `toml:"average_rate"` // changes each second; 0: any
	MaxBurst    int     `toml:"max_burst"`    // changes at once, at least 1
	Shadow      bool    `toml:"shadow"`       // it is only told what would have been held back
}

// ServicePlace is one [[service.place]]: where a service is announced.
type ServicePlace struct {
	Registry     Registry `toml:"registry"`      // zookeeper, consul or serf
	Servers      []string `toml:"servers"`       // of ZooKeeper, as host or host:port; empty: those of [zookeeper]
	Path         string   `toml:"path"`          // zookeeper: absolute path of the folder
	PathEncoding bool     `toml:"path_encoding"` // zookeeper: the announcement is part of the name of the node too
	Numbered     bool     `toml:"numbered"`      // zookeeper: the node is sequential
	Service      string   `toml:"service"`       // consul, serf; empty: the name of the service
	Tags         []string `toml:"tags"`          // consul
}

func (s *AnnouncedService) setDefaults() {
	s.Weight, s.Interval, s.RateLimit = -1, seconds(1), RateLimit{MaxBurst: 1, Shadow: true}
}

func (p *ServicePlace) setDefaults() { p.Registry, p.Numbered = RegistryZooKeeper, true }

func (n Nerve) validateServices(c *check) {
	for key, name := range map[string]string{"services_dir": n.ServicesDir, "heartbeat_file": n.HeartbeatFile} {
		if name != "" {
			c.absolute(key, name)
		}
	}
	seen := map[string]bool{}
	for i, s := range n.Services {
		at := element("service", i)
		s.validate(n, func(key, format string, args ...any) { c.bad([]string{at + "." + key}, format, args...) })
		if seen[s.Name] {
			c.bad([]string{at + ".name"}, "there is another service %s", s.Name)
		}
		seen[s.Name] = true
		for j, p := range s.Places {
			if p.Registry != RegistrySerf {
				continue
			}
			key, tag := at+"."+element("place", j), "serf "+cmp.Or(p.Service, s.Name)
			if seen[tag] {
				c.bad([]string{key + ".service"}, "another service is announced in Serf as %s: give each its own, such as %s_%d", cmp.Or(p.Service, s.Name), cmp.Or(p.Service, s.Name), s.Port)
			}
			if seen[tag] = true; !slices.Contains(n.Registries, RegistrySerf) {
				c.bad([]string{key + ".registry"}, `"serf" is not among the registries of nerve: add it there`)
			}
		}
	}
	announces := slices.ContainsFunc(n.Services, func(s AnnouncedService) bool {
		return slices.ContainsFunc(s.Places, func(p ServicePlace) bool { return p.Registry == RegistryZooKeeper })
	})
	if announces && !slices.Contains(n.Registries, RegistryZooKeeper) {
		n.ZooKeeper.validateSession(c)
	}
}

// validate calls bad with what is wrong, by keys of the service.
func (s AnnouncedService) validate(n Nerve, bad func(key, format string, args ...any)) {
	if !serviceName.MatchString(s.Name) {
		bad("name", "%q can not be the name of a service: use letters, digits, dots, colons, dashes and underscores", s.Name)
	}
	if s.Port < 1 || s.Port > 65535 {
		bad("port", "%d is not possible: want 1 to 65535", s.Port)
	}
	if s.Weight < -1 {
		bad("weight", "%d is not possible: want 0 or more, or -1 for none", s.Weight)
	}
	if strings.ContainsAny(s.Instance, "/\x00") {
		bad("instance", "%q can not be part of the name of a node: it has a slash", s.Instance)
	}
	for i, l := range s.Labels {
		if k, _, ok := strings.Cut(l, "="); !ok || k == "" {
			bad(element("labels", i), "%q is not of the form label=value", l)
		}
	}
	if time.Duration(s.Interval) < 10*time.Millisecond {
		bad("interval", "%s is too short: want 10ms or more", s.Interval)
	}
	if !(s.RateLimit.AverageRate >= 0 && s.RateLimit.AverageRate <= 1e6) {
		bad("rate_limit.average_rate", "%v is not possible: want changes each second, or 0 for any number", s.RateLimit.AverageRate)
	}
	if s.RateLimit.MaxBurst < 1 {
		bad("rate_limit.max_burst", "%d is not possible: want 1 or more", s.RateLimit.MaxBurst)
	}
	for i, k := range s.Checks {
		k.validate(func(key, format string, args ...any) { bad(element("check", i)+"."+key, format, args...) })
	}
	if len(s.Places) == 0 {
		bad("place", "is missing: say in [[service.place]] where it is announced")
	}
	for i, p := range s.Places {
		p.validate(n.ZooKeeper, func(key, format string, args ...any) { bad(element("place", i)+"."+key, format, args...) })
	}
}

func (p ServicePlace) validate(z ZooKeeper, bad func(key, format string, args ...any)) {
	switch p.Registry {
	case RegistryZooKeeper:
	case RegistryConsul:
		if strings.ContainsAny(p.Service, " \t\r\n/") {
			bad("service", "%q can not be the name of a service of Consul", p.Service)
		}
		return
	case RegistrySerf:
		if p.Service != "" && !serviceName.MatchString(p.Service) {
			bad("service", "%q can not be the name of a service in Serf", p.Service)
		}
		return
	}
	for i, s := range p.Servers {
		if s == "" || strings.ContainsAny(s, " \t\r\n") {
			bad(element("servers", i), "%q is not the host or host:port of a server", s)
		}
	}
	if len(p.Servers)+len(z.Servers) == 0 {
		bad("servers", `is missing: name the servers of ZooKeeper here or in zookeeper.servers, for example ["zk-1:2181", "zk-2:2181"]`)
	}
	if !path.IsAbs(p.Path) || p.Path == "/" || path.Clean(p.Path) != p.Path {
		bad("path", `%q is not the absolute path of a folder, such as "/nerve/services/web/services"`, p.Path)
	}
	if p.PathEncoding && !p.Numbered {
		bad("path_encoding", "the name of a node holds the announcement only when it is numbered")
	}
}
