package synapse

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/btree"

	"glia"
	"glia/registry"
)

// claim is the one member that stands for a host name.
type claim struct {
	member    glia.Member
	contested bool // that another alive announcer claims the name as well
}

// claimOf merges the members that announce one host. An alive one replaces those that are not. When several are
// alive nobody can tell which of them is the host: the most pressing announcement is shown, with the problem
// and without an address, so that neither we nor a consumer asks the wrong one. A member without a name is
// nobody, and is shown as contested too.
func claimOf(h registry.Host) claim {
	slices.SortFunc(h.Members, func(a, b glia.Member) int {
		return cmp.Or(cmp.Compare(rank(a.Status), rank(b.Status)),
			cmp.Compare(b.Announcement.Worst, a.Announcement.Worst), cmp.Compare(a.Announcement.API, b.Announcement.API))
	})
	c := claim{member: h.Members[0]}
	var at []string
	for _, m := range h.Members {
		if m.Status == glia.MemberAlive {
			at = append(at, m.Announcement.API)
		}
	}
	switch {
	case len(at) > 1:
		c.contest(fmt.Sprintf("%d announcers claim this host, at %s; rename all but one", len(at), strings.Join(at, ", ")))
	case h.Name == "":
		c.contest("it announces no host name")
	}
	return c
}

func (c *claim) contest(problem string) {
	c.contested = true
	c.member.Announcement.API, c.member.Announcement.Fingerprint = "", ""
	if c.member.Problem != "" {
		problem += "; " + c.member.Problem
	}
	c.member.Problem = problem
}

func rank(s glia.MemberStatus) int {
	switch s {
	case glia.MemberAlive:
		return 0
	case glia.MemberGone:
		return 1 // more than left, because somebody should look
	default:
		return 2
	}
}

// degree is the number of children of a node of the tree of hosts.
const degree = 16

// hostViews are the hosts of a view by name. Those that were frozen share what has not changed since, so a change costs
// the same in a fleet of any size.
type hostViews struct{ tree *btree.BTreeG[*glia.HostView] }

func newHostViews() *hostViews {
	return &hostViews{btree.NewG(degree, func(a, b *glia.HostView) bool {
		return a.Member.Announcement.Host < b.Member.Announcement.Host
	})}
}

// keyed is the key of a host in the tree.
func keyed(host string) *glia.HostView {
	return &glia.HostView{Member: glia.Member{Announcement: glia.Announcement{Host: host}}}
}

// set replaces a host, or removes it when is is nil, and returns what it was, or nil.
func (v *hostViews) set(host string, is *glia.HostView) (was *glia.HostView) {
	if is == nil {
		was, _ = v.tree.Delete(keyed(host))
	} else {
		was, _ = v.tree.ReplaceOrInsert(is)
	}
	return was
}

// freeze returns the hosts as they are now. They do not change any more, and any number of readers may have them.
func (v *hostViews) freeze() *hostViews { return &hostViews{v.tree.Clone()} }

// host returns one of them.
func (v *hostViews) host(name string) (glia.HostView, bool) {
	h, ok := v.tree.Get(keyed(name))
	if !ok {
		return glia.HostView{}, false
	}
	return *h, true
}

// list copies all of them, sorted by name.
func (v *hostViews) list() []glia.HostView {
	out := make([]glia.HostView, 0, v.tree.Len())
	v.tree.Ascend(func(h *glia.HostView) bool {
		out = append(out, *h)
		return true
	})
	return out
}
