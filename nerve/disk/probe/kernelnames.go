package probe

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"glia"
	"glia/nerve/disk/kmsg"
)

// logNames are the names by which the kernel's log may speak of each disk. A name of a device that lies on
// several disks is nobody's.
func (r Roots) logNames(disks []glia.Disk) kmsg.Names {
	names := kmsg.Names{}
	add := func(name string, d glia.Disk) {
		if name != "" && !slices.Contains(names[name], d.Serial()) {
			names[name] = append(names[name], d.Serial())
		}
	}
	for _, d := range disks {
		if d.Location.Device == "" {
			continue
		}
		add(d.Location.Device, d)
		for _, p := range d.Partitions {
			add(p.Name, d)
		}
		for _, h := range d.Holders {
			if r.onlyOn(d, h.Name, 0) {
				add(h.Name, d)
			}
		}
		for _, m := range d.Mounts {
			if r.onlyOn(d, m.Source, 0) {
				add(m.Source, d)
			}
		}
		for _, name := range r.attachment(d) {
			add(name, d)
		}
	}
	for _, serials := range names {
		slices.Sort(serials)
	}
	return names
}

// mountNumbers are the inodes of the directories in sysfs that ext4 and XFS make anew at each mount. The kernel
// does not give one twice for a long time (fs/kernfs/dir.c, __kernfs_new_node).
func (r Roots) mountNumbers(disks []glia.Disk) kmsg.Mounts {
	out := kmsg.Mounts{}
	for _, d := range disks {
		for _, m := range d.Mounts {
			var st unix.Stat_t
			if (m.FSType == "ext4" || m.FSType == "xfs") && unix.Stat(r.sys("fs", m.FSType, m.Source), &st) == nil {
				out[m.Source] = st.Ino
			}
		}
	}
	return out
}

// Parts of a device's path in sysfs that the log names things by.
var (
	pathPart = regexp.MustCompile(`^(?:ata\d+|nvme\d+|target\d+:\d+:\d+|\d+:\d+:\d+:\d+|[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$`)
	pciPart  = regexp.MustCompile(`^[0-9a-f]{4}:`)
	hostPart = regexp.MustCompile(`^host\d+$`)
	nvmePart = regexp.MustCompile(`^nvme\d+$`)
)

// attachment are the names of what a disk is attached to. Of the PCI devices on the way it is the last one,
// the others being bridges.
func (r Roots) attachment(d glia.Disk) []string {
	dir, err := filepath.EvalSymlinks(r.sys("block", d.Location.Device))
	if err != nil {
		return nil
	}
	var out []string
	pci := ""
	for part := range strings.SplitSeq(filepath.ToSlash(dir), "/") {
		switch {
		case pciPart.MatchString(part) && pathPart.MatchString(part):
			pci = part
		case pathPart.MatchString(part):
			out = append(out, part)
		case hostPart.MatchString(part):
			out = append(out, r.adapter(part)...)
		}
	}
	if len(out) > 0 && pci != "" { // a virtio disk's PCI device is the disk
		out = append(out, pci)
	}
	// With NVMe multipath the controllers are beside the disk, not above it.
	entries, _ := os.ReadDir(filepath.Join(dir, "device"))
	for _, e := range entries {
		if nvmePart.MatchString(e.Name()) && !slices.Contains(out, e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out
}

// adapter is what the drivers mpt2sas and mpt3sas call an adapter, before Linux 4.4 and since.
func (r Roots) adapter(host string) []string {
	driver, _ := r.attr("class/scsi_host", host, "proc_name")
	id, err := r.attr("class/scsi_host", host, "unique_id")
	if err != nil || driver != "mpt2sas" && driver != "mpt3sas" {
		return nil
	}
	return []string{driver + id, driver + "_cm" + id}
}
