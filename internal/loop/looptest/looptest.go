// Package looptest gives tests real block devices that never stay behind: not after a test that fails, nor
// after a test binary that is killed.
package looptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"glia/internal/loop"
)

// Attach makes a loop device of a file until the test ends, or skips the test where that is not possible.
// It fails the test if the device is still used at the end. The flags are those of loop.Hold.
func Attach(t testing.TB, file string, flags uint32) *loop.Held {
	t.Helper()
	if err := loop.Usable(); err != nil {
		t.Skip(err)
	}
	d, err := loop.Hold(file, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Detach(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// inside tells the binary that it is the one whose mounts are its own.
const inside = "GLIA_TEST_MOUNTS_ARE_PRIVATE"

// Main is the TestMain of packages that mount: it runs the test binary a second time, in a mount namespace of
// its own. What is mounted there goes with its last process, and the loop devices below it as well. Without the
// right to do so the tests run where they are; those that need it need root anyway.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		if err := dropOthers(); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the other one gets its signal when this thread ends
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT) // go test ends what takes too long with SIGQUIT
	if err := cmd.Start(); errors.Is(err, unix.EPERM) {
		os.Exit(m.Run())
	} else if err != nil {
		panic(err)
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	_ = cmd.Wait() // how it ended is told by its state
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		os.Exit(code)
	}
	os.Exit(2) // by a signal
}

// dropOthers takes what other tests have mounted out of the namespace, which began with copies of it: they would hold the disks of
// those tests for as long as this process lives.
func dropOthers() error {
	all, err := mountinfo.GetMounts(nil)
	if err != nil {
		return fmt.Errorf("look for mounts of other tests: %w", err)
	}
	for _, m := range slices.Backward(all) {
		if !strings.HasPrefix(m.Source, "/dev/loop") || !strings.HasPrefix(m.Mountpoint, os.TempDir()+"/") {
			continue
		}
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("let go of %s: %w", m.Mountpoint, err)
		}
	}
	return nil
}
