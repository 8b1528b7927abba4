package synapse

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"glia"
)

// claim is the one member that stands for a host name.
type claim struct {
	member    glia.Member
	contested bool // that another alive announcer claims the name as well
}

// claims merges the members that announce the same host, sorted by host. An alive one replaces those
// that are not. When several are alive nobody can tell which of them is the host: the most pressing
// announcement is shown, with the problem and without an address, so that neither we nor a consumer
// asks the wrong one. A member without a name is nobody, and is shown as contested too.
func claims(members []glia.Member) []claim {
	byHost := map[string][]glia.Member{}
	for _, m := range members {
		byHost[m.Announcement.Host] = append(byHost[m.Announcement.Host], m)
	}
	out := make([]claim, 0, len(byHost))
	for name, rivals := range byHost {
		slices.SortFunc(rivals, func(a, b glia.Member) int {
			return cmp.Or(cmp.Compare(rank(a.Status), rank(b.Status)),
				cmp.Compare(b.Announcement.Worst, a.Announcement.Worst), cmp.Compare(a.Announcement.API, b.Announcement.API))
		})
		c := claim{member: rivals[0]}
		var at []string
		for _, m := range rivals {
			if m.Status == glia.MemberAlive {
				at = append(at, m.Announcement.API)
			}
		}
		switch {
		case len(at) > 1:
			c.contest(fmt.Sprintf("%d announcers claim this host, at %s; rename all but one", len(at), strings.Join(at, ", ")))
		case name == "":
			c.contest("it announces no host name")
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b claim) int {
		return cmp.Compare(a.member.Announcement.Host, b.member.Announcement.Host)
	})
	return out
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

// buildView makes the view of all hosts as they are now.
func buildView(at time.Time, hosts map[string]*host) glia.FleetView {
	v := glia.FleetView{At: at, Hosts: make([]glia.HostView, 0, len(hosts))}
	for _, h := range hosts {
		v.Hosts = append(v.Hosts, glia.HostView{Member: h.member, Disks: h.disks, FetchedAt: h.fetchedAt, Problem: h.problem})
	}
	slices.SortFunc(v.Hosts, func(a, b glia.HostView) int {
		return cmp.Compare(a.Member.Announcement.Host, b.Member.Announcement.Host)
	})
	return v
}
