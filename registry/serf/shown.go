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
	same := len(list) == len(s.known)
	for _, l := range list {
		old, ok := s.known[l.name]
		if same = same && ok && old.status == l.status && maps.Equal(old.tags, l.tags); !same {
			break
		}
	}
	if same {
		return
	}
	known, members := make(map[string]decoded, len(list)), make([]glia.Member, 0, len(list))
	for _, l := range list {
		d, ok := s.known[l.name]
		if !ok || !maps.Equal(d.tags, l.tags) {
			d.member, d.announces = DecodeDigest(l.name, l.tags)
		}
		d.listed, d.member.Status = l, l.status
		known[l.name] = d
		if d.announces {
			members = append(members, d.member)
		}
	}
	s.known = known
	s.journal.Replace(members)
}
