package disk

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"glia"
)

// candidate is a device that is a disk if no other one claims its serial.
type candidate struct {
	device *device
	disk   glia.Disk
}

func (c candidate) refuse(why string) Unidentified {
	return Unidentified{Device: c.device.node(), Serial: c.disk.Serial(), Why: why}
}

// unique gives every serial to one disk. Several devices with one serial are one disk if the kernel's
// multipath device holds all of them; otherwise none of them is known, since acting on the wrong one is
// worse than acting on none.
func unique(found []candidate) ([]glia.Disk, []Unidentified) {
	claims := map[string][]candidate{}
	for _, c := range found {
		claims[c.disk.Serial()] = append(claims[c.disk.Serial()], c)
	}
	var disks []glia.Disk
	var refused []Unidentified
	for _, serial := range slices.Sorted(maps.Keys(claims)) {
		group := claims[serial]
		switch {
		case len(group) == 1:
			disks = append(disks, group[0].disk)
		case onePath(group):
			disks = append(disks, merge(group))
		default:
			names := make([]string, len(group))
			for i, c := range group {
				names[i] = c.device.node()
			}
			why := fmt.Sprintf("serial %s is claimed by %s and %s, which are not paths of one multipath device",
				serial, strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
			for _, c := range group {
				refused = append(refused, c.refuse(why))
			}
		}
	}
	return disks, refused
}

// onePath says whether one multipath device holds every device of the group.
func onePath(group []candidate) bool {
	held := map[string]int{}
	for _, c := range group {
		for _, h := range c.disk.Holders {
			if h.Kind == "multipath" && h.On == c.device.node() {
				held[h.Name]++
			}
		}
	}
	for _, n := range held {
		if n == len(group) {
			return true
		}
	}
	return false
}

// merge makes one disk of its paths. It goes by the place that sorts first, so that the place does not
// depend on the order in which the kernel found the paths.
func merge(paths []candidate) glia.Disk {
	slices.SortFunc(paths, func(a, b candidate) int {
		p, q := a.disk.Location.Place(), b.disk.Location.Place()
		if (p == "") != (q == "") {
			return cmp.Compare(q, p)
		}
		return cmp.Or(cmp.Compare(p, q), cmp.Compare(a.device.name, b.device.name))
	})
	out := paths[0].disk
	for _, p := range paths[1:] {
		out.Protected = cmp.Or(out.Protected, p.disk.Protected)
		out.Holders = append(out.Holders, without(p.disk.Holders, out.Holders)...)
		out.Mounts = append(out.Mounts, without(p.disk.Mounts, out.Mounts)...)
		out.Swap = append(out.Swap, without(p.disk.Swap, out.Swap)...)
		if len(out.Partitions) == 0 {
			out.Partitions = p.disk.Partitions
		}
	}
	return out
}

func without[T comparable](list, known []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(known, v) })
}
