package registry

import (
	"cmp"
	"container/list"
	"slices"
	"strings"
	"sync"

	"glia"
)

// Mark names a state that a watcher told. The zero Mark names none. A mark means nothing to another watcher.
type Mark struct {
	journal *Journal
	at      uint64
}

// Delta is how the state of a registry differs from an earlier one.
type Delta struct {
	Mark  Mark   // names the state that the reader has once it has taken this over
	Whole bool   // Hosts are all there are: every other host is forgotten
	Hosts []Host // the changed hosts as they are now, sorted by name
}

// Host is what a registry shows of one host name.
type Host struct {
	Name    string
	Members []glia.Member // several only when several announcers claim the name; none when the registry has forgotten it
}

// keptForgotten is how many forgotten hosts a Journal remembers. A reader that has missed more is told the whole.
const keptForgotten = 1024

// Journal holds the state that a watcher tells, and in which order its hosts have last changed. A reader with the mark
// of an earlier state is told what differs from it, at the cost of what differs; one whose mark is not
// known any more is told the whole. The zero Journal is empty and ready. It is safe for concurrent use.
type Journal struct {
	mu        sync.Mutex
	now       uint64 // number of the newest change
	floor     uint64 // number of the newest change that is not remembered any more
	hosts     map[string]*record
	shown     list.List // of *record with members, in the order of their last change
	forgotten list.List // of *record without
}

// record is one host.
type record struct {
	Host
	at    uint64 // number of its last change
	place *list.Element
}

// Set makes members all that is shown of a host, and none forgets it. It takes them over, and says whether that
// changed anything.
func (j *Journal) Set(host string, members ...glia.Member) bool {
	slices.SortFunc(members, inOrder)
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.set(host, members)
}

// Replace makes members all that is shown of all hosts. It takes them over, and says whether that changed anything.
func (j *Journal) Replace(members []glia.Member) bool {
	slices.SortFunc(members, inOrder)
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.now
	there := make(map[string]bool, len(members))
	for len(members) > 0 {
		host, n := members[0].Announcement.Host, 1
		for n < len(members) && members[n].Announcement.Host == host {
			n++
		}
		there[host] = true
		j.set(host, members[:n:n])
		members = members[n:]
	}
	if j.shown.Len() > len(there) {
		for name, r := range j.hosts {
			if len(r.Members) > 0 && !there[name] {
				j.set(name, nil)
			}
		}
	}
	return j.now != before
}

func (j *Journal) set(host string, members []glia.Member) bool {
	r := j.hosts[host]
	switch {
	case r == nil && len(members) == 0:
		return false
	case r == nil:
		if j.hosts == nil {
			j.hosts = map[string]*record{}
		}
		r = &record{Host: Host{Name: host}}
		j.hosts[host] = r
	case slices.EqualFunc(r.Members, members, same):
		return false
	case len(r.Members) > 0:
		j.shown.Remove(r.place)
	default:
		j.forgotten.Remove(r.place)
	}
	j.now++
	r.Members, r.at = members, j.now
	if len(members) > 0 {
		r.place = j.shown.PushBack(r)
		return true
	}
	r.place = j.forgotten.PushBack(r)
	if j.forgotten.Len() > keptForgotten {
		oldest := j.forgotten.Remove(j.forgotten.Front()).(*record) //nolint:forcetypeassert // nothing else is in it
		delete(j.hosts, oldest.Name)
		j.floor = oldest.at
	}
	return true
}

// Members tells the whole state, sorted by host. The list belongs to the caller.
func (j *Journal) Members() []glia.Member {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]glia.Member, 0, j.shown.Len())
	for e := j.shown.Front(); e != nil; e = e.Next() {
		out = append(out, owned(e.Value.(*record).Members)...) //nolint:forcetypeassert // nothing else is in it
	}
	slices.SortFunc(out, inOrder)
	return out
}

// Since tells what differs from the state that the mark names, or the whole when that is not known. The delta
// belongs to the caller.
func (j *Journal) Since(m Mark) Delta {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := Delta{Mark: Mark{j, j.now}, Whole: m.journal != j || m.at < j.floor}
	if d.Whole {
		m.at = 0
	}
	take := func(l *list.List) {
		for e := l.Back(); e != nil; e = e.Prev() {
			r := e.Value.(*record) //nolint:forcetypeassert // nothing else is in it
			if r.at <= m.at {
				return
			}
			d.Hosts = append(d.Hosts, Host{r.Name, owned(r.Members)})
		}
	}
	take(&j.shown)
	if !d.Whole {
		take(&j.forgotten)
	}
	slices.SortFunc(d.Hosts, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	return d
}

// owned copies members for a reader.
func owned(members []glia.Member) []glia.Member {
	out := slices.Clone(members)
	for i := range out {
		out[i].Announcement.Bad = slices.Clone(out[i].Announcement.Bad)
	}
	return out
}

func same(a, b glia.Member) bool {
	return a.Status == b.Status && a.Problem == b.Problem && a.Announcement.Generation == b.Announcement.Generation &&
		a.Announcement.SameDigest(b.Announcement)
}

// inOrder orders members by host, and those of one host always in the same way.
func inOrder(a, b glia.Member) int {
	if c := strings.Compare(a.Announcement.Host, b.Announcement.Host); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.Announcement.API, b.Announcement.API),
		cmp.Compare(a.Announcement.Generation, b.Announcement.Generation), strings.Compare(string(a.Status), string(b.Status)))
}
