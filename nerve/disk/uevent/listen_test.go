package uevent_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia/internal/loop"
	"glia/internal/loop/looptest"
	"glia/nerve/disk/uevent"
)

func attach(t *testing.T) *loop.Held {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return looptest.Attach(t, file, 0)
}

// listen runs a listener and returns what it tells.
func listen(t *testing.T, l *uevent.Listener) <-chan uevent.Batch {
	t.Helper()
	batches := make(chan uevent.Batch, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, func(b uevent.Batch) { batches <- b }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Error("the listener does not stop")
		}
	})
	return batches
}

func open(t *testing.T) *uevent.Listener {
	t.Helper()
	l, err := uevent.Listen()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// until waits for a batch and returns how long that took.
func until(t *testing.T, batches <-chan uevent.Batch, what string, ok func(uevent.Batch) bool) time.Duration {
	t.Helper()
	began, late := time.Now(), time.After(time.Minute)
	for {
		select {
		case b := <-batches:
			if ok(b) {
				return time.Since(began)
			}
		case <-late:
			t.Fatalf("%s was not told", what)
		}
	}
}

func about(name string) func(uevent.Batch) bool {
	return func(b uevent.Batch) bool { return slices.Contains(b.Names, name) }
}

func TestListener_HearsRealDisksComeAndGo(t *testing.T) {
	t.Parallel()
	batches := listen(t, open(t))
	d := attach(t)
	came := until(t, batches, "that the disk came", about(d.Name))
	if err := d.Detach(); err != nil {
		t.Fatal(err)
	}
	t.Logf("told after %s and %s", came, until(t, batches, "that the disk went", about(d.Name)))
}

// change makes the kernel tell of a device, as a write to its uevent attribute does
// (Documentation/ABI/testing/sysfs-uevent).
func change(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join("/sys/class/block", name, "uevent"), []byte("change"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestListener_HearsAChange(t *testing.T) {
	t.Parallel()
	d := attach(t)
	batches := listen(t, open(t))
	change(t, d.Name)
	until(t, batches, "the change", about(d.Name))
}

func TestListener_TellsOfALoss(t *testing.T) {
	t.Parallel()
	d := attach(t)
	l := open(t)
	if err := l.SetQueue(1); err != nil { // the kernel makes it some kilobytes
		t.Fatal(err)
	}
	for range 100 {
		change(t, d.Name) // nobody reads yet
	}
	batches := listen(t, l)
	until(t, batches, "the loss", func(b uevent.Batch) bool { return b.Lost })
	change(t, d.Name)
	until(t, batches, "what came after the loss", about(d.Name))
}

func TestTrusted_OnlyTheKernelAndRoot(t *testing.T) {
	t.Parallel()
	by := func(uid uint32) []byte { return unix.UnixCredentials(&unix.Ucred{Pid: 1, Uid: uid}) }
	for _, tc := range []struct {
		name    string
		from    unix.Sockaddr
		control []byte
		want    bool
	}{
		{"the kernel", &unix.SockaddrNetlink{Groups: 1}, nil, true},
		{"a process in the kernel's group", &unix.SockaddrNetlink{Groups: 1, Pid: 7}, by(0), false},
		{"udevd", &unix.SockaddrNetlink{Groups: 2, Pid: 7}, by(0), true},
		{"a user", &unix.SockaddrNetlink{Groups: 2, Pid: 7}, by(1000), false},
		{"nobody says who", &unix.SockaddrNetlink{Groups: 2, Pid: 7}, nil, false},
		{"another kind of socket", &unix.SockaddrUnix{}, by(0), false},
	} {
		if got := uevent.Trusted(tc.from, tc.control); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
