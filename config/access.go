package config

import (
	"slices"
	"strings"
)

// Role is what a client of an API may do. Each includes the ones before it.
type Role string

// The roles, from the least one.
const (
	RoleNone    Role = "none"
	RoleRead    Role = "read"    // look at everything, change nothing
	RoleOperate Role = "operate" // steer: pause, cancel, locate, accept, answer tickets
	RoleDestroy Role = "destroy" // let data be destroyed: approve plans, reset the breaker, order hands
)

var roles = []Role{RoleNone, RoleRead, RoleOperate, RoleDestroy}

// UnmarshalText accepts the roles above and nothing else.
func (r *Role) UnmarshalText(text []byte) error { return choose(r, text, roles) }
func (*Role) want() string                      { return wantOneOf(roles) }

// Includes says whether whoever has the role may do what the other one is for. What is no role includes
// nothing, and nothing includes it.
func (r Role) Includes(other Role) bool {
	have, need := slices.Index(roles, r), slices.Index(roles, other)
	return need >= 0 && have >= need
}

// Access is the section [access]: who may do what with the API. The lists hold patterns, see path.Match, of
// names in certificates, and of user:NAME and group:NAME for clients of the socket.
type Access struct {
	Destroy []string `toml:"destroy"`
	Operate []string `toml:"operate"`
	Read    []string `toml:"read"`

	Others   Role `toml:"others"`   // certificates of the authority that no list names and that carry no role
	Loopback Role `toml:"loopback"` // clients without TLS at a loopback address

	Requests int `toml:"requests"` // of one client in a second, five times as many at once
	Streams  int `toml:"streams"`  // of one client at a time
}

// What the names of the users and groups of a host begin with.
const (
	UserPrefix  = "user:"
	GroupPrefix = "group:"
)

// OfHost says whether a pattern is for users or groups of the host, and not for certificates.
func OfHost(pattern string) bool {
	return strings.HasPrefix(pattern, UserPrefix) || strings.HasPrefix(pattern, GroupPrefix)
}

// Limits of what one client may ask, so large that they stop only what has gone wrong.
const (
	mostRequests = 100_000
	mostStreams  = 100_000
)

func defaultAccess() Access {
	return Access{Others: RoleRead, Loopback: RoleRead, Requests: 500, Streams: 2000}
}

func (a Access) validate(c *check, api API, t TLS) {
	seen := map[string]string{}
	for _, list := range []struct {
		key   string
		names []string
	}{{"access.destroy", a.Destroy}, {"access.operate", a.Operate}, {"access.read", a.Read}} {
		for i, name := range list.names {
			key := element(list.key, i)
			if !c.glob(key, name) {
				continue
			}
			switch {
			case seen[name] != "":
				c.bad([]string{key}, "%q is in %s, too: every name has one role", name, seen[name])
			case OfHost(name) && api.Socket == "":
				c.bad([]string{key}, "%q is for clients of the unix socket, and api.socket is not set", name)
			case !OfHost(name) && !t.Enabled():
				c.bad([]string{key}, `%q is for certificates, and [tls] is not set; users of this host are "user:NAME" and "group:NAME"`, name)
			}
			seen[name] = list.key
		}
	}
	c.within("access.requests", a.Requests, mostRequests)
	c.within("access.streams", a.Streams, mostStreams)
}

// validateRepairers judges the names of those who may order the hand.
func (h Hand) validateRepairers(c *check, t TLS) {
	for i, name := range h.Repairers {
		key := element("hand.repairers", i)
		switch {
		case !c.glob(key, name):
		case OfHost(name):
			c.bad([]string{key}, "%q is no name in a certificate: repairers come by TLS", name)
		case !t.Enabled():
			c.bad([]string{key, "hand.repairers"}, "without [tls] nobody can prove to be %q, so no order would be taken", name)
		}
	}
}
