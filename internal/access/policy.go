package access

import (
	"fmt"
	"path"
	"slices"

	"glia/config"
)

// policy decides who may do what. It is pure.
type policy struct {
	access    config.Access
	repairers []string
	program   string
}

// Role is what somebody may do: the highest role of the lists that name it; otherwise the one that its
// certificate carries, and otherwise that of its kind.
func (p policy) Role(who Identity) config.Role {
	switch {
	case who.root:
		return config.RoleDestroy
	case who.matches(p.access.Destroy):
		return config.RoleDestroy
	case who.matches(p.access.Operate):
		return config.RoleOperate
	case who.matches(p.access.Read):
		return config.RoleRead
	case who.role != "":
		return who.role
	case who.kind == certificate:
		return p.access.Others
	case who.kind == loopback:
		return p.access.Loopback
	}
	return config.RoleNone
}

// matches says whether one of the patterns means the identity. A certificate with the name of a user is not
// that user: names of its kind are not among its names.
func (i Identity) matches(patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if config.OfHost(pattern) != (i.kind == socket) {
			return false
		}
		return slices.ContainsFunc(i.names, func(name string) bool {
			ok, err := path.Match(pattern, name)
			return ok && err == nil
		})
	})
}

// authorise says why somebody may not call a verb; nil if it may.
func (p policy) authorise(who Identity, v verb, name string) *refusal {
	role := p.Role(who)
	if !role.Includes(v.role) {
		has := "has the role " + string(role)
		if role == config.RoleNone {
			has = "has no role here"
		}
		return denied("role", fmt.Sprintf("%s needs the role %s, and %s %s", name, v.role, who, has), string(v.role), p.remedy(who, v.role))
	}
	if v.orders && len(p.repairers) > 0 && !who.matches(p.repairers) {
		return denied("repairer", fmt.Sprintf("%s is for the repairer alone, and %s is not it", name, who), "a repairer",
			"its name is added to repairers in [hand] of "+p.program+".toml, if it is one")
	}
	return nil
}

// remedy is what would give somebody a role.
func (p policy) remedy(who Identity, role config.Role) string {
	file := p.program + ".toml"
	switch who.kind {
	case certificate:
		return fmt.Sprintf("%q is added to %s in [access] of %s", who.label, role, file)
	case socket:
		return fmt.Sprintf("%q is added to %s in [access] of %s", config.UserPrefix+who.label, role, file)
	case loopback:
		return fmt.Sprintf("loopback in [access] of %s is %q, or a name is proven: come by TLS or by the unix socket", file, role)
	}
	return "a name is proven: come by TLS or by the unix socket"
}
