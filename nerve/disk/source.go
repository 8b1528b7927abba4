// Package disk takes the inventory of the block devices of one Linux host: which disks there are, where
// they sit, what is built and mounted on them, and which of them carry the running system.
//
// It reads sysfs, udev's database, /dev's symbolic links and /proc, and looks into no mounted filesystem.
// The only block devices it opens, for reading, are those that may carry the label of a Ceph OSD: their
// first 4 KiB are read, once for as long as nobody writes to them. Where logical volumes are in use, it
// asks lvs. A scan neither wakes a sleeping disk again and again nor waits for a dead one.
//
// It guarantees that every disk it lists has a serial that no other disk of the host claims, and that a
// disk below /, /boot, /usr, /var, /etc or active swap is listed as protected. Where it can not tell
// which disks carry those, it protects every disk that might (see Protect).
//
// It fails as a whole only when the list of block devices, the mount table or the swap table can not be
// read, because then nothing can be said about any disk. A disk that vanishes during a scan is absent. A
// disk that can not be told from another one is left out and named in Inventory.Unidentified.
package disk

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"glia"
)

// Source reads the disks of one host. It is safe for concurrent use, but must not be copied or changed
// after the first scan.
type Source struct {
	Host   string   // name of the host, copied to every Location
	Root   string   // where /sys, /proc, /dev and /run are; empty means "/"
	Loop   []string // globs (path.Match) of backing files whose loop devices count as disks
	Ignore []string // globs (path.Match) of kernel names that are left out

	// LVs asks LVM for the logical volumes, in the form that DecodeLVs reads; nil: ListLVs.
	LVs func(context.Context) ([]byte, error)

	mu      sync.Mutex
	asking  map[string]bool   // disks with a read of an attribute that has not returned yet
	serials map[string]string // answers of slow attributes, by diskseq, which no two disks ever share

	fronts  reader
	volumes volumes
}

// Unidentified is a block device that looks like a disk but can not be told from others, or not at all.
// It never takes part in anything. It is not proof that its serial is missing.
type Unidentified struct {
	Device string // kernel name
	Serial string // the serial it claims; empty when it has none
	Why    string // in words, for an operator
}

// Inventory is what one scan found.
type Inventory struct {
	Disks        []glia.Disk    // sorted by serial; no serial is empty or listed twice
	Unidentified []Unidentified // sorted by device
}

// Scan lists the identified disks, sorted by serial.
func (s *Source) Scan(ctx context.Context) ([]glia.Disk, error) {
	inv, err := s.Inventory(ctx)
	return inv.Disks, err
}

// Inventory lists the identified disks and what could not be identified. It ends early only with the
// error of ctx.
func (s *Source) Inventory(ctx context.Context) (Inventory, error) {
	inv, err := s.inventory(ctx)
	if err != nil {
		return Inventory{}, fmt.Errorf("inventory of disks: %w", err)
	}
	return inv, nil
}

func (s *Source) inventory(ctx context.Context) (Inventory, error) {
	for _, glob := range slices.Concat(s.Loop, s.Ignore) {
		if _, err := path.Match(glob, ""); err != nil {
			return Inventory{}, fmt.Errorf("pattern %q: %w; correct it in the configuration", glob, err)
		}
	}
	root, err := filepath.EvalSymlinks(cmp.Or(s.Root, "/"))
	if err != nil {
		return Inventory{}, err
	}
	t := tree{root: root}
	devices, err := t.devices(ctx)
	if err != nil {
		return Inventory{}, err
	}
	usage, err := t.usage(devices)
	if err != nil {
		return Inventory{}, err
	}

	var found []candidate
	var inv Inventory
	for _, d := range devices.sorted() {
		if err := ctx.Err(); err != nil {
			return Inventory{}, err
		}
		if !s.counts(d) {
			continue
		}
		c := candidate{device: d, disk: s.describe(ctx, t, d)}
		switch {
		case !t.present(d):
		case devices.trouble(d.name) != nil:
			inv.Unidentified = append(inv.Unidentified, c.refuse(devices.trouble(d.name).Error()))
		case d.size == 0:
			// A drive without a medium is no disk. A fixed disk without a size is one that does not
			// answer, and whoever misses it must learn that it was not pulled.
			if c.disk.Serial() != "" && !d.removable {
				inv.Unidentified = append(inv.Unidentified, c.refuse("its size is 0, so the kernel could not read its capacity; look at the kernel log"))
			}
		case c.disk.Serial() == "":
			inv.Unidentified = append(inv.Unidentified, c.refuse("it tells no serial"))
		default:
			usage.fill(&c.disk, devices, d.name)
			found = append(found, c)
		}
	}
	usage.protect(devices, found)
	s.osds(ctx, t, devices, usage, found)
	disks, refused := unique(found)
	inv.Disks = disks
	inv.Unidentified = append(inv.Unidentified, refused...)
	slices.SortFunc(inv.Disks, func(a, b glia.Disk) int {
		return cmp.Or(cmp.Compare(a.Serial(), b.Serial()), cmp.Compare(a.Location.Device, b.Location.Device))
	})
	slices.SortFunc(inv.Unidentified, func(a, b Unidentified) int { return cmp.Compare(a.Device, b.Device) })
	return inv, nil
}

// describe tells what a disk is and where it sits, but not what uses it.
func (s *Source) describe(ctx context.Context, t tree, d *device) glia.Disk {
	if d.backing != "" {
		return s.describeLoop(d)
	}
	out := glia.Disk{Identity: s.identity(ctx, d)}
	out.Location = glia.Location{Host: s.Host, Device: d.node(), DiskSeq: d.diskSeq(), ByPath: t.byPath(d)}
	out.Location.Enclosure, out.Location.Slot = t.slot(d)
	out.Location.Controller = t.controller(d)
	return out
}
