package disk

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"glia"
)

// notDisks are the whole devices that are no disks: memory, removable media, and what is built on disks.
// The hardware partitions of an eMMC chip (boot, rpmb, gp) share the serial of the chip.
var notDisks = regexp.MustCompile(`^(ram|zram|sr|fd|dm-|md|bcache|drbd|rbd|zd|mtdblock)[0-9_d]|^mmcblk[0-9]+(boot|rpmb|gp)`)

// counts says whether a device is to be listed as a disk.
func (s *Source) counts(d *device) bool {
	switch {
	case d.number != 0, d.hidden, notDisks.MatchString(d.name), matches(s.Ignore, d.name):
		return false
	case strings.HasPrefix(d.name, "loop"):
		return d.backing != "" && matches(s.Loop, d.backing)
	case strings.HasPrefix(d.name, "nbd"):
		return d.size > 0
	}
	return true
}

func matches(globs []string, name string) bool {
	for _, g := range globs {
		if ok, _ := path.Match(g, name); ok {
			return true
		}
	}
	return false
}

// describeLoop gives a loop device the identity of its backing file: the serial is the file's name
// without extension, the slot is the directory that holds it. So a file plays the part of a disk that is
// plugged into a directory.
func (s *Source) describeLoop(d *device) glia.Disk {
	file := filepath.Base(d.backing)
	return glia.Disk{
		Identity: glia.Identity{
			Serial: cleanSerial(strings.TrimSuffix(file, filepath.Ext(file))),
			Model:  "loop",
			Size:   d.size,
			Class:  classOf(d),
		},
		Location: glia.Location{Host: s.Host, Device: d.node(), DiskSeq: d.diskSeq(), Slot: filepath.Base(filepath.Dir(d.backing))},
	}
}
