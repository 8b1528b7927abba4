package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	"glia/nerve/disk"
)

func TestSource_ReadsIdentityWithoutUdev(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "ZA1", 1)
	h.attr("sda", "../../wwid", "naa.5000C500A1B2C3D4\n")
	h.file("sys/devices/pci0000:00/0000:00:1f.2/ata5/host0/target0:0:0/0:0:0:0/vpd_pg83", string(pageRAID))
	h.sata("sdb", "ZA2", 2)
	h.attr("sdb", "queue/rotational", "0\n")
	h.file("sys/devices/pci0000:00/0000:00:1f.2/ata6/host1/target1:0:0/1:0:0:0/vpd_pg83", string(pageSAS))
	h.nvme(0, "S64HNE0R")
	h.whole("vda", "sys/devices/pci0000:00/0000:00:02.0/virtio1/block", 2048)
	h.attr("vda", "serial", "vol-7")

	got := h.disks()
	want := map[string]glia.Identity{
		"ZA1":      {Serial: "ZA1", WWN: "naa.5000c500a1b2c3d4", Model: "ST8000NM0055-1RM", Firmware: "SN05", Size: 8001563222016, Class: glia.ClassHDD},
		"ZA2":      {Serial: "ZA2", WWN: "naa.5000c500a1b2c3d4", Model: "ST8000NM0055-1RM", Firmware: "SN05", Size: 8001563222016, Class: glia.ClassSSD},
		"S64HNE0R": {Serial: "S64HNE0R", WWN: "eui.0025385b71b0a1c2", Model: "SAMSUNG MZQL23T8HCLS-00A07", Firmware: "GDC5902Q", Size: 4000787030016, Class: glia.ClassNVMe},
		"vol-7":    {Serial: "vol-7", Size: 1 << 20, Class: glia.ClassHDD},
	}
	equal(t, "disks", len(got), len(want))
	for serial, w := range want {
		equal(t, serial, got[serial].Identity, w)
	}
	equal(t, "place of a SATA disk", got["ZA2"].Location, glia.Location{Host: "node-1", ByPath: "pci-0000:00:1f.2-ata-2", Device: "sdb", Controller: glia.Controller{Address: "0000:00:1f.2"}})
	equal(t, "place of an NVMe disk", got["S64HNE0R"].Location.ByPath, "pci-0000:00:05.0-nvme-1")
	equal(t, "place of a virtio disk", got["vol-7"].Location.ByPath, "pci-0000:00:02.0")
}

func TestSource_TakesFromUdevWhatTheKernelDoesNotTell(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "", 1)
	h.udev("sda", "S:disk/by-id/wwn-0x5000c500a1b2c3d4", "S:disk/by-path/pci-0000:00:1f.2-ata-1.0", "S:disk/by-path/pci-0000:00:1f.2-ata-1",
		"E:ID_PATH=pci-0000:00:1f.2-ata-1.0", "E:ID_BUS=ata", "E:ID_SERIAL_SHORT=ZA1", "E:ID_WWN=0x5000c500a1b2c3d4",
		`E:ID_MODEL_ENC=ST8000NM0055-1RM112\x20\x20\x20`, "E:ID_MODEL=ST8000NM0055-1RM112", "E:ID_REVISION=0001SN05")
	h.sata("sdb", "", 2) // a SAS disk to udev: the short serial is the WWN
	h.udev("sdb", "E:ID_BUS=scsi", "E:ID_SCSI_SERIAL=ZC2", "E:ID_SERIAL_SHORT=5000c500a1b2c3d5",
		"E:ID_WWN=0x600508b1001c4a5b", "E:ID_WWN_WITH_EXTENSION=0x600508b1001c4a5b6c7d8e9fa0b1c2d3", "S:disk/by-path/pci-0000:00:1f.2-sas-phy2-lun-0")
	h.sata("sdc", "", 3) // the same one without a serial has nothing to be known by
	h.udev("sdc", "E:ID_SERIAL_SHORT=5000c500a1b2c3d6", "E:ID_WWN=0x5000c500a1b2c3d6")
	h.sata("sdd", "ZA4", 4) // udev has not looked at it yet

	got := h.disks()
	equal(t, "disks", len(got), 3)
	equal(t, "SATA", got["ZA1"].Identity, glia.Identity{Serial: "ZA1", WWN: "naa.5000c500a1b2c3d4", Model: "ST8000NM0055-1RM112", Firmware: "0001SN05", Size: 8001563222016, Class: glia.ClassHDD})
	equal(t, "ID_PATH is the name of the place", got["ZA1"].Location.ByPath, "pci-0000:00:1f.2-ata-1.0")
	equal(t, "SAS serial", got["ZC2"].Identity.WWN, "naa.600508b1001c4a5b6c7d8e9fa0b1c2d3")
	equal(t, "SAS place", got["ZC2"].Location.ByPath, "pci-0000:00:1f.2-sas-phy2-lun-0")
	equal(t, "no place until udev has looked", got["ZA4"].Location.ByPath, "")
}

func TestSource_LeavesOutWhatIsNoDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, name := range []string{"ram0", "zram0", "sr0", "fd0", "dm-0", "md0", "md_d1", "bcache0", "zd16", "drbd1", "rbd0", "mmcblk0boot0", "mmcblk0rpmb", "loop0"} {
		h.whole(name, "sys/devices/virtual/block", 2048)
		h.attr(name, "serial", "S-"+name)
	}
	h.whole("nbd0", "sys/devices/virtual/block", 0)
	h.attr("nbd0", "serial", "S-nbd0")
	h.whole("mmcblk0", "sys/devices/platform/mmc/mmc0:0001/block", 2048)
	h.attr("mmcblk0", "device/serial", "0x1234abcd\n")
	h.part("mmcblk0", "mmcblk0p1", 1, 8, 16)
	h.nvme(0, "N0")
	h.file("sys/devices/virtual/x/nvme0c0n1/hidden", "1\n")
	h.link("sys/block/nvme0c0n1", "sys/devices/virtual/x/nvme0c0n1")
	h.sata("sda", "ZA1", 1)
	s := disk.Source{Root: h.root, Ignore: []string{"sd*"}}
	inv, err := s.Inventory(context.Background())
	h.must(err)

	equal(t, "disks", len(inv.Disks), 2)
	equal(t, "eMMC", inv.Disks[0].Serial(), "0x1234abcd")
	equal(t, "its partition", inv.Disks[0].Partitions[0], glia.Partition{Name: "mmcblk0p1", Number: 1, Start: 4096, Size: 8192})
	equal(t, "NVMe", inv.Disks[1].Serial(), "N0")
	equal(t, "unidentified", len(inv.Unidentified), 0)
}

func TestSource_SaysWhatItCouldNotIdentify(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "ZA1", 1)
	h.sata("sdb", "ZA1", 2)
	h.sata("sdc", "0000000000", 3)
	h.sata("sdd", "ZA4\x07", 4)
	h.sata("sde", "ZA5", 5)
	h.attr("sde", "size", "0\n")
	h.sata("sdf", "ZA6", 6)
	h.attr("sdf", "size", "0\n")
	h.attr("sdf", "removable", "1\n") // a card reader without a card
	h.sata("sdg", "ZA7", 7)
	h.attr("sdg", "size", "many\n")
	h.sata("sdh", "ZA8", 8)
	h.must(os.Remove(filepath.Join(h.root, h.dirs["sdh"], "holders")))
	h.attr("sdh", "holders", "not a directory")
	h.sata("sdi", "ZA9", 9)
	h.part("sdi", "sdi1", 1, 2048, 8)
	h.attr("sdi1", "start", "-1\n")

	inv := h.inventory()
	equal(t, "disks", len(inv.Disks), 0)
	var got []string
	for _, u := range inv.Unidentified {
		got = append(got, u.Device+" "+u.Serial+": "+u.Why)
	}
	for i, want := range []string{
		"sda ZA1: serial ZA1 is claimed by sda and sdb",
		"sdb ZA1: serial ZA1 is claimed by sda and sdb",
		"sdc : it tells no serial",
		"sdd : it tells no serial",
		"sde ZA5: its size is 0",
		`sdg ZA7: read its size: "many" is not a number`,
		"sdh ZA8: read its holders: ",
		`sdi ZA9: sdi1, which rests on it: read its start: "-1" is not a number`,
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Fatalf("got\n%s\nwant line %d to start with %s", strings.Join(got, "\n"), i+1, want)
		}
	}
	equal(t, "unidentified", len(got), 8)
}

