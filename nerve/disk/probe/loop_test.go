package probe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"glia"
	"glia/internal/loop"
	"glia/internal/loop/looptest"
)

// loopDisk is a real block device with a file behind it.
type loopDisk struct {
	glia.Disk
	file string
	held *loop.Held
}

func TestMain(m *testing.M) { looptest.Main(m) }

// detach takes the file from the device. Its name may be another's at once.
func (l *loopDisk) detach(t *testing.T) {
	t.Helper()
	if err := l.held.Detach(); err != nil {
		t.Fatal(err)
	}
}

// newLoop attaches a file of so many bytes, or skips the test where that is not possible.
func newLoop(t *testing.T, size int64) *loopDisk {
	t.Helper()
	return newLoopWith(t, size, 0)
}

func newLoopWith(t *testing.T, size int64, flags uint32) *loopDisk {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	dev := looptest.Attach(t, file, flags)
	return &loopDisk{file: file, held: dev, Disk: glia.Disk{
		Identity: glia.Identity{Serial: "SER-" + t.Name(), Size: uint64(size)},
		Location: glia.Location{Device: dev.Name, DiskSeq: dev.Seq}}}
}

// mounted makes a filesystem on the disk and mounts it.
func (l *loopDisk) mounted(t *testing.T, fsType, options string) *loopDisk {
	t.Helper()
	// ext4 must not go on initialising in the background: what it writes makes a truncated file long again.
	options4 := []string{"-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"}
	more := map[string][]string{"ext4": options4, "xfs": {"-f"}, "btrfs": {"-f", "-d", "single", "-m", "single", "--mixed"}}[fsType]
	command(t, "mkfs."+fsType, append([]string{"-q", l.DevicePath()}, more...)...)
	target := t.TempDir()
	command(t, "mount", "-o", options, l.DevicePath(), target)
	t.Cleanup(func() { _ = exec.Command("umount", "-l", target).Run() })
	l.Mounts = []glia.Mount{{Source: l.Location.Device, Target: target, FSType: fsType, Options: options}}
	return l
}

func (l *loopDisk) target() string { return l.Mounts[0].Target }

// fail takes everything behind the device away: the kernel answers reads with EIO from now on, until something
// is written to the device.
func (l *loopDisk) fail(t *testing.T) {
	t.Helper()
	if len(l.Mounts) > 0 {
		command(t, "sync", "-f", l.target())
	}
	if err := os.Truncate(l.file, 0); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// say writes evidence down as What=Value, or What? when it is unknown.
func say(evidence []glia.Evidence) string {
	var out []string
	for _, e := range evidence {
		what, _, _ := strings.Cut(e.What, "[")
		switch {
		case e.Unknown != "":
			what += "?"
		case e.Value == 0:
			what += "=0"
		case e.Value == 1:
			what += "=1"
		default:
			what += ">1"
		}
		out = append(out, what)
	}
	return strings.Join(out, " ")
}

// details joins what evidence says to people.
func details(evidence []glia.Evidence) string {
	var out []string
	for _, e := range evidence {
		out = append(out, e.Detail+e.Unknown)
	}
	return strings.Join(out, "\n")
}
