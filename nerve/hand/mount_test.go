package hand_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	gliav1 "glia/api/glia/v1"
	"glia/nerve/hand"
)

func TestHand_MountRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(l *lab, device, target string) string // returns the target to order
		says string
	}{
		{"another UUID", func(l *lab, device, target string) string {
			l.sh("mkfs.ext4", "-q", "-F", "-U", newUUID, "/dev/"+device)
			return target
		}, "does not carry the ext4 with UUID " + oldUUID},
		{"blank", func(l *lab, device, target string) string {
			l.write(device, 0, strings.Repeat("\x00", 4*mib))
			return target
		}, "does not carry"},
		{"something there", func(l *lab, device, target string) string {
			l.sh("mount", "-t", "tmpfs", "none", target)
			l.t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
			return target
		}, "is mounted already: none on"},
		{"mounted elsewhere", func(l *lab, device, target string) string {
			l.sh("mount", "/dev/"+device, l.mkdir("other"))
			return target
		}, "is mounted elsewhere"},
		{"would hide a mount", func(l *lab, device, target string) string {
			sub := l.mkdir("data/sub")
			l.sh("mount", "-t", "tmpfs", "none", sub)
			l.t.Cleanup(func() { unix.Unmount(sub, unix.MNT_DETACH) })
			return target
		}, "the mount would hide"},
		{"symbolic link", func(l *lab, device, target string) string {
			os.Symlink(target, filepath.Join(l.dir, "link"))
			return filepath.Join(l.dir, "link")
		}, "is not a directory"},
		{"symbolic link on the way", func(l *lab, device, target string) string {
			os.Symlink(l.dir, filepath.Join(l.dir, "link"))
			return filepath.Join(l.dir, "link", "data")
		}, "through a symbolic link"},
		{"no parent", func(l *lab, device, target string) string { return target + "/a/b" }, "make the directory first"},
		{"a file", func(l *lab, device, target string) string {
			os.WriteFile(target+".txt", nil, 0o600)
			return target + ".txt"
		}, "is not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			device := l.attach("OLD", 1, 32*mib)
			l.sh("mkfs.ext4", "-q", "-U", oldUUID, "/dev/"+device)
			target := c.make(l, device, l.mkdir("data"))
			rec := &recorder{to: hand.Linux()}
			h := l.hand(l.options(rec))
			wantNo(t, finish(t, h, order(mount, "OLD", 1, is("ext4", target))), refused, c.says)
			if calls := rec.Calls(); len(calls) > 0 {
				t.Errorf("ran %q", calls)
			}
		})
	}
}

// The filesystem of an old disk may be on a partition.
func TestHand_MountsAPartition(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	device, target := l.attach("OLD", 1, 64*mib), l.mkdir("data")
	l.sh("parted", "-s", "/dev/"+device, "mklabel", "gpt", "mkpart", "a", "1MiB", "40MiB")
	if _, err := os.Stat("/dev/" + device + "p1"); err != nil {
		t.Skip("the kernel made no node for the partition: ", err)
	}
	l.sh("mkfs.ext4", "-q", "-U", oldUUID, "/dev/"+device+"p1")
	h := l.hand(l.options(hand.Linux()))
	r := finish(t, h, order(mount, "OLD", 1, is("ext4", target)))
	wantDone(t, r)
	if want := "mount -t ext4 /dev/" + device + "p1 " + target; strings.Join(r.Commands, ";") != want {
		t.Errorf("ran %q, want %q", r.Commands, want)
	}
	wantDone(t, finish(t, h, order(unmount, "OLD", 1, is("ext4", target))))
	if isMounted(l, target) {
		t.Error("still mounted")
	}
}

// A mount that fails is told with what mount printed.
func TestHand_MountThatFails(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	device, target := l.attach("OLD", 1, 32*mib), l.mkdir("data")
	l.sh("mkfs.ext4", "-q", "-U", oldUUID, "/dev/"+device)
	h := l.hand(l.options(hand.Linux()))
	r := finish(t, h, order(mount, "OLD", 1, is("ext4", target), func(o *gliav1.Order) { o.Filesystem.Options = "commit=x" }))
	wantNo(t, r, failed, "mount: exit status 32")
	if !strings.Contains(r.Output, "wrong fs type, bad option") {
		t.Errorf("output is %q", r.Output)
	}
}

func TestKeepOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ fsType, in, kept, left string }{
		{"ext4", "rw,relatime,seclabel,stripe=64,errors=remount-ro", "errors=remount-ro", "rw,relatime,seclabel,stripe=64"},
		{"ext4", "ro,noatime,nodev,nosuid,noexec,rw,noatime,data=writeback", "noatime,nodev,nosuid,noexec,data=writeback", "ro,rw"},
		{"xfs", "rw,noatime,attr2,inode64,logbufs=8,logbsize=32k,sunit=8,swidth=16,noquota,allocsize=64k", "noatime,allocsize=64k", "rw,attr2,inode64,logbufs=8,logbsize=32k,sunit=8,swidth=16,noquota"},
		{"xfs", "nobarrier,errors=continue", "", "nobarrier,errors=continue"},
		{"ext4", "commit=5;reboot,loop,bind,remount,noatime=$(x)", "", "commit=5;reboot,loop,bind,remount,noatime=$(x)"},
		{"ext4", "", "", ""},
	} {
		kept, left := hand.KeepOptions(c.fsType, c.in)
		if k, l := strings.Join(kept, ","), strings.Join(left, ","); k != c.kept || l != c.left {
			t.Errorf("%s %s: kept %q, left %q; want %q, %q", c.fsType, c.in, k, l, c.kept, c.left)
		}
	}
}
