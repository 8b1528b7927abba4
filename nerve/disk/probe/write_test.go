package probe_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glia/nerve/disk/probe"
)

const allGood = "fs.readback_errors=0 fs.write_errors=0 fs.write_erofs=0"

func TestWrite_HealthyFilesystems(t *testing.T) {
	t.Parallel()
	for fsType, size := range map[string]int64{"ext4": 64 * mib, "xfs": xfsSize} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			d := newLoop(t, size).mounted(t, fsType, "rw")
			w := &probe.Write{}
			if got := w.Probe(t.Context(), d.Disk); say(got) != "fs.write_errors=0 fs.write_erofs=0" {
				t.Errorf("first probe: %s\n%s", say(got), details(got))
			}
			for _, w := range []*probe.Write{w, w, {}} { // the last is that of a new process
				if got := w.Probe(t.Context(), d.Disk); say(got) != allGood {
					t.Errorf("later probe: %s\n%s", say(got), details(got))
				}
			}
			var left []string
			entries, err := os.ReadDir(d.target())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Name() != "lost+found" {
					info, err := e.Info()
					left = append(left, e.Name()+" "+info.Mode().String())
					if err != nil || info.Size() != probe.TestFileSize {
						t.Errorf("%+v %v", info, err)
					}
				}
			}
			if strings.Join(left, ", ") != ".glia-probe -rw-------" {
				t.Errorf("left behind: %v", left)
			}
			f := decodeFile(t, d)
			if f.Seq != 4 || f.Serial != d.Serial() {
				t.Errorf("the file is %+v after four probes", f)
			}
		})
	}
}

func decodeFile(t *testing.T, d *loopDisk) probe.TestFile {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.target(), probe.TestFileName))
	if err != nil {
		t.Fatal(err)
	}
	f, err := probe.DecodeTestFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWrite_FailedDiskCannotGiveTheFileBack(t *testing.T) {
	t.Parallel()
	for fsType, size := range map[string]int64{"ext4": 64 * mib, "xfs": xfsSize} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			d := newLoop(t, size).mounted(t, fsType, "rw")
			w := &probe.Write{}
			w.Probe(t.Context(), d.Disk)
			d.fail(t)
			got := w.Probe(t.Context(), d.Disk)
			if say(got) != "fs.readback_errors=1" || !strings.HasPrefix(details(got), "EIO reading back ") {
				t.Errorf("%s\n%s", say(got), details(got))
			}
		})
	}
}

func TestWrite_DamagedFileIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	w := &probe.Write{}
	w.Probe(t.Context(), d.Disk)
	file := filepath.Join(d.target(), probe.TestFileName)
	damaged, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged[2000] ^= 0x10
	overwrite(t, file, damaged)
	for range 2 {
		if got := w.Probe(t.Context(), d.Disk); say(got) != "fs.readback_errors=1" || !strings.Contains(details(got), "checksum") {
			t.Errorf("%s\n%s", say(got), details(got))
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != string(damaged) {
			t.Fatalf("the evidence was changed (%v)", err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if w.Probe(t.Context(), d.Disk); say(w.Probe(t.Context(), d.Disk)) != allGood {
		t.Error("not good again after the damaged file was removed")
	}
}

// A disk that says "written" and keeps what was there before gives back a whole file, only not the last one.
func TestWrite_LostWriteIsFound(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	w := &probe.Write{}
	for range 3 {
		w.Probe(t.Context(), d.Disk)
	}
	file := filepath.Join(d.target(), probe.TestFileName)
	older := probe.TestFile{Seq: 2, Serial: d.Serial()}.Encode()
	overwrite(t, file, older)
	if got := w.Probe(t.Context(), d.Disk); say(got) != "fs.readback_errors=1" || !strings.Contains(details(got), "it is number 2, and number 3 was written") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	// The same bytes in a new file are what restoring a backup gives, and no fault.
	if err := errors.Join(os.WriteFile(file+".new", older, 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	if got := w.Probe(t.Context(), d.Disk); say(got) != allGood {
		t.Errorf("after a restore: %s\n%s", say(got), details(got))
	}
}

func overwrite(t *testing.T, file string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWrite_FullFilesystemIsUnknown(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	w := &probe.Write{}
	w.Probe(t.Context(), d.Disk)
	f, err := os.Create(filepath.Join(d.target(), "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{mib, 1024} { // down to the last block
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	got := w.Probe(t.Context(), d.Disk)
	if say(got) != "fs.readback_errors=0 fs.write_errors?" || !strings.Contains(details(got), "no space left") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if fs := (&probe.FS{}).Probe(t.Context(), d.Disk); say(fs) != "fs.readonly=0 fs.errors=0 fs.statfs_errors=0" {
		t.Errorf("a full filesystem is judged: %s", say(fs))
	}
	if _, err := os.Stat(filepath.Join(d.target(), probe.TestFileName+".tmp")); err == nil {
		t.Error("half a file is left")
	}
	if f := decodeFile(t, d); f.Seq != 1 {
		t.Errorf("the former file is gone: %+v", f)
	}
}

func TestWrite_LeavesFilesOfOthersAlone(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	file := filepath.Join(d.target(), probe.TestFileName)
	victim := filepath.Join(t.TempDir(), "victim")
	write(t, victim, "precious")
	for name, put := range map[string]func() error{
		"a text file": func() error { return os.WriteFile(file, []byte("notes"), 0o600) },
		"a link":      func() error { return os.Symlink(victim, file) },
		"a pipe":      func() error { return unix.Mkfifo(file, 0o600) },
		"a directory": func() error { return os.Mkdir(file, 0o700) },
		"somebody else's": func() error {
			return errors.Join(os.WriteFile(file, make([]byte, probe.TestFileSize), 0o600), os.Chown(file, 65534, 65534))
		},
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		got := (&probe.Write{}).Probe(t.Context(), d.Disk)
		if say(got) != "fs.write_errors?" {
			t.Errorf("%s: %s\n%s", name, say(got), details(got))
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("a link was followed: %q %v", b, err)
	}
	// What a killed probe left is cleared away, even when it is a trap.
	if err := os.Symlink(victim, file+".tmp"); err != nil {
		t.Fatal(err)
	}
	if got := (&probe.Write{}).Probe(t.Context(), d.Disk); say(got) != "fs.write_errors=0 fs.write_erofs=0" {
		t.Errorf("%s\n%s", say(got), details(got))
	}
}

func TestWrite_LeavesProtectedDisksAlone(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw")
	d.Protected = "carries /"
	if got := (&probe.Write{}).Probe(t.Context(), d.Disk); got != nil {
		t.Errorf("%+v", got)
	}
	dir, err := os.Open(d.target())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if names, err := dir.Readdirnames(-1); err != nil && err != io.EOF || len(names) != 1 { // lost+found
		t.Errorf("%v %v", names, err)
	}
}
