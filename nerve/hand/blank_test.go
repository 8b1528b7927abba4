package hand_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

// Invariant 1: whatever is on a disk, or uses it, it is neither accepted nor written.
func TestHand_NeverWritesWhatIsNotBlank(t *testing.T) {
	t.Parallel()
	const size = 80 * mib
	put := func(pos int64, bytes string) func(*lab, string) {
		return func(l *lab, dev string) { l.write(dev, pos, bytes) }
	}
	run := func(argv ...string) func(*lab, string) {
		return func(l *lab, dev string) { l.sh(append(argv, "/dev/"+dev)...) }
	}
	for _, c := range []struct {
		name string
		make func(*lab, string)
		says string
	}{
		{"ext4", run("mkfs.ext4", "-q", "-L", "precious", "-U", oldUUID), `ext4 (label "precious", UUID ` + oldUUID + ")"},
		{"ext2", run("mkfs.ext2", "-q"), "it carries ext2"},
		{"xfs", put(0, "XFSB"), "it carries xfs"},
		{"swap", run("mkswap", "-q"), "it carries swap"},
		{"gpt", func(l *lab, dev string) { l.sh("parted", "-s", "/dev/"+dev, "mklabel", "gpt") }, "it carries gpt"},
		{"backup gpt alone", put(-512, "EFI PART"), "it carries gpt"},
		{"mbr", func(l *lab, dev string) { l.sh("parted", "-s", "/dev/"+dev, "mklabel", "msdos") }, "MBR partition table"},
		{"partitions", func(l *lab, dev string) {
			l.sh("parted", "-s", "/dev/"+dev, "mklabel", "gpt", "mkpart", "a", "1MiB", "8MiB")
		}, "has partitions: loop"},
		{"luks", put(0, "LUKS\xba\xbe\x00\x01"), "it carries luks"},
		{"lvm", put(512, "LABELONE"), "it carries lvm2-pv"},
		{"md 1.2", put(4096, "\xfc\x4e\x2b\xa9"), "it carries md"},
		{"md 1.0 at the end", put(-8192, "\xfc\x4e\x2b\xa9"), "it carries md"},
		{"md 0.90 at the end", put(-65536, "\xfc\x4e\x2b\xa9"), "it carries md"},
		{"ddf", put(-512, "\xde\x11\xde\x11"), "it carries ddf"},
		{"zfs in front", put(128<<10, "\x0c\xb1\xba\x00\x00\x00\x00\x00"), "it carries zfs"},
		{"zfs at the end", put(-(128<<10)+1024, "\x00\x00\x00\x00\x00\xba\xb1\x0c"), "it carries zfs"},
		{"ceph bluestore", put(0, "bluestore block device\n"), "it carries bluestore"},
		{"btrfs", put(65600, "_BHRfS_M"), "it carries btrfs"},
		{"btrfs with a wiped front", put(64*mib+64, "_BHRfS_M"), "it carries btrfs"},
		{"vmfs", put(1*mib, "\x0d\xd0\x01\xc0"), "it carries vmfs"},
		{"a byte in the first MiB", put(77777, "x"), "byte 77777 of the first 4 MiB is not zero"},
		{"a byte in the last MiB", put(-1, "x"), "byte 1048575 of the last 1 MiB is not zero"},
		{"mounted by a namespace that the inventory does not see", func(l *lab, dev string) { // an exclusive claim stands for it
			fd, err := unix.Open("/dev/"+dev, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
			if err != nil {
				l.t.Fatal(err)
			}
			l.t.Cleanup(func() { unix.Close(fd) })
		}, "is held by the kernel"},
		{"unreadable", func(l *lab, dev string) {
			if err := os.Truncate(l.files["NEW"], size/2); err != nil {
				l.t.Fatal(err)
			}
		}, "can not be read: read /dev/loop"},
		{"write-protected", func(l *lab, dev string) {
			l.t.Cleanup(func() { l.sh("blockdev", "--setrw", "/dev/"+dev) }) // it would outlive the device
			l.sh("blockdev", "--setro", "/dev/"+dev)
		}, "is write-protected"},
		{"another size than the inventory says", func(l *lab, dev string) {
			l.change("NEW", func(d *glia.Disk) { d.Identity.Size *= 2 })
		}, "the inventory says"},
		{"another disk, that has got the name", func(l *lab, dev string) {
			l.change("NEW", func(d *glia.Disk) { d.Location.DiskSeq += 1 << 40 })
		}, "it is another device now"},
		{"holder", func(l *lab, dev string) {
			l.change("NEW", func(d *glia.Disk) { d.Holders = []glia.Holder{{Name: "dm-3", Kind: "multipath", On: dev}} })
		}, "is used by dm-3 (multipath)"},
		{"mount", func(l *lab, dev string) {
			l.change("NEW", func(d *glia.Disk) { d.Mounts = []glia.Mount{{Source: dev, Target: "/data/x"}} })
		}, "is mounted on /data/x"},
		{"active swap", func(l *lab, dev string) {
			l.change("NEW", func(d *glia.Disk) { d.Swap = []string{dev} })
		}, "is active swap"},
		{"protected", func(l *lab, dev string) {
			l.change("NEW", func(d *glia.Disk) { d.Protected = "it carries /boot" })
		}, "disk is protected"},
		{"too small", func(l *lab, dev string) {
			l.change("NEW", func(d *glia.Disk) { d.Identity.Size = 8 * mib })
		}, "is too small: 8.39 MB (8388608 bytes), the old disk has 16.78 MB (16777216 bytes)"},
		{"retired", func(l *lab, dev string) {}, "is a retired disk (it was taken out before)"},
		{"the same serial twice", func(l *lab, dev string) { l.add("NEW", 9, "loop999", size) }, "2 disks of this host have the serial NEW"},
		{"two disks in one place", func(l *lab, dev string) { l.add("OTHER", 2, "loop999", size) }, "several disks claim to be in"},
		{"the old disk in another place", func(l *lab, dev string) { l.add("OLD", 9, "loop999", size) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			dev := l.attach("NEW", 2, size)
			c.make(l, dev)
			before := l.hash("NEW")
			rec := &recorder{to: hand.Linux()}
			h := l.hand(l.options(rec))
			retired := func(o *gliav1.Order) {
				if c.name == "retired" {
					o.Retired = []string{"X", "NEW"}
				}
			}
			if c.says == "" { // only inspect knows the old disk
				wantFindings(t, finish(t, h, order(inspect, "OLD", 2)), "the old disk OLD is still in this host, in enc0 slot 9")
				return
			}
			wantFindings(t, finish(t, h, order(inspect, "OLD", 2, retired)), c.says)
			for _, fsType := range []string{"ext4", "xfs"} {
				o := order(format, "NEW", 2, retired, func(o *gliav1.Order) { o.Filesystem.Type = fsType })
				wantNo(t, finish(t, h, o), refused, c.says)
				wantNo(t, finish(t, h, o), refused, c.says) // trying again does not help
			}
			if calls := rec.Calls(); len(calls) > 0 {
				t.Errorf("ran %q", calls)
			}
			if l.hash("NEW") != before {
				t.Error("the disk was changed")
			}
			if j, _ := os.ReadFile(filepath.Join(l.dir, "state", "journal")); len(j) > 0 {
				t.Errorf("a refusal was recorded as an act: %s", j)
			}
		})
	}
}

// Invariant 10, and the rest of who and where: format and mount touch the ordered disk or none.
func TestHand_ActsOnTheOrderedDiskOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		serial string
		slot   int
		change func(*lab)
		says   string
	}{
		{"unknown serial", "GHOST", 2, nil, "disk GHOST is not found on this host; in enc0 slot 2 is NEW"},
		{"another place", "NEW", 3, nil, "disk NEW is in enc0 slot 2, not in enc0 slot 3"},
		{"no place", "NEW", 2, func(l *lab) {
			l.change("NEW", func(d *glia.Disk) { d.Location.Slot, d.Location.Enclosure = "", "" })
		}, "disk NEW is in (unknown)"},
		{"no device", "NEW", 2, func(l *lab) {
			l.change("NEW", func(d *glia.Disk) { d.Location.Device = "" })
		}, "disk NEW is not found"},
		{"protected", "NEW", 2, func(l *lab) {
			l.change("NEW", func(d *glia.Disk) { d.Protected = "it carries /" })
		}, "disk is protected: NEW in enc0 slot 2 of node-1"},
		{"twice", "NEW", 2, func(l *lab) { l.add("NEW", 4, "loop998", mib) }, "2 disks of this host have the serial NEW"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := fakeLab(t)
			l.add("NEW", 2, "loop999", 32*mib)
			if c.change != nil {
				c.change(l)
			}
			rec := &recorder{}
			opts := l.options(rec)
			opts.RejoinHook = []string{"true"}
			h := l.hand(opts)
			for _, verb := range []gliav1.Verb{format, mount, rejoin} {
				wantNo(t, finish(t, h, order(verb, c.serial, c.slot, on("/data/x"))), refused, c.says)
			}
			if calls := rec.Calls(); len(calls) > 0 {
				t.Errorf("ran %q", calls)
			}
		})
	}
}

