package probe_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk/probe"
)

const xfsSize = 320 * mib // mkfs.xfs wants 300 MiB

func TestFS_HealthyFilesystems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fsType, options string
		size            int64
		want            string
	}{
		{"ext4", "rw", 64 * mib, "fs.readonly=0 fs.errors=0 fs.statfs_errors=0"},
		{"xfs", "rw", xfsSize, "fs.readonly=0 fs.shutdown=0 fs.statfs_errors=0"},
		{"ext4", "ro", 64 * mib, "fs.readonly=0 fs.errors=0 fs.statfs_errors=0"}, // somebody asked for it
	} {
		t.Run(c.fsType+" "+c.options, func(t *testing.T) {
			t.Parallel()
			d := newLoop(t, c.size).mounted(t, c.fsType, c.options)
			got := (&probe.FS{}).Probe(t.Context(), d.Disk)
			if say(got) != c.want {
				t.Errorf("%s, want %s\n%s", say(got), c.want, details(got))
			}
		})
	}
}

func TestFS_ErrorMakesExt4ReadOnly(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw,errors=remount-ro")
	trigger := filepath.Join("/sys/fs/ext4", d.Location.Device, "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("test"), 0o200); err != nil {
		t.Skip("this kernel cannot pretend an ext4 error: ", err)
	}
	fs := &probe.FS{}
	got := fs.Probe(t.Context(), d.Disk)
	if say(got) != "fs.readonly=1 fs.errors=1 fs.statfs_errors=0" {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if text := details(got); !strings.Contains(text, "the kernel has made it read-only") || !strings.Contains(text, "in trigger_test_error") {
		t.Error(text)
	}
	if got[1].What != "fs.errors["+d.target()+"]" {
		t.Errorf("the counter is called %s", got[1].What)
	}
	// The write probe meets the same.
	if got := (&probe.Write{}).Probe(t.Context(), d.Disk); say(got) != "fs.write_erofs=1" {
		t.Errorf("%s\n%s", say(got), details(got))
	}
}

func TestFS_RemountByAPersonIsNoFault(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	fs := &probe.FS{}
	fs.Probe(t.Context(), d.Disk)
	command(t, "mount", "-o", "remount,ro", d.target())
	if got := fs.Probe(t.Context(), d.Disk); say(got) != "fs.readonly=0 fs.errors=0 fs.statfs_errors=0" {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if got := (&probe.Write{}).Probe(t.Context(), d.Disk); len(got) != 0 {
		t.Errorf("write probe on a read-only mount: %s", say(got))
	}
}

func TestFS_XFSThatHasShutDown(t *testing.T) {
	t.Parallel()
	d := newLoop(t, xfsSize).mounted(t, "xfs", "rw")
	command(t, "xfs_io", "-x", "-c", "shutdown", d.target())
	got := (&probe.FS{}).Probe(t.Context(), d.Disk)
	if !strings.Contains(say(got), "fs.shutdown=1 fs.statfs_errors=1") || !strings.Contains(details(got), "EIO at") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if got := (&probe.Write{}).Probe(t.Context(), d.Disk); say(got) != "fs.readback_errors=1" && say(got) != "fs.write_errors=1" {
		t.Errorf("write probe: %s\n%s", say(got), details(got))
	}
}

func TestFS_WhatIsNotThereIsUnknown(t *testing.T) {
	t.Parallel()
	a := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	b := newLoop(t, 64*mib).mounted(t, "ext4", "rw")

	// The inventory may be old: another filesystem is on that target by now.
	old := a.Disk
	old.Mounts = []glia.Mount{{Source: a.Location.Device, Target: b.target(), FSType: "ext4"}}
	got := (&probe.FS{}).Probe(t.Context(), old)
	if say(got) != "fs.statfs_errors?" || !strings.Contains(details(got), "is on /dev/"+b.Location.Device+" now") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if got := (&probe.Write{}).Probe(t.Context(), old); say(got) != "fs.write_errors?" {
		t.Errorf("write probe: %s\n%s", say(got), details(got))
	}
	if _, err := os.Stat(filepath.Join(b.target(), probe.TestFileName)); err == nil {
		t.Error("the write probe wrote to another disk")
	}

	command(t, "umount", a.target())
	if got := (&probe.FS{}).Probe(t.Context(), a.Disk); say(got) != "fs.statfs_errors?" || !strings.Contains(details(got), "not mounted any more") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if got := (&probe.Write{}).Probe(t.Context(), a.Disk); say(got) != "fs.write_errors?" {
		t.Errorf("write probe: %s\n%s", say(got), details(got))
	}
	if left, err := os.ReadDir(a.target()); err != nil || len(left) != 0 {
		t.Errorf("the write probe wrote below the mount point: %v %v", left, err)
	}
}

func TestFS_DeadlineIsUnknown(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for _, s := range []probe.Source{&probe.FS{}, &probe.Write{}} {
		if got := s.Probe(ctx, d.Disk); len(got) != 1 || !strings.HasPrefix(got[0].Unknown, "timed out before ") {
			t.Errorf("%s: %+v", s.Name(), got)
		}
	}
}

// A fault of a filesystem on several disks does not tell which of them is bad.
func TestFS_LeavesOutWhatSpansSeveralDisks(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	mountInfo := filepath.Join(root, "mountinfo")
	write(t, mountInfo, "40 1 253:0 / /one rw - ext4 /dev/mapper/one ro\n41 1 9:0 / /two rw - ext4 /dev/md0 ro\n42 1 0:50 / /pool rw - btrfs /dev/sdk1 ro\n")
	write(t, filepath.Join(root, "class/block/dm-0/dev"), "253:0\n")
	for _, p := range []string{"block/dm-0/slaves/sdk1", "block/md0/slaves/sdk1", "block/md0/slaves/sdl1",
		"fs/btrfs/u-1/devices/sdk1", "fs/btrfs/u-1/devices/sdl1"} {
		write(t, filepath.Join(root, p), "")
	}
	d := glia.Disk{Location: glia.Location{Device: "sdk"}, Partitions: []glia.Partition{{Name: "sdk1"}},
		Mounts: []glia.Mount{{Source: "dm-0", Target: "/one", FSType: "ext4"}, {Source: "md0", Target: "/two", FSType: "ext4"},
			{Source: "sdk1", Target: "/pool", FSType: "btrfs", UUID: "u-1"}}}
	got := (&probe.FS{Roots: probe.Roots{Sys: root, MountInfo: mountInfo}}).Probe(t.Context(), d)
	if !strings.HasPrefix(say(got), "fs.readonly=1 fs.statfs_errors") || strings.Count(say(got), "fs.") != 3 || strings.Contains(details(got), "/two") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
}