func TestSource_IdentityAndPlaceSurviveARename(t *testing.T) {
	t.Parallel()
	before, after := newHost(t), newHost(t)
	before.sata("sda", "ZA1", 1)
	before.sata("sdb", "ZA2", 2)
	after.sata("sdb", "ZA1", 1)
	after.sata("sda", "ZA2", 2)
	a, b := before.disks(), after.disks()
	for _, serial := range []string{"ZA1", "ZA2"} {
		equal(t, "identity", a[serial].Identity, b[serial].Identity)
		equal(t, "place", a[serial].Location.Place(), b[serial].Location.Place())
		if a[serial].Location.Device == b[serial].Location.Device {
			t.Errorf("%s was not renamed", serial)
		}
	}
}

func TestSource_ADiskThatVanishesIsAbsent(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "ZA1", 1)
	h.link("sys/block/sdb", "sys/devices/gone/sdb")                                           // before its directory was opened
	h.must(os.MkdirAll(filepath.Join(h.root, "sys/devices/x/sdc/queue"), 0o755))              // before its attributes were read
	h.link("sys/block/sdc", "sys/devices/x/sdc")                                              //
	h.sata("sdd", "ZA4", 4)                                                                   // a partition is being removed
	h.must(os.MkdirAll(filepath.Join(h.root, h.dirs["sdd"], "sdd1"), 0o755))                  //
	h.file(h.dirs["sda"]+"/sda1/partition", "1\n")                                            //
	h.must(os.Symlink("nowhere", filepath.Join(h.root, h.dirs["sda"], "holders", "dm-gone"))) // its holder was stopped

	inv := h.inventory()
	equal(t, "disks", len(inv.Disks), 2)
	equal(t, "unidentified", len(inv.Unidentified), 0)
	equal(t, "a holder that could not be looked at is still one", inv.Disks[0].Holders[0], glia.Holder{Name: "dm-gone", Kind: "dm", On: "sda"})
}

// A virtio disk is asked for its serial by a request that can hang. A FIFO without a writer hangs too.
func TestSource_ADiskThatDoesNotAnswerDelaysNoOther(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.sata("sda", "ZA1", 1)
	h.whole("vda", "sys/devices/pci0000:00/0000:00:02.0/virtio1/block", 2048)
	h.attr("vda", "diskseq", "9\n")
	fifo := filepath.Join(h.root, h.dirs["vda"], "serial")
	h.must(unix.Mkfifo(fifo, 0o600))

	s := disk.Source{Root: h.root}
	began := time.Now()
	for range 3 {
		inv, err := s.Inventory(context.Background())
		h.must(err)
		equal(t, "disks", len(inv.Disks), 1)
		equal(t, "unidentified", inv.Unidentified[0].Device, "vda")
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("three scans took %s", d)
	}
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // returns once the one parked reader is there
	h.must(err)
	_, err = w.WriteString("vol-7")
	h.must(err)
	h.must(w.Close())
	h.must(os.Remove(fifo))
	h.file(h.dirs["vda"]+"/serial", "vol-7")
	for deadline := time.Now().Add(time.Minute); ; {
		disks, err := s.Scan(context.Background())
		h.must(err)
		if len(disks) == 2 {
			equal(t, "serial", disks[1].Serial(), "vol-7")
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the disk answered and is still not listed")
		}
	}
	h.file(h.dirs["vda"]+"/serial", "") // not asked again: the disk is the same one
	disks, err := s.Scan(context.Background())
	h.must(err)
	equal(t, "disks", len(disks), 2)
}

