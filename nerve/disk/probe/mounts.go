package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"glia"
)

// mounted is a mount of a disk as the kernel has it at this moment.
type mounted struct {
	glia.Mount
	mount, super []string // options of the mount and of the filesystem's superblock
	dev          string   // major:minor of its files
}

// writable says whether whoever mounted it wanted it to be written.
func (m mounted) writable() bool { return slices.Contains(m.mount, "rw") }

// forced says how the kernel made the filesystem read-only by itself; empty when it did not.
//
// A person who mounts or remounts read-only changes mount and superblock alike, and that is never
// judged. After an error the kernel touches the superblock alone: it sets ro there or, ext4 since Linux
// 6.12, emergency_ro. Some kernels show neither (6.1 with later fixes); for them there are fs.errors and
// the write probe.
func (m mounted) forced() string {
	if !m.writable() {
		return ""
	}
	for _, o := range []string{"emergency_ro", "shutdown", "ro"} {
		if slices.Contains(m.super, o) {
			return o
		}
	}
	return ""
}

// mountTable reads the kernel's list of mounts. Nothing in it touches a disk.
func (r Roots) mountTable() ([]*mountinfo.Info, error) {
	path := r.MountInfo
	if path == "" {
		path = "/proc/self/mountinfo"
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mountinfo.GetMountsFromReader(f, nil)
}

// find looks a mount up in the kernel's list. What the inventory saw may be over by now: when another
// filesystem is mounted on the target, or none, the error says so.
func (r Roots) find(table []*mountinfo.Info, m glia.Mount) (mounted, error) {
	var top *mountinfo.Info
	for _, i := range table {
		if i.Mountpoint == m.Target {
			top = i // a later line covers an earlier one
		}
	}
	if top == nil {
		return mounted{}, fmt.Errorf("%s is not mounted any more", m.Target)
	}
	dev := fmt.Sprintf("%d:%d", top.Major, top.Minor)
	if top.Major == 0 {
		// btrfs gives its files a number of their own, so only the name can tell.
		if filepath.Base(top.Source) != m.Source {
			return mounted{}, fmt.Errorf("%s is on %s now", m.Target, top.Source)
		}
	} else if want, err := r.number(m.Source); err != nil {
		return mounted{}, fmt.Errorf("ask for the number of %s: %w", m.Source, err)
	} else if want != dev {
		return mounted{}, fmt.Errorf("%s is on %s now, not on %s", m.Target, top.Source, m.Source)
	}
	return mounted{Mount: m, dev: dev,
		mount: strings.Split(top.Options, ","), super: strings.Split(top.VFSOptions, ",")}, nil
}

// own says whether a mounted filesystem lives on this disk and on no other. A fault of one that spans
// several disks (MD, LVM over two disks, btrfs with two devices) does not tell which of them is bad.
func (r Roots) own(d glia.Disk, m glia.Mount) bool {
	if m.FSType == "btrfs" {
		if devices, err := os.ReadDir(r.sys("fs/btrfs", m.UUID, "devices")); m.UUID != "" && err == nil && len(devices) > 1 {
			return false
		}
	}
	return r.onlyOn(d, m.Source, 0)
}

// onlyOn follows a stacked device down to what it is made of.
func (r Roots) onlyOn(d glia.Disk, name string, depth int) bool {
	if name == d.Location.Device || slices.ContainsFunc(d.Partitions, func(p glia.Partition) bool { return p.Name == name }) {
		return true
	}
	below, err := os.ReadDir(r.sys("block", name, "slaves"))
	if err != nil || len(below) == 0 || depth == 16 { // deeper than any real stack
		return false
	}
	return !slices.ContainsFunc(below, func(e os.DirEntry) bool { return !r.onlyOn(d, e.Name(), depth+1) })
}
