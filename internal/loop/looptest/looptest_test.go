package looptest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"glia/internal/loop/looptest"
)

func TestMain(m *testing.M) { looptest.Main(m) }

// A test binary that begins while another test has a disk mounted does not hold that disk.
func TestMain_HoldsNoDiskOfOthers(t *testing.T) {
	t.Parallel()
	if target := os.Getenv("GLIA_TEST_MOUNTED"); target != "" { // in the binary that begins later
		if on, err := mountinfo.Mounted(target); on || err != nil {
			t.Errorf("%s is mounted here, too: %v", target, err)
		}
		return
	}
	dir := t.TempDir()
	file, target := filepath.Join(dir, "disk.img"), filepath.Join(dir, "mounted here")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 16<<20); err != nil {
		t.Fatal(err)
	}
	device := looptest.Attach(t, file, 0).Path()
	if out, err := exec.Command("mkfs.ext4", "-q", device).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if err := unix.Mount(device, target, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	})
	later := exec.Command(os.Args[0], "-test.run=^TestMain_HoldsNoDiskOfOthers$")
	later.Env = append(os.Environ(), "GLIA_TEST_MOUNTED="+target, "GLIA_TEST_MOUNTS_ARE_PRIVATE=")
	if out, err := later.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if on, err := mountinfo.Mounted(target); !on || err != nil {
		t.Errorf("%s is not mounted any more: %v", target, err)
	}
}
