package probe_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"glia"
	"glia/nerve/disk/probe"
)

const mib = 1 << 20

func TestRead_HealthyDisk(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 8*mib)
	if got := say((&probe.Read{}).Probe(t.Context(), d.Disk)); got != "read.errors=0" {
		t.Error(got)
	}
}

func TestRead_BadPlaceStaysBadUntilItCanBeRead(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib)
	r := &probe.Read{Places: 3}
	if err := os.Truncate(d.file, 64*mib-4096); err != nil { // only the last block is gone
		t.Fatal(err)
	}
	for range 3 {
		got := r.Probe(t.Context(), d.Disk)
		if say(got) != "read.errors=1" || got[0].Class != glia.Media || got[0].Detail != "EIO reading 4096 bytes at byte 67104768" {
			t.Fatalf("%+v", got)
		}
	}
	if err := os.Truncate(d.file, 64*mib); err != nil {
		t.Fatal(err)
	}
	if got := say(r.Probe(t.Context(), d.Disk)); got != "read.errors=0" {
		t.Errorf("after the place came back: %s", got)
	}
}

// A defect in the middle is met by chance, and must then be met by each later probe.
func TestRead_RemembersADefectThatItMetByChance(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 4*mib)
	r := &probe.Read{Places: 3}
	if err := os.Truncate(d.file, 3*mib); err != nil {
		t.Fatal(err)
	}
	met := false
	for range 20 {
		n := r.Probe(t.Context(), d.Disk)[0].Value // the last block is bad in any case
		if met && n < 2 {
			t.Fatal("a place that could not be read was not read again")
		}
		met = met || n >= 2
	}
	if !met {
		t.Fatal("twenty probes did not meet a defect that is a quarter of the disk")
	}
}

func TestRead_StopsAfterSeveralErrors(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 8*mib)
	d.fail(t)
	if got := (&probe.Read{}).Probe(t.Context(), d.Disk)[0]; got.Value != 3 || !strings.HasSuffix(got.Detail, "at byte 0 and 2 other places") {
		t.Errorf("%+v", got)
	}
}

func TestRead_WhatItCannotReadIsUnknown(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 8*mib)
	number, err := os.ReadFile("/sys/block/" + d.Location.Device + "/dev")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sysOf := func(number string) string {
		root := filepath.Join(dir, strings.TrimSpace(number))
		write(t, filepath.Join(root, "block", d.Location.Device, "dev"), number)
		return root
	}
	write(t, filepath.Join(dir, "dev", d.Location.Device), "a plain file")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("nerve stops"))
	late, stop := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer stop()
	for _, c := range []struct {
		ctx   context.Context
		name  string
		roots probe.Roots
		want  string
	}{
		{t.Context(), "no node", probe.Roots{Dev: dir}, "the device is not there (ENOENT)"},
		{t.Context(), "no such device", probe.Roots{Sys: dir}, "the device is not there (ENOENT)"},
		{t.Context(), "not a device", probe.Roots{Dev: filepath.Join(dir, "dev")}, "it is no block device"},
		{t.Context(), "another device", probe.Roots{Sys: sysOf("7:9999\n")}, "the kernel's " + d.Location.Device + " is 7:9999"},
		{late, "late", probe.Roots{Sys: sysOf(string(number))}, "timed out after 0 of 16 reads"},
		{ended, "stopped", probe.Roots{}, "stopped (nerve stops) after 0 of 16 reads"},
	} {
		got := (&probe.Read{Roots: c.roots}).Probe(c.ctx, d.Disk)
		if say(got) != "read.errors?" || !strings.Contains(got[0].Unknown, c.want) {
			t.Errorf("%s: %+v, want unknown because %q", c.name, got, c.want)
		}
	}
}

