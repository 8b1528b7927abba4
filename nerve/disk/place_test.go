package disk_test

import (
	"path/filepath"
	"testing"
)

// The places that are built where udev is not installed. An empty one means that sysfs shows no name
// that would survive a reboot.
func TestSource_BuildsPlacesAsUdevDoes(t *testing.T) {
	t.Parallel()
	const pci = "sys/devices/pci0000:00/0000:00:1f.2/"
	for _, c := range []struct{ name, dir, beside, want string }{
		{"virtio", pci + "virtio1/block", "", "pci-0000:00:1f.2"},
		{"virtio on a platform bus", "sys/devices/platform/a003e00.virtio_mmio/virtio0/block", "", "platform-a003e00.virtio_mmio"},
		{"behind a PCI bridge", "sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0/virtio1/block", "", "pci-0000:02:00.0"},
		{"RAID controller", pci + "host4/target4:2:3/4:2:3:0/block", "", "pci-0000:00:1f.2-scsi-0:2:3:0"},
		{"second host of a controller", pci + "host4/target4:0:3/4:0:3:1/block", "host3", "pci-0000:00:1f.2-scsi-1:0:3:1"},
		{"virtio-scsi", pci + "virtio2/host4/target4:0:1/4:0:1:0/block", "", "pci-0000:00:1f.2-scsi-0:0:1:0"},
		{"SAS expander", pci + "host4/port-4:0/end_device-4:0/target4:0:0/4:0:0:0/block", "", ""},
		{"USB", pci + "usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0/block", "", ""},
		{"iSCSI", "sys/devices/platform/host5/session1/target5:0:0/5:0:0:1/block", "", ""},
		{"NVMe over a network", "sys/devices/virtual/nvme-fabrics/ctl/nvme3/block", "", ""},
		{"SATA without a port number", pci + "ata1/host0/target0:0:0/0:0:0:0/block", "", ""},
	} {
		h := newHost(t)
		h.whole("sda", c.dir, 2048)
		h.attr("sda", "serial", "S1")
		if c.beside != "" {
			h.file(pci+c.beside+"/uevent", "")
		}
		equal(t, c.name, h.disks()["S1"].Location.Place(), c.want)
	}

	h := newHost(t)
	h.whole("sda", pci+"ata5/host0/target0:2:0/0:2:0:0/block", 2048)
	h.attr("sda", "serial", "S1")
	h.file(pci+"ata5/ata_port/ata5/port_no", "1\n")
	equal(t, "port multiplier", h.disks()["S1"].Location.Place(), "pci-0000:00:1f.2-ata-1.2")
}

// With NVMe multipath the disk hangs on no bus, its controllers do, and the paths are hidden devices.
func TestSource_FindsThePlaceOfAMultipathNVMeDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	const subsys = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
	h.whole("nvme0n1", subsys, 2048)
	h.link(h.dirs["nvme0n1"]+"/device", subsys)
	h.file(subsys+"/serial", "N0\n")
	h.attr("nvme0n1", "nsid", "1\n")
	for _, c := range []string{"0000:81:00.0/nvme/nvme0", "0000:41:00.0/nvme/nvme1"} {
		h.file("sys/devices/pci0000:40/"+c+"/serial", "N0\n")
		h.link(subsys+"/"+filepath.Base(c), "sys/devices/pci0000:40/"+c)
	}
	hidden := "sys/devices/pci0000:40/0000:81:00.0/nvme/nvme0/nvme0c0n1"
	h.file(hidden+"/hidden", "1\n")
	h.link("sys/block/nvme0c0n1", hidden)
	h.udev("nvme0n1", "E:ID_SERIAL_SHORT=N0") // udev has looked and found no by-path name
	disks := h.disks()
	equal(t, "disks", len(disks), 1)
	equal(t, "place", disks["N0"].Location.Place(), "pci-0000:41:00.0-nvme-1")
}

func TestSource_FindsPlacesThroughLinks(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "ZA1", 1)
	h.link("dev/disk/by-path/pci-0000:00:1f.2-ata-1.0", "dev/sda")
	h.link("dev/disk/by-path/pci-0000:00:1f.2-ata-1-part1", "dev/sda1")
	equal(t, "place", h.disks()["ZA1"].Location.ByPath, "pci-0000:00:1f.2-ata-1.0")
}

func TestSource_FindsTheSlotOfAnEnclosure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, id, slot, want string }{
		{"by logical identifier", "0x500304801f0c203f\n", "7\n", "0x500304801f0c203f slot 7"},
		{"enclosure without identifier", "0x0\n", "7\n", "0:0:8:0 slot 7"},
		{"slot without number", "0x500304801f0c203f\n", "-1\n", "0x500304801f0c203f slot Slot 07"},
		{"old kernel", "", "", "0:0:8:0 slot Slot 07"},
	} {
		h := newHost(t)
		h.sata("sda", "ZA1", 1)
		shelf := "sys/devices/pci0000:00/0000:00:1f.2/host0/target0:0:8/0:0:8:0/enclosure/0:0:8:0"
		h.file(shelf+"/id", c.id)
		h.file(shelf+"/Slot 07/slot", c.slot)
		h.link(filepath.Dir(filepath.Dir(h.dirs["sda"]))+"/enclosure_device:Slot 07", shelf+"/Slot 07")
		equal(t, c.name, h.disks()["ZA1"].Location.Place(), c.want)
	}
}
