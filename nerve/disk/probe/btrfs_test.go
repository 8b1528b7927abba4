package probe_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk/probe"
)

const btrfsSize = 128 * mib

func TestFS_BtrfsCountsWhatItMeets(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("mkfs.btrfs"); err != nil {
		t.Skip("no btrfs-progs here")
	}
	d := newLoop(t, btrfsSize).mounted(t, "btrfs", "rw")
	fs := &probe.FS{}
	if got := fs.Probe(t.Context(), d.Disk); say(got) != "btrfs.io_errors=0 btrfs.corruption_errors=0 fs.readonly=0 fs.statfs_errors=0" {
		t.Fatalf("%s\n%s", say(got), details(got))
	}

	// A file that is damaged behind the back of btrfs.
	mark := bytes.Repeat([]byte("glia was here. "), 1<<16)
	write(t, filepath.Join(d.target(), "file"), string(mark))
	command(t, "umount", d.target())
	damage(t, d.file, mark[:64])
	command(t, "mount", d.DevicePath(), d.target())
	if err := exec.Command("cat", filepath.Join(d.target(), "file")).Run(); err == nil {
		t.Fatal("the damage is not seen")
	}
	got := fs.Probe(t.Context(), d.Disk)
	if say(got) != "btrfs.io_errors=0 btrfs.corruption_errors>1 fs.readonly=0 fs.statfs_errors=0" && say(got) != "btrfs.io_errors=0 btrfs.corruption_errors=1 fs.readonly=0 fs.statfs_errors=0" {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if text := details(got); !strings.Contains(text, "met on "+d.DevicePath()+": 0 failed writes") {
		t.Error(text)
	}

	// Of another disk, nothing is told.
	other := d.Disk
	other.Location.Device = newLoop(t, mib).Location.Device
	if got := fs.Probe(t.Context(), other); strings.Contains(say(got), "btrfs") {
		t.Errorf("%s\n%s", say(got), details(got))
	}

	// The disk fails.
	more := filepath.Join(d.target(), "more")
	write(t, more, string(mark))
	d.fail(t)
	_ = exec.Command("dd", "if="+more, "of=/dev/null", "bs=4096", "iflag=direct").Run()
	got = fs.Probe(t.Context(), d.Disk)
	if i := slices.IndexFunc(got, func(e glia.Evidence) bool { return strings.HasPrefix(e.What, "btrfs.io_errors[") }); i < 0 || got[i].Value == 0 {
		t.Errorf("%s\n%s", say(got), details(got))
	}
}

// damage overwrites all places of a file where the pattern is.
func damage(t *testing.T, file string, pattern []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := bytes.Count(b, pattern)
	if n == 0 {
		t.Fatal("the pattern is not there")
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(b, pattern, bytes.Repeat([]byte("?"), len(pattern))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// btrfs makes itself read-only for want of space, too.
func TestFS_BtrfsReadOnlyForUnknownReasons(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	mountInfo := filepath.Join(root, "mountinfo")
	write(t, mountInfo, "42 1 0:50 / "+root+" rw - btrfs /dev/sdk1 ro\n")
	d := glia.Disk{Location: glia.Location{Device: "sdk"}, Partitions: []glia.Partition{{Name: "sdk1"}},
		Mounts: []glia.Mount{{Source: "sdk1", Target: root, FSType: "btrfs"}}}
	got := (&probe.FS{Roots: probe.Roots{Sys: root, MountInfo: mountInfo}}).Probe(t.Context(), d)
	if !strings.Contains(say(got), "fs.readonly?") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
}
