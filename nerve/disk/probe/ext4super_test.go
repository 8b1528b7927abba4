package probe_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glia/nerve/disk/probe"
)

// superblock reads the superblock of a file or device.
func superblock(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1024)
	if _, err := f.ReadAt(b, 1024); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuperblock_RealErrorsStayAfterUnmounting(t *testing.T) {
	t.Parallel()
	began := time.Now().Add(-time.Minute)
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw,errors=continue")
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", d.Location.Device, "trigger_fs_error"), []byte("test"), 0o200); err != nil {
		t.Skip("this kernel cannot pretend an ext4 error: ", err)
	}
	s := &probe.Superblock{}
	if got := s.Probe(t.Context(), d.Disk); len(got) != 0 {
		t.Errorf("while it is mounted: %+v", got)
	}
	command(t, "umount", d.target())
	mounts := d.Mounts
	d.Mounts = nil
	got := s.Probe(t.Context(), d.Disk)
	if say(got) != "fs.errors=1" || !strings.Contains(details(got), "has counted 1 errors, first at 20") || !strings.Contains(details(got), "in trigger_test_error, last at 20") {
		t.Fatalf("%s\n%s", say(got), details(got))
	}
	sb, err := probe.DecodeExt4Errors(superblock(t, d.DevicePath()))
	if err != nil || sb.Count != 1 || sb.First.Before(began) || sb.First.After(time.Now()) || sb.Last.Before(sb.First) || sb.LastFunc != "trigger_test_error" {
		t.Errorf("%+v, %v", sb, err)
	}
	command(t, "e2fsck", "-f", "-y", d.DevicePath())
	if got := s.Probe(t.Context(), d.Disk); say(got) != "fs.errors=0" {
		t.Errorf("after a check: %s\n%s", say(got), details(got))
	}
	d.Mounts = mounts
}

func TestSuperblock_OtherDisks(t *testing.T) {
	t.Parallel()
	s := &probe.Superblock{}
	if got := s.Probe(t.Context(), newLoop(t, 64*mib).Disk); len(got) != 0 {
		t.Errorf("blank: %+v", got)
	}
	if got := s.Probe(t.Context(), newLoop(t, 512).Disk); len(got) != 0 {
		t.Errorf("tiny: %+v", got)
	}
	x := newLoop(t, 64*mib)
	command(t, "mkfs.ext4", "-q", "-F", x.DevicePath())
	f, err := os.OpenFile(x.DevicePath(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1}, 1024+0x195); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := s.Probe(t.Context(), x.Disk); say(got) != "fs.errors?" || !strings.Contains(details(got), "wrong checksum") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
}

// golden is a superblock as ext2 and ext3 have it, without checksum, with two errors. Made by hand after
// Documentation/filesystems/ext4/super.rst.
func goldenSuper() []byte {
	b := make([]byte, 1024)
	binary.LittleEndian.PutUint16(b[0x38:], 0xef53)
	binary.LittleEndian.PutUint32(b[0x194:], 2)
	binary.LittleEndian.PutUint32(b[0x198:], 1700000000)
	copy(b[0x1a8:], "ext4_find_entry")
	binary.LittleEndian.PutUint32(b[0x1cc:], 100)
	b[0x279] = 1
	copy(b[0x1e0:], "a_function_whose_name_has_32_byte")
	return b
}

func TestDecodeExt4Errors(t *testing.T) {
	t.Parallel()
	sb, err := probe.DecodeExt4Errors(goldenSuper())
	if err != nil || sb.Count != 2 || sb.First != time.Unix(1700000000, 0).UTC() || sb.FirstFunc != "ext4_find_entry" ||
		sb.Last != time.Unix(1<<32+100, 0).UTC() || sb.LastFunc != "a_function_whose_name_has_32_byt" {
		t.Errorf("%+v, %v", sb, err)
	}
	for _, b := range [][]byte{nil, goldenSuper()[:1023], make([]byte, 1024)} {
		if _, err := probe.DecodeExt4Errors(b); err == nil {
			t.Errorf("%d bytes are accepted", len(b))
		}
	}
}

func FuzzDecodeExt4Errors(f *testing.F) {
	f.Add(goldenSuper())
	f.Fuzz(func(t *testing.T, b []byte) {
		if sb, err := probe.DecodeExt4Errors(b); err != nil && sb != (probe.Ext4Errors{}) {
			t.Errorf("%+v comes with the error %v", sb, err)
		}
	})
}
