package disk

import (
	"fmt"
	"slices"
	"strings"
)

// Use is one thing that the running system needs.
type Use struct {
	What   string   // "/", "/boot/efi", "swap", "swap file /swap.img"
	FSType string   // type of its filesystem; empty when not known
	Source string   // what the kernel says it is mounted from
	On     []string // devices that carry it
	Known  bool     // On is complete; when it is empty too, no device carries it
}

// Stack says which devices are built directly on which.
type Stack struct {
	Above map[string][]string // device to those on it: partitions, holders, loops over its files
	Label map[string]string   // names for people; without one the device's name is used
}

// Protect decides which disks must never be part of a case, and says why, by disk; disks that may be are
// not in the answer. A disk is protected when a use rests on it, through any number of layers. It is
// protected too when what carries a use is not known and suspect names a device of the disk that might
// be it: of two mistakes, leaving a failing disk alone is the one that can be repaired.
//
// Protect reads nothing; suspect answers with a device on the disk that nothing accounts for, or nothing.
func Protect(disks []string, stack Stack, uses []Use, suspect func(disk string, use Use) string) map[string]string {
	below := stack.below()
	reasons := map[string][]string{}
	add := func(disk, reason string) {
		if !slices.Contains(reasons[disk], reason) {
			reasons[disk] = append(reasons[disk], reason)
		}
	}
	wanted := map[string]bool{}
	for _, d := range disks {
		wanted[d] = true
	}
	for _, u := range uses {
		for _, on := range u.On {
			walkDown(below, on, func(device string, path []string) {
				if wanted[device] {
					add(device, "carries "+u.What+" ("+stack.words(path)+")")
				}
			})
		}
	}
	for _, u := range uses {
		if u.Known {
			continue
		}
		for _, d := range disks {
			if len(reasons[d]) > 0 {
				continue
			}
			if device := suspect(d, u); device != "" {
				add(d, fmt.Sprintf("the disks that carry %s%s are not known, and %s may be one of them", u.What, u.origin(), device))
			}
		}
	}
	out := map[string]string{}
	for d, r := range reasons {
		out[d] = strings.Join(r, "; ")
	}
	return out
}

func (u Use) origin() string {
	if u.FSType == "" && u.Source == "" {
		return ""
	}
	return " (" + strings.TrimSpace(u.FSType+" "+u.Source) + ")"
}

func (s Stack) below() map[string][]string {
	out := map[string][]string{}
	for lower, upper := range s.Above {
		for _, u := range upper {
			out[u] = append(out[u], lower)
		}
	}
	for _, l := range out {
		slices.Sort(l)
	}
	return out
}

// walkDown visits a device and all below it, each once, with the path that led there.
func walkDown(below map[string][]string, from string, visit func(device string, path []string)) {
	seen := map[string]bool{from: true}
	for next := [][]string{{from}}; len(next) > 0; next = next[1:] {
		path := next[0]
		device := path[len(path)-1]
		visit(device, path)
		for _, b := range below[device] {
			if !seen[b] {
				seen[b] = true
				next = append(next, append(slices.Clone(path), b))
			}
		}
	}
}

// words tells a path from the use down to the disk. The disk itself goes without saying, unless there is
// nothing above it.
func (s Stack) words(path []string) string {
	if len(path) > 1 {
		path = path[:len(path)-1]
	}
	out := make([]string, len(path))
	for i, p := range path {
		out[i] = "on " + p
		if l := s.Label[p]; l != "" {
			out[i] = "on " + l
		}
	}
	return strings.Join(out, ", ")
}
