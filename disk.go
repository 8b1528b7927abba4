package glia

import (
	"fmt"
	"strings"
)

// Class is the kind of a disk, as the kernel tells it.
type Class string

// The classes. A disk whose class the kernel does not tell has ClassUnknown.
const (
	ClassUnknown Class = ""
	ClassHDD     Class = "hdd"
	ClassSSD     Class = "ssd"
	ClassNVMe    Class = "nvme"
)

// Identity is what a disk is, wherever it is plugged in. The key is the serial: a WWN alone is not
// unique behind RAID controllers, and a kernel name is no identity at all.
type Identity struct {
	Serial   string `json:"serial"`
	WWN      string `json:"wwn,omitempty"`
	Model    string `json:"model,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	Size     uint64 `json:"size"` // bytes
	Class    Class  `json:"class,omitempty"`
}

// Location is where a disk is. Only Place survives a reboot; Device is what the kernel calls it now.
type Location struct {
	Host      string `json:"host"`
	Enclosure string `json:"enclosure,omitempty"` // as in /sys/class/enclosure
	Slot      string `json:"slot,omitempty"`      // slot within the enclosure, as printed on the chassis
	ByPath    string `json:"by_path,omitempty"`   // name below /dev/disk/by-path
	Device    string `json:"device,omitempty"`    // kernel name, such as sdk or nvme0n1
	// DiskSeq is what the kernel has numbered the device that Device named (diskseq; Linux 5.15 and later). No
	// number comes twice in one boot, so it tells whether the name is another's by now. 0 is not known; it is
	// not announced.
	DiskSeq uint64 `json:"-"`

	Controller Controller `json:"controller,omitzero"`
}

// Controller is what a disk is attached to: a host bus adapter, or an NVMe disk's own controller. The
// zero value is not known.
type Controller struct {
	Address  string `json:"address,omitempty"`  // on the PCI bus of its host, such as 0000:3b:00.0
	Driver   string `json:"driver,omitempty"`   // of the kernel, such as mpt3sas
	Model    string `json:"model,omitempty"`    // vendor and device as PCI numbers them, such as 1000:00c4
	Firmware string `json:"firmware,omitempty"` // empty where the driver does not tell
}

// Family is what controllers have in common that can have the same fault: driver, model and firmware.
func (c Controller) Family() string {
	return strings.Join(strings.Fields(c.Driver+" "+c.Model+" "+c.Firmware), " ")
}

func (c Controller) String() string {
	if c.Address == "" {
		return c.Family()
	}
	return strings.TrimSpace(c.Family() + " at " + c.Address)
}

// Place names the physical place on its host: enclosure and slot where the kernel knows them, else
// the by-path name. It is empty when neither is known; such a disk can not be replaced by glia,
// because nothing proves that the new disk sits where the old one was.
func (l Location) Place() string {
	switch {
	case l.Slot != "" && l.Enclosure != "":
		return l.Enclosure + " slot " + l.Slot
	case l.Slot != "":
		return "slot " + l.Slot
	}
	return l.ByPath
}

// Mount is one mounted filesystem that lives on a disk or on something above it.
type Mount struct {
	Source  string `json:"source"` // kernel name of the mounted device: sdk, sdk1, dm-3
	Target  string `json:"target"`
	FSType  string `json:"fs_type"`
	Options string `json:"options"` // per-mount and superblock options, comma separated
	Label   string `json:"label,omitempty"`
	UUID    string `json:"uuid,omitempty"`
}

// Partition is one partition of a disk.
type Partition struct {
	Name   string `json:"name"` // kernel name, such as sdk1 or nvme0n1p1
	Number int    `json:"number"`
	Start  uint64 `json:"start"` // bytes from the start of the disk
	Size   uint64 `json:"size"`  // bytes
}

// Holder is a device that the kernel built on top of a disk or of one of its partitions.
type Holder struct {
	Name string `json:"name"` // kernel name, such as dm-3 or md0
	Kind string `json:"kind"` // lvm, crypt, multipath, md, dm or other
	On   string `json:"on"`   // kernel name of what it is built on
}

// Disk is one physical disk of a host, with everything that is known to use it.
type Disk struct {
	Identity   Identity    `json:"identity"`
	Location   Location    `json:"location"`
	Partitions []Partition `json:"partitions,omitempty"`
	Holders    []Holder    `json:"holders,omitempty"`
	Mounts     []Mount     `json:"mounts,omitempty"`
	Swap       []string    `json:"swap,omitempty"` // kernel names of active swap devices
	OSDs       []OSD       `json:"osds,omitempty"`

	// Protected says why the disk must never be part of a case: it carries /, /boot, /boot/efi,
	// swap, or something above it does. Empty means that it is not protected.
	Protected string `json:"protected,omitempty"`
}

// Serial is the key of the disk.
func (d Disk) Serial() string { return d.Identity.Serial }

// DevicePath is the path of the disk's device node, by its present kernel name.
func (d Disk) DevicePath() string { return "/dev/" + d.Location.Device }

func (d Disk) String() string {
	var b strings.Builder
	b.WriteString(d.Identity.Serial)
	if p := d.Location.Place(); p != "" {
		fmt.Fprintf(&b, " in %s", p)
	}
	if d.Location.Host != "" {
		fmt.Fprintf(&b, " of %s", d.Location.Host)
	}
	if d.Location.Device != "" {
		fmt.Fprintf(&b, " (now %s)", d.Location.Device)
	}
	return b.String()
}
