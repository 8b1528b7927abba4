package disk

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"glia"
)

// usage is what the host uses its block devices for.
type usage struct {
	mounts []mounted           // as this process sees them, in the order of mounting
	swap   []string            // devices
	uses   []Use               // of the running system
	files  map[string][]string // device to the loop devices whose backing file it carries
	labels map[string]string
	uuids  map[string]string
}

// usage reads the mount and swap tables. Where this process has a mount namespace of its own, what the
// first process sees counts for protection too, but not as mounts that could be worked on here.
func (t tree) usage(ds devices) (*usage, error) {
	r := t.resolver(ds)
	own, err := r.mounts("self")
	if err != nil {
		return nil, err
	}
	u := &usage{mounts: own, files: map[string][]string{}, labels: r.byLink("disk/by-label"), uuids: r.byLink("disk/by-uuid")}
	u.uses = systemUses(own)
	// It may be unreadable to us or hidden by the container, and is then no help.
	if first, err := r.mounts("1"); err == nil {
		u.uses = mergeUses(u.uses, systemUses(first))
	}
	swap, uses, err := r.swaps(own)
	if err != nil {
		return nil, err
	}
	u.swap, u.uses = swap, append(u.uses, uses...)
	u.ground(ds)
	return u, nil
}

// The running system is what is mounted on these. /boot and /efi count with everything below them, and
// so does /etc, where containers show single files of the host's own disk. /var and /usr count alone,
// since data disks are often mounted below them.
func isSystem(target string) bool {
	switch target {
	case "/", "/usr", "/var":
		return true
	}
	return within(target, "/boot") || within(target, "/efi") || within(target, "/etc")
}

// systemUses picks the mounts that the running system needs. One whose carrier is not known counts only
// if it is what is seen at its target, and not for what lies below /etc, such as the FUSE mounts of
// cluster managers. A table without / says that / is somewhere out of sight.
func systemUses(mounts []mounted) []Use {
	var out []Use
	root := false
	for i, m := range mounts {
		if !isSystem(m.Mountpoint) {
			continue
		}
		root = root || m.Mountpoint == "/"
		seen := !slices.ContainsFunc(mounts[i+1:], func(n mounted) bool { return n.Mountpoint == m.Mountpoint })
		known := m.known || !seen || m.Mountpoint != "/etc" && within(m.Mountpoint, "/etc")
		out = append(out, Use{What: m.Mountpoint, FSType: m.FSType, Source: m.Source, On: m.on, Known: known})
	}
	if !root {
		out = append(out, Use{What: "/"})
	}
	slices.SortStableFunc(out, func(a, b Use) int { return cmp.Compare(a.What, b.What) })
	return out
}

// mergeUses adds what the first process sees. The host's / is its /: where it is known, the unknown one
// of a container does not matter.
func mergeUses(own, first []Use) []Use {
	out := slices.Clone(first)
	for _, u := range own {
		better := slices.ContainsFunc(first, func(f Use) bool { return f.What == u.What && f.Known })
		u.Known = u.Known || better
		out = append(out, u)
	}
	return out
}

// afloat are the devices that must have something below them. Where nothing shows below one, as below a
// ZFS volume, the disks under it are not known.
var afloat = regexp.MustCompile(`^(dm-|md|bcache|drbd|zd|loop)[0-9_]`)

// ground follows every use down, and notes where the way ends above the disks.
func (u *usage) ground(ds devices) {
	grounded := map[string]bool{}
	for _, d := range ds {
		if d.backing == "" {
			continue
		}
		if i := mountOf(u.mounts, d.backing); i >= 0 && u.mounts[i].known {
			grounded[d.name] = true
			for _, on := range u.mounts[i].on {
				if on != d.name {
					u.files[on] = append(u.files[on], d.name)
				}
			}
		}
	}
	below := u.stack(ds).below()
	for i := range u.uses {
		use := &u.uses[i]
		for _, on := range use.On {
			walkDown(below, on, func(device string, _ []string) {
				if len(below[device]) == 0 && afloat.MatchString(device) && !grounded[device] {
					use.Known = false
				}
			})
		}
	}
}

func (u *usage) stack(ds devices) Stack {
	s := Stack{Above: map[string][]string{}, Label: map[string]string{}}
	for _, d := range ds {
		s.Above[d.name] = slices.Concat(d.above, u.files[d.name])
		s.Label[d.name] = d.label
	}
	return s
}