// While the scan waits for the serial of vda, the disk is pulled and another one takes its name.
func TestSource_ADiskThatIsSwappedDuringTheScanIsAbsent(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.whole("vda", "sys/devices/pci0000:00/0000:00:02.0/virtio1/block", 2048)
	h.attr("vda", "diskseq", "9\n")
	fifo := filepath.Join(h.root, h.dirs["vda"], "serial")
	h.must(unix.Mkfifo(fifo, 0o600))
	done := make(chan error, 1)
	go func() {
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err == nil {
			err = os.WriteFile(filepath.Join(h.root, h.dirs["vda"], "diskseq"), []byte("10\n"), 0o644)
			_, _ = w.WriteString("vol-7")
			_ = w.Close()
		}
		done <- err
	}()
	inv := h.inventory()
	h.must(<-done)
	equal(t, "disks", len(inv.Disks), 0)
	equal(t, "unidentified", len(inv.Unidentified), 0)
}

func TestSource_LoopDevicesAreDisksOnlyWhenNamed(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.loop("loop0", "/srv/host-1/bay3/GLIA-0003.img")
	h.loop("loop1", "/srv/host-1/bay4/GLIA-0004.img (deleted)")
	h.loop("loop2", "/var/lib/snapd/snaps/core.snap")
	h.whole("loop3", "sys/devices/virtual/block", 0) // detached
	h.mount("loop0", "/data/3", "ext4")

	got := h.disks("/srv/host-1/*/*.img")
	equal(t, "disks", len(got), 2)
	equal(t, "identity", got["GLIA-0003"].Identity, glia.Identity{Serial: "GLIA-0003", Model: "loop", Size: 512 << 20, Class: glia.ClassHDD})
	equal(t, "place", got["GLIA-0003"].Location.Place(), "slot bay3")
	equal(t, "mount", got["GLIA-0003"].Mounts[0], glia.Mount{Source: "loop0", Target: "/data/3", FSType: "ext4", Options: "rw,relatime"})
	equal(t, "deleted file", got["GLIA-0004"].Location.Place(), "slot bay4")
	equal(t, "without globs", len(h.disks()), 0)
}

func TestSource_FailsWhenNothingCanBeSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		spoil      func(*host)
		loop       string
	}{
		{"no sysfs", "is sysfs mounted?", func(h *host) { h.must(os.RemoveAll(filepath.Join(h.root, "sys"))) }, ""},
		{"no mount table", "mount table: ", func(h *host) { h.must(os.Remove(filepath.Join(h.root, "proc/self/mountinfo"))) }, ""},
		{"broken mount table", "mount table ", func(h *host) { h.file("proc/self/mountinfo", "22 1 0:21 /\n") }, ""},
		{"broken swap table", "swap table: line 2 is not understood", func(h *host) { h.file("proc/swaps", "Filename\n/dev/sda2\n") }, ""},
		{"broken glob", `pattern "/srv/[": `, func(*host) {}, "/srv/["},
	} {
		h := newHost(t)
		h.sata("sda", "ZA1", 1)
		c.spoil(h)
		s := disk.Source{Root: h.root, Loop: []string{c.loop}}
		inv, err := s.Inventory(context.Background())
		if err == nil || !strings.Contains(err.Error(), c.want) || len(inv.Disks) != 0 {
			t.Errorf("%s: got %v with %d disks, want %q", c.name, err, len(inv.Disks), c.want)
		}
	}
	h := newHost(t)
	h.must(os.Remove(filepath.Join(h.root, "proc/swaps"))) // a kernel without swap
	h.disks()

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h.sata("sda", "ZA1", 1)
	if _, err := (&disk.Source{Root: h.root}).Scan(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestSource_SortsBySerial(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for i, serial := range []string{"C", "A", "B"} {
		h.sata("sd"+string(rune('a'+i)), serial, i+1)
	}
	var got []string
	for _, d := range h.inventory().Disks {
		got = append(got, d.Serial())
	}
	equal(t, "sorted", slices.IsSorted(got), true)
	equal(t, "disks", len(got), 3)
}