// Kernel names move. The disk that was proven must be the one that mkfs gets.
func TestHand_RefusesADiskThatChangesWhileItIsLookedAt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	device := l.attach("NEW", 2, 32*mib)
	t.Cleanup(func() { l.change("NEW", func(d *glia.Disk) { d.Location.Device = device }) })
	other := l.attach("OTHER", 5, 32*mib)
	rec := &recorder{to: hand.Linux()}
	opts := l.options(rec)
	looks := 0
	opts.Inventory = func(context.Context) ([]glia.Disk, error) {
		if looks++; looks == 2 {
			l.change("NEW", func(d *glia.Disk) { d.Location.Device = other })
		}
		return l.inventory(), nil
	}
	h := l.hand(opts)
	wantNo(t, finish(t, h, order(format, "NEW", 2)), refused, "changed while it was looked at")
	if calls := rec.Calls(); len(calls) > 0 {
		t.Errorf("ran %q", calls)
	}
}

// What can not be told of any disk is no refusal of one: the order waits, and is carried out when the disks can be
// listed again.
func TestHand_WaitsForAnInventoryThatFails(t *testing.T) {
	t.Parallel()
	l := fakeLab(t)
	l.add("NEW", 2, "loop998", 32*mib)
	rec := &recorder{}
	opts := l.options(rec)
	opts.DrainHook = []string{"drain"}
	whole, broken := opts.Inventory, true
	opts.Inventory = func(ctx context.Context) ([]glia.Disk, error) {
		if broken {
			return nil, os.ErrPermission
		}
		return whole(ctx)
	}
	h := l.hand(opts)
	for _, verb := range []gliav1.Verb{drain, unmount, inspect, format, mount, rejoin} {
		wantNo(t, finish(t, h, order(verb, "NEW", 2, on("/data/x"))), waits, "inventory: permission denied")
	}
	if calls := rec.Calls(); len(calls) > 0 {
		t.Errorf("ran %q", calls)
	}
	broken = false
	wantDone(t, finish(t, h, order(drain, "NEW", 2, on("/data/x"))))
}

func FuzzRecognise(f *testing.F) {
	for _, s := range []string{"", "XFSB", "LUKS\xba\xbe", strings.Repeat("\x00", 1080) + "\x53\xef"} {
		f.Add([]byte(s), []byte("EFI PART"), int64(80*mib))
	}
	f.Fuzz(func(t *testing.T, front, end []byte, size int64) {
		for _, s := range hand.Recognise(front, end, size) {
			if s == "" {
				t.Error("a signature without a name")
			}
		}
	})
}
