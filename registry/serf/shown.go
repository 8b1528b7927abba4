package serf

import (
	"maps"
	"sync"

	"glia"
	"glia/registry"
)

// listed is one entry of Serf's member list.
type listed struct {
	name   string
	tags   map[string]string // not changed any more
	status glia.MemberStatus
}

// shown is what Serf's member list says. The list is read anew each time, and tags that are the same as before are
// not decoded again.
type shown struct {
	reading sync.Mutex // held from reading the list until it is taken over, so that no list replaces a newer one
	known   map[string]decoded
	journal registry.Journal
}

// decoded is what an entry says.
type decoded struct {
	listed
	member    glia.Member
	announces bool // a host
}

// take takes over a list of members with different names.
func (s *shown) take(list []listed) {
	if s.known == nil {
		s.known = make(map[string]decoded, len(list))
	}
	changed := false
	for _, l := range list {
		d, ok := s.known[l.name]
		sameTags := ok && maps.Equal(d.tags, l.tags)
		if sameTags && d.status == l.status {
			continue
		}
		if !sameTags {
			d.member, d.announces = DecodeDigest(l.name, l.tags)
		}
		d.listed, d.member.Status = l, l.status
		s.known[l.name] = d
		changed = true
	}
	if len(s.known) > len(list) { // Serf has forgotten some
		there := make(map[string]bool, len(list))
		for _, l := range list {
			there[l.name] = true
		}
		maps.DeleteFunc(s.known, func(name string, _ decoded) bool { return !there[name] })
		changed = true
	}
	if !changed {
		return
	}
	members := make([]glia.Member, 0, len(s.known))
	for _, d := range s.known {
		if d.announces {
			members = append(members, d.member)
		}
	}
	s.journal.Replace(members)
}