func TestRead_PermissionDeniedIsUnknown(t *testing.T) {
	t.Parallel()
	d := newLoop(t, mib)
	var st unix.Stat_t
	if err := unix.Stat(d.DevicePath(), &st); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	node := filepath.Join(dir, d.Location.Device)
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(st.Rdev)); err != nil {
		t.Fatal(err)
	}
	for p := dir; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	// One thread of this process looks at files as nobody, as a nerve without rights would.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETFSUID, 65534, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	defer unix.RawSyscall(unix.SYS_SETFSUID, 0, 0, 0)
	got := (&probe.Read{Roots: probe.Roots{Dev: dir}}).Probe(t.Context(), d.Disk)
	if say(got) != "read.errors?" || !strings.Contains(got[0].Unknown, "permission denied") {
		t.Errorf("%+v", got)
	}
}

func TestRead_DetachedDeviceIsUnknown(t *testing.T) {
	t.Parallel()
	d := newLoop(t, mib)
	d.detach(t)
	if got := (&probe.Read{}).Probe(t.Context(), d.Disk); say(got) != "read.errors?" {
		t.Errorf("%+v", got)
	}
}

func TestRead_TheNamesNextDiskIsNotRead(t *testing.T) {
	t.Parallel()
	d := newLoop(t, mib)
	if d.Location.DiskSeq == 0 {
		t.Skip("this kernel does not number its devices")
	}
	d.Location.DiskSeq-- // of the one that had the name before
	if got := (&probe.Read{}).Probe(t.Context(), d.Disk); say(got) != "read.errors?" || !strings.Contains(got[0].Unknown, "another device now") {
		t.Errorf("%+v", got)
	}
}

// The kernel fails the reads of a disk that is being pulled before it forgets the disk.
func TestRead_VanishingDuringTheProbeIsUnknown(t *testing.T) {
	t.Parallel()
	d := newLoop(t, mib)
	number, err := os.ReadFile("/sys/block/" + d.Location.Device + "/dev")
	if err != nil {
		t.Fatal(err)
	}
	d.fail(t)
	sys := t.TempDir()
	dev := filepath.Join(sys, "block", d.Location.Device, "dev")
	if err := os.MkdirAll(filepath.Dir(dev), 0o755); err != nil {
		t.Fatal(err)
	}
	// A pipe in the place of the attribute answers once and is gone when it is asked again.
	if err := unix.Mkfifo(dev, 0o600); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(dev, os.O_WRONLY, 0)
		if err == nil {
			err = errors.Join(os.Remove(dev), second(f.Write(number)), f.Close())
		}
		answered <- err
	}()
	got := (&probe.Read{Roots: probe.Roots{Sys: sys}}).Probe(t.Context(), d.Disk)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if say(got) != "read.errors?" || got[0].Unknown != "vanished during the probe" {
		t.Errorf("%+v", got)
	}
}

func second(_ int, err error) error { return err }

func TestPlaces_AreInsideAlignedAndSpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		block := rapid.SampledFrom([]int{512, 4096}).Draw(t, "block")
		size := rapid.Int64Range(0, 1<<50).Draw(t, "blocks") / int64(block) * int64(block)
		n := rapid.IntRange(0, 40).Draw(t, "n")
		places := probe.Places(size, block, 4096, n, rapid.Uint64().Draw(t, "k"))
		if n == 0 || size < 4096 {
			if len(places) != 0 {
				t.Fatalf("%d places of nothing", len(places))
			}
			return
		}
		for i, at := range places {
			if at%int64(block) != 0 || at < 0 || at+4096 > size || i > 0 && at <= places[i-1] {
				t.Fatalf("place %d of %v", i, places)
			}
		}
		if places[0] != 0 || len(places) > n || n > 1 && places[len(places)-1] != size-4096 {
			t.Fatalf("%v: want the first and the last of %d bytes among at most %d", places, size, n)
		}
		if size > 1<<30 && len(places) != n {
			t.Fatalf("%d places instead of %d", len(places), n)
		}
	})
}

func TestPlaces_ReadEveryBlockInTime(t *testing.T) {
	t.Parallel()
	const blocks = 1024
	seen := map[int64]bool{}
	for k := range uint64(3 * blocks / 14) { // thrice as many reads as there are blocks
		for _, at := range probe.Places(blocks*4096, 512, 4096, 16, k) {
			seen[at/4096] = true
		}
	}
	if len(seen) != blocks {
		t.Errorf("%d of %d blocks were read", len(seen), blocks)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
