package disk_test

import (
	"slices"
	"strings"
	"testing"

	"glia"
)

func TestSource_ListsWhatUsesADisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	n := h.nvme(0, "N0")
	h.part(n, n+"p2", 2, 1050624, 4096)
	h.part(n, n+"p1", 1, 2048, 1048576)
	h.mapped("dm-0", "vg-data", "LVM-abc", n+"p2")
	h.mapped("dm-1", "secret", "CRYPT-LUKS2-abc", "dm-0")
	h.mapped("dm-2", "thing", "", "dm-1")
	h.on("bcache0", "dm-2")
	h.mountLine(h.nums["nvme0n1p1"], "/", `/data/with\040blank`, "xfs", "/dev/nvme0n1p1", "rw,attr2")
	h.mountLine(h.nums["dm-1"], "/", "/data/2", "ext4", "/dev/mapper/secret", "ro")
	h.mountLine(h.nums["dm-1"], "/sub", "/export", "ext4", "/dev/mapper/secret", "ro")
	h.udev(n+"p1", "E:ID_FS_LABEL_ENC=data\\x201", "E:ID_FS_UUID=6dc0-1")
	h.file("dev/dm-1", "")
	h.link("dev/disk/by-label/two\\x20of", "dev/dm-1")
	h.link("dev/disk/by-uuid/11-22", "dev/dm-1")

	d := h.disks()["N0"]
	equal(t, "partitions", len(d.Partitions), 2)
	equal(t, "first partition", d.Partitions[0], glia.Partition{Name: "nvme0n1p1", Number: 1, Start: 1 << 20, Size: 512 << 20})
	if want := []glia.Holder{
		{Name: "dm-0", Kind: "lvm", On: "nvme0n1p2"}, {Name: "dm-1", Kind: "crypt", On: "dm-0"},
		{Name: "dm-2", Kind: "dm", On: "dm-1"}, {Name: "bcache0", Kind: "other", On: "dm-2"},
	}; !slices.Equal(d.Holders, want) {
		t.Errorf("holders: got %v, want %v", d.Holders, want)
	}
	if want := []glia.Mount{
		{Source: "nvme0n1p1", Target: "/data/with blank", FSType: "xfs", Options: "rw,relatime,attr2", Label: "data 1", UUID: "6dc0-1"},
		{Source: "dm-1", Target: "/data/2", FSType: "ext4", Options: "rw,relatime,ro", Label: "two of", UUID: "11-22"},
		{Source: "dm-1", Target: "/export", FSType: "ext4", Options: "rw,relatime,ro", Label: "two of", UUID: "11-22"},
	}; !slices.Equal(d.Mounts, want) {
		t.Errorf("mounts: got %v, want %v", d.Mounts, want)
	}
}

func TestSource_ListsATargetOnceAndSwapByName(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "ZA1", 1)
	h.mountLine(h.nums["sda"], "/", "/data", "ext4", "/dev/sda", "rw")
	h.mountLine(h.nums["sda"], "/", "/data", "ext4", "/dev/sda", "rw,discard")
	h.mountLine("0:40", "/", "/run/x", "overlay", "overlay", "rw,lowerdir=/data/l,upperdir=/data/u,workdir=/data/w")
	h.sata("sdb", "ZA2", 2)
	h.part("sdb", "sdb5", 5, 2048, 4096)
	h.mapped("dm-0", "vg-swap", "LVM-abc", "sdb5")
	h.link("dev/vg/swap", "dev/dm-0")
	h.file("dev/dm-0", "")
	h.swap("/dev/vg/swap", "partition")
	d := h.disks()
	equal(t, "mounts, without the overlay", len(d["ZA1"].Mounts), 1)
	equal(t, "the newest is on top", d["ZA1"].Mounts[0].Options, "rw,relatime,discard")
	equal(t, "swap", strings.Join(d["ZA2"].Swap, " "), "dm-0")
}

func TestSource_PathsOfOneMultipathDeviceAreOneDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "ZA1", 2)
	h.sata("sdb", "ZA1", 1)
	h.mapped("dm-0", "mpatha", "mpath-35000c500a1b2c3d4", "sda", "sdb")
	h.mapped("dm-1", "mpatha1", "part1-mpath-35000c500a1b2c3d4", "dm-0")
	h.mount("dm-1", "/", "ext4")
	inv := h.inventory()
	equal(t, "disks", len(inv.Disks), 1)
	d := inv.Disks[0]
	equal(t, "place, by name and not by order", d.Location.ByPath, "pci-0000:00:1f.2-ata-1")
	equal(t, "device", d.Location.Device, "sdb")
	equal(t, "mounts", len(d.Mounts), 1)
	equal(t, "protected", d.Protected, "carries / (on mpatha1, on mpatha)")
	if want := []glia.Holder{
		{Name: "dm-0", Kind: "multipath", On: "sdb"}, {Name: "dm-1", Kind: "dm", On: "dm-0"}, {Name: "dm-0", Kind: "multipath", On: "sda"},
	}; !slices.Equal(d.Holders, want) {
		t.Errorf("holders: got %v, want %v", d.Holders, want)
	}

	h.sata("sdc", "ZA1", 3) // a third one, which is no path
	inv = h.inventory()
	equal(t, "disks", len(inv.Disks), 0)
	equal(t, "unidentified", len(inv.Unidentified), 3)
	equal(t, "why", inv.Unidentified[0].Why, "serial ZA1 is claimed by sda, sdb and sdc, which are not paths of one multipath device")
}

// A mount past the multipath device, on the path that is not the listed one, protects the disk as well.
func TestSource_EveryPathProtectsTheDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "ZA1", 1)
	h.sata("sdb", "ZA1", 2)
	h.mapped("dm-0", "mpatha", "mpath-35000c500a1b2c3d4", "sda", "sdb")
	h.part("sdb", "sdb1", 1, 2048, 8)
	h.mount("sdb1", "/", "ext4")
	d := h.disks()["ZA1"]
	equal(t, "device", d.Location.Device, "sda")
	equal(t, "protected", d.Protected, "carries / (on sdb1)")
	equal(t, "mounts", len(d.Mounts), 1)
	equal(t, "partitions", len(d.Partitions), 1)
}
