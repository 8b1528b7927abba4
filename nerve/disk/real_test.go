package disk_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glia"
	"glia/internal/loop/looptest"
	"glia/nerve/disk"
)

func TestMain(m *testing.M) { looptest.Main(m) }

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// The disk that this machine runs from is never offered, whatever it calls itself.
func TestSource_ProtectsThisMachine(t *testing.T) {
	t.Parallel()
	inv, err := (&disk.Source{Host: "here"}).Inventory(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range inv.Disks {
		t.Logf("%s: class %s, %d bytes, %d mounts, protected %q", d, d.Identity.Class, d.Identity.Size, len(d.Mounts), d.Protected)
		for _, m := range d.Mounts {
			if m.Target == "/" && d.Protected == "" {
				t.Errorf("%s carries / and is not protected", d)
			}
		}
		if d.Serial() == "" {
			t.Errorf("%s has no serial and is listed", d.Location.Device)
		}
	}
	for _, u := range inv.Unidentified {
		t.Logf("unidentified: %+v", u)
	}
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		t.Fatal(err)
	}
	if unix.Major(root.Dev) == 0 {
		return // several disks or none; nothing to compare with
	}
	sys, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(root.Dev), unix.Minor(root.Dev)))
	if err != nil {
		t.Skipf("this machine does not show the device of /: %v", err)
	}
	for _, d := range inv.Disks {
		if slices.Contains(strings.Split(sys, "/"), d.Location.Device) && !strings.HasPrefix(d.Protected, "carries /") {
			t.Errorf("/ is on %s, which is %q", d, d.Protected)
		}
	}
}

func TestSource_FollowsARealLoopDevice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bay, target := filepath.Join(dir, "bay7"), filepath.Join(dir, "mnt")
	file := filepath.Join(bay, "GLIA-R007.img")
	for _, d := range []string{bay, target} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "truncate", "-s", "16M", file)
	run(t, "mkfs.ext4", "-q", file)
	held := looptest.Attach(t, file, 0)
	device := held.Path()
	t.Cleanup(func() { _ = unix.Unmount(target, 0) }) // the test has done it, if all went well

	s := disk.Source{Host: "here", Loop: []string{dir + "/*/*.img"}}
	find := func() (glia.Disk, bool) {
		t.Helper()
		disks, err := s.Scan(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		d, ok := bySerial(disks)["GLIA-R007"]
		return d, ok
	}
	d, ok := find()
	if !ok {
		t.Fatalf("%s is not listed", device)
	}
	equal(t, "place", d.Location.Place(), "slot bay7")
	equal(t, "device", d.DevicePath(), device)
	equal(t, "size", d.Identity.Size, 16<<20)
	equal(t, "model", d.Identity.Model, "loop")
	equal(t, "protected", d.Protected, "")
	equal(t, "mounts", len(d.Mounts), 0)
	equal(t, "number", d.Location.DiskSeq, held.Seq)

	run(t, "mount", device, target)
	d, _ = find()
	if len(d.Mounts) != 1 {
		t.Fatalf("mounts: got %v", d.Mounts)
	}
	equal(t, "target", d.Mounts[0].Target, target)
	equal(t, "type", d.Mounts[0].FSType, "ext4")
	equal(t, "source", "/dev/"+d.Mounts[0].Source, device)

	run(t, "umount", target)
	d, _ = find()
	equal(t, "mounts after umount", len(d.Mounts), 0)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, ok := find(); !ok {
		t.Error("a loop device whose file was removed is still there, and not listed")
	}
	if err := held.Detach(); err != nil {
		t.Fatal(err)
	}
	if _, ok := find(); ok {
		t.Error("the loop device is detached, and still listed")
	}
}

func TestSource_SeesRealPartitions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "GLIA-R008.img")
	run(t, "truncate", "-s", "16M", file)
	device := looptest.Attach(t, file, 0).Path()
	run(t, "addpart", device, "3", "2048", "8192")
	t.Cleanup(func() { run(t, "delpart", device, "3") })

	disks, err := (&disk.Source{Loop: []string{file}}).Scan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := glia.Partition{Name: filepath.Base(device) + "p3", Number: 3, Start: 1 << 20, Size: 4 << 20}
	if got := bySerial(disks)["GLIA-R008"].Partitions; !slices.Equal(got, []glia.Partition{want}) {
		t.Errorf("partitions: got %v, want %v", got, want)
	}
}
