package config

import (
	"math"
	"path"
	"slices"
	"strings"
)

// AnnouncedService is one element of [[service]] of nerve: a service of its host that is announced in ZooKeeper, as
// nerve of Airbnb's Smartstack does.
type AnnouncedService struct {
	Name     string   `toml:"name"`     // of the service, unique here
	Host     string   `toml:"host"`     // that it is reached at; empty: that of the nerve
	Port     int      `toml:"port"`     // 1 to 65535
	Instance string   `toml:"instance"` // name of this instance of it; empty: the host of the nerve
	Weight   int      `toml:"weight"`   // -1: none is announced
	Options  string   `toml:"options"`  // haproxy_server_options
	Labels   []string `toml:"labels"`   // as label=value

	Servers      []string `toml:"servers"`       // of ZooKeeper, as host or host:port; empty: those of [zookeeper]
	Path         string   `toml:"path"`          // absolute path of the folder in it
	PathEncoding bool     `toml:"path_encoding"` // the announcement is part of the name of the node too
	Numbered     bool     `toml:"numbered"`      // the node is sequential
}

func (s *AnnouncedService) setDefaults() { s.Weight, s.Numbered = -1, true }

func (n Nerve) validateServices(c *check) {
	seen := map[string]bool{}
	for i, s := range n.Services {
		at := element("service", i)
		switch {
		case s.Name == "":
			c.bad([]string{at + ".name", at}, "is missing: name the service")
		case seen[s.Name]:
			c.bad([]string{at + ".name"}, "there is another service %s", s.Name)
		}
		seen[s.Name] = true
		c.within(at+".port", s.Port, math.MaxUint16)
		if s.Weight < -1 {
			c.bad([]string{at + ".weight"}, "%d is not possible: want 0 or more, or -1 for none", s.Weight)
		}
		if strings.ContainsAny(s.Instance, "/\x00") {
			c.bad([]string{at + ".instance"}, "%q can not be part of the name of a node: it has a slash", s.Instance)
		}
		for j, l := range s.Labels {
			if k, _, ok := strings.Cut(l, "="); !ok || k == "" {
				c.bad([]string{element(at+".labels", j), at + ".labels"}, "%q is not of the form label=value", l)
			}
		}
		for j, z := range s.Servers {
			c.word(element(at+".servers", j), z, "the host or host:port of a server")
		}
		if len(s.Servers)+len(n.ZooKeeper.Servers) == 0 {
			c.bad([]string{at + ".servers", at}, `has no servers: name those of ZooKeeper here or in zookeeper.servers, for example ["zk-1:2181", "zk-2:2181"]`)
		}
		if !path.IsAbs(s.Path) || s.Path == "/" || path.Clean(s.Path) != s.Path {
			c.bad([]string{at + ".path", at}, `%q is not the absolute path of a folder, such as "/nerve/services/web/services"`, s.Path)
		}
		if s.PathEncoding && !s.Numbered {
			c.bad([]string{at + ".path_encoding", at + ".numbered"}, "the name of a node holds the announcement only when it is numbered")
		}
	}
	if len(n.Services) > 0 && !slices.Contains(n.Registries, RegistryZooKeeper) {
		n.ZooKeeper.validateSession(c)
	}
}
