package disk

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// byPath is the name of the disk's place below /dev/disk/by-path, which belongs to the connector and not
// to the disk. It is udev's own name where there is one. Where udev is not installed, or has looked at
// the disk and found no name, it is built in udev's format for NVMe, SATA, virtio and plain SCSI hosts.
// While udev still has to look at a disk the place is not known yet, and stays empty: a name that
// changed a moment later would look like a disk that moved. It is empty too where sysfs shows no stable
// place, such as a SAS expander without enclosure services.
func (t tree) byPath(d *device) string {
	const dir = "disk/by-path/"
	var names []string
	for _, link := range d.udev.Links {
		if name, ok := strings.CutPrefix(link, dir); ok {
			names = append(names, name)
		}
	}
	if id := d.udev.Properties["ID_PATH"]; slices.Contains(names, id) {
		return id
	}
	if len(names) == 0 {
		names = t.linksTo(dir, d.node())
	}
	if len(names) > 0 {
		return slices.Min(names)
	}
	if _, err := os.Stat(t.path("run/udev/data")); err == nil && !d.inUdev {
		return ""
	}
	return t.builtPath(d)
}

// linksTo lists the symbolic links in a directory of /dev that point to a device.
func (t tree) linksTo(dir, node string) []string {
	entries, _ := os.ReadDir(t.path("dev", dir))
	var out []string
	for _, e := range entries {
		to, err := os.Readlink(t.path("dev", dir, e.Name()))
		if err == nil && filepath.Join("/dev", dir, to) == "/dev/"+node {
			out = append(out, e.Name())
		}
	}
	return out
}

var (
	pciAddress = regexp.MustCompile(`^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	scsiHost   = regexp.MustCompile(`^host([0-9]+)$`)
	scsiDevice = regexp.MustCompile(`^([0-9]+):([0-9]+):([0-9]+):([0-9]+)$`)
)

// builtPath follows the disk's directory in sysfs from the bus downwards.
func (t tree) builtPath(d *device) string {
	dir := d.dir
	if strings.Contains(dir, "/virtual/nvme-subsystem/") {
		dir = t.nvmeController(d)
	}
	elems := strings.Split(dir, "/")
	bus, at := busOf(elems)
	if bus == "" {
		return ""
	}
	busDir, below := strings.Join(elems[:at+1], "/"), elems[at+1:]
	switch {
	case strings.HasPrefix(d.name, "nvme"):
		nsid := cmp.Or(text(d.dir, "nsid"), text(dir, "nsid"))
		if nsid == "" {
			return ""
		}
		return bus + "-nvme-" + nsid
	case len(below) > 0 && strings.HasPrefix(below[0], "ata"):
		port := text(busDir, below[0], "ata_port", below[0], "port_no")
		scsi := scsiAddress(below)
		switch {
		case port == "" || scsi == nil:
			return ""
		case scsi[1] != 0: // behind a port multiplier
			return fmt.Sprintf("%s-ata-%s.%d", bus, port, scsi[1])
		}
		return bus + "-ata-" + port
	case len(below) == 3 && strings.HasPrefix(below[0], "virtio") && below[1] == "block":
		return bus
	}
	return plainSCSI(bus, busDir, below)
}

// busOf finds the last PCI function, else the platform device, that the disk hangs on.
func busOf(elems []string) (string, int) {
	for i := len(elems) - 1; i > 0; i-- {
		switch {
		case pciAddress.MatchString(elems[i]):
			return "pci-" + elems[i], i
		case elems[i-1] == "platform":
			return "platform-" + elems[i], i
		}
	}
	return "", 0
}

// plainSCSI names a disk of a SCSI host that hangs directly on its bus, such as virtio-scsi. USB, SAS
// ports, Fibre Channel and iSCSI have levels between that only udev knows how to name. Host numbers are
// given in the order of discovery, so the host is counted from the first one beside it.
func plainSCSI(bus, busDir string, below []string) string {
	hosts := busDir
	if len(below) > 0 && strings.HasPrefix(below[0], "virtio") {
		hosts, below = filepath.Join(busDir, below[0]), below[1:]
	}
	scsi := scsiAddress(below)
	if scsi == nil || !scsiHost.MatchString(below[0]) || !strings.HasPrefix(below[1], "target") {
		return ""
	}
	entries, _ := os.ReadDir(hosts)
	first := scsi[0]
	for _, e := range entries {
		if m := scsiHost.FindStringSubmatch(e.Name()); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				first = min(first, n)
			}
		}
	}
	return fmt.Sprintf("%s-scsi-%d:%d:%d:%d", bus, scsi[0]-first, scsi[1], scsi[2], scsi[3])
}

// scsiAddress is host, channel, target and unit.
func scsiAddress(elems []string) []int {
	for _, e := range elems[min(2, len(elems)):] { // below host and target
		if m := scsiDevice.FindStringSubmatch(e); m != nil {
			out := make([]int, 4)
			for i := range out {
				out[i], _ = strconv.Atoi(m[i+1])
			}
			return out
		}
	}
	return nil
}

// nvmeController is the directory of the controller behind a multipath NVMe disk, which itself hangs on
// no bus; of several controllers the first by its bus address, which does not change with their numbers.
func (t tree) nvmeController(d *device) string {
	links, _ := filepath.Glob(filepath.Join(filepath.Dir(d.dir), "nvme[0-9]*"))
	var dirs []string
	for _, l := range links {
		if to, err := filepath.EvalSymlinks(l); err == nil && !strings.Contains(to, "/virtual/") {
			dirs = append(dirs, to)
		}
	}
	if len(dirs) == 0 {
		return ""
	}
	return slices.Min(dirs)
}

// slot is the enclosure and the slot in which the kernel's enclosure services see the disk. The enclosure
// is named by its logical identifier, as /sys/class/enclosure names it after a SCSI address that changes
// from boot to boot; only an enclosure without one goes by that address.
func (t tree) slot(d *device) (enclosure, slot string) {
	links, _ := filepath.Glob(filepath.Join(d.dir, "device", "enclosure_device:*"))
	for _, l := range links { // sorted; more than one with redundant enclosure services, all of one slot
		component, err := filepath.EvalSymlinks(l)
		if err != nil {
			continue
		}
		shelf := filepath.Dir(component)
		enclosure = text(shelf, "id")
		if strings.Trim(enclosure, "0x") == "" {
			enclosure = filepath.Base(shelf)
		}
		slot = text(component, "slot")
		if n, err := strconv.Atoi(slot); err != nil || n < 0 {
			slot = filepath.Base(component)
		}
		return enclosure, slot
	}
	return "", ""
}
