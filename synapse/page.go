package synapse

import (
	"slices"
	"strings"

	"glia"
)

// page is the next of the hosts by name after the token, with about size disks by what they announce; a size of 0
// means all. A host that comes or goes between two pages is in one or in none, and moves no other one. next is
// the token of the page behind it; empty when there is none.
func page(hosts []glia.HostView, size int, token string) (out []glia.HostView, next string) {
	slices.SortFunc(hosts, func(a, b glia.HostView) int { return strings.Compare(hostOf(a), hostOf(b)) })
	first, _ := slices.BinarySearchFunc(hosts, token, func(h glia.HostView, token string) int {
		if hostOf(h) <= token {
			return -1
		}
		return 1
	})
	hosts = hosts[first:]
	disks := 0
	for i, h := range hosts {
		disks += max(1, h.Member.Announcement.DiskCount)
		if size > 0 && disks > size && i > 0 {
			return hosts[:i], hostOf(hosts[i-1])
		}
	}
	return hosts, ""
}

func hostOf(h glia.HostView) string { return h.Member.Announcement.Host }