// protect marks the candidates that carry the running system, or might.
func (u *usage) protect(ds devices, found []candidate) {
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.device.name
	}
	reasons := Protect(names, u.stack(ds), u.uses, func(disk string, use Use) string { return u.suspect(ds, disk, use) })
	for i := range found {
		found[i].disk.Protected = reasons[found[i].device.name]
	}
}

// suspect names a device on the disk that nothing is built on and nothing accounts for. Accounted for is
// what is mounted as a whole, and what udev has looked into and found blank or of another kind. A loop
// device is a disk only because the operator named its file, which no system starts from.
func (u *usage) suspect(ds devices, disk string, use Use) string {
	for _, d := range ds.closure(disk) {
		whole := func(m mounted) bool { return m.Root == "/" && slices.Contains(m.on, d.name) }
		switch {
		case len(d.above) > 0, d.backing != "", slices.ContainsFunc(u.mounts, whole), slices.Contains(u.swap, d.name):
		case d.inUdev && !mayCarry(use.FSType, d.udev.Properties["ID_FS_TYPE"], d.kind):
		default:
			return d.label
		}
	}
	return ""
}

// mayCarry says whether a device with the signature that udev found may carry a filesystem. On mapped
// devices udev may be told not to look, so that finding nothing there says nothing.
func mayCarry(fsType, signature, kind string) bool {
	if signature == "" {
		return kind != "other"
	}
	switch fsType {
	case "zfs":
		return signature == "zfs_member"
	case "btrfs", "bcachefs", "swap":
		return signature == fsType
	}
	return signature != "ceph_bluestore"
}

// trouble is what could not be read about a disk or something above it.
func (ds devices) trouble(disk string) error {
	for _, d := range ds.closure(disk) {
		if d.trouble != nil && d.name == disk {
			return d.trouble
		}
		if d.trouble != nil {
			return fmt.Errorf("%s, which rests on it: %w", d.label, d.trouble)
		}
	}
	return nil
}

// fill adds what uses the disk: partitions, holders, mounts and swap.
func (u *usage) fill(out *glia.Disk, ds devices, disk string) {
	on := ds.closure(disk)
	for _, d := range on {
		if d.number != 0 && d.whole == disk {
			out.Partitions = append(out.Partitions, glia.Partition{Name: d.node(), Number: d.number, Start: d.start, Size: d.size})
		}
		for _, a := range d.above {
			h := glia.Holder{Name: strings.ReplaceAll(a, "!", "/"), Kind: kindOf(a, ""), On: d.node()}
			if above := ds[a]; above != nil {
				if above.number != 0 && above.whole == disk {
					continue
				}
				h.Kind = above.kind
			}
			out.Holders = append(out.Holders, h)
		}
		if slices.Contains(u.swap, d.name) {
			out.Swap = append(out.Swap, d.node())
		}
	}
	slices.SortFunc(out.Partitions, func(a, b glia.Partition) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Number, b.Number))
	})
	for _, m := range u.mounts {
		i := slices.IndexFunc(on, func(d *device) bool { return slices.Contains(m.on, d.name) })
		// The layers of an overlay are mounts of their own, which are listed.
		if i < 0 || m.FSType == "overlay" {
			continue
		}
		mount := u.mount(m, on[i])
		out.Mounts = slices.DeleteFunc(out.Mounts, func(o glia.Mount) bool { return o.Target == mount.Target })
		out.Mounts = append(out.Mounts, mount)
	}
}

func (u *usage) mount(m mounted, d *device) glia.Mount {
	options := strings.Split(m.Options, ",")
	for o := range strings.SplitSeq(m.VFSOptions, ",") {
		if !slices.Contains(options, o) {
			options = append(options, o)
		}
	}
	return glia.Mount{
		Source:  d.node(),
		Target:  m.Mountpoint,
		FSType:  m.FSType,
		Options: strings.Join(options, ","),
		Label:   cmp.Or(unescapeUdev(d.udev.Properties["ID_FS_LABEL_ENC"]), u.labels[d.name]),
		UUID:    cmp.Or(d.udev.Properties["ID_FS_UUID"], u.uuids[d.name]),
	}
}
