//go:build ceph

package dev_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"glia/internal/dev"
)

// cephOptions is a demo with Ceph in a directory whose name is short enough for Ceph's sockets.
func cephOptions(t *testing.T) dev.Options {
	t.Helper()
	needLoop(t)
	dir, err := os.MkdirTemp("", "dev")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for the user ceph
		t.Fatal(err)
	}
	o := newOptions(t)
	o.Dir, o.Ceph = filepath.Join(dir, "demo"), true
	return o
}

// daemonsOf are the processes that have a directory in their environment, as the cluster's daemons do.
func daemonsOf(t *testing.T, dir string) (out []string) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		b, _ := os.ReadFile(p) // it may be gone
		if strings.Contains(string(b), "CEPH_CONF="+dir) {
			out = append(out, p)
		}
	}
	return out
}

// A person who tries things after the repair: pulls the wrong disk, whose OSD dies, and puts it back.
func TestRun_RepairsAnOSDOfARealCluster(t *testing.T) {
	o := cephOptions(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var once sync.Once
	out := &watcher{}
	out.seen = func(all string) {
		if !strings.Contains(all, "Ctrl-C ends the demo") {
			return
		}
		once.Do(func() {
			defer cancel()
			wrong := dev.Act{Dir: o.Dir, Host: "node-1", Slot: 3}
			serial, err := wrong.Pull()
			if err != nil || serial != "N1S3A" {
				t.Errorf("pulled %q: %v", serial, err)
			}
			if _, err := wrong.Pull(); err == nil || !strings.Contains(err.Error(), "slot 3 of node-1 is empty") {
				t.Errorf("pulled what is not there: %v", err)
			}
			if _, err := wrong.Insert(ctx, serial, false, false); err != nil {
				t.Error(err)
			}
			if _, how, err := (dev.Act{Dir: o.Dir, Host: "node-1", Slot: 2}).Fail(); err != nil || !strings.Contains(how, "EIO") {
				t.Errorf("broken by %q: %v", how, err)
			}
		})
	}
	o.Out = out
	if err := dev.Run(ctx, o); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
	rest := out.String()
	for _, s := range []string{
		"All 12 disks are healthy", "broken ", "noticed ", "approves it", "drained ", "destroyed ", "ticket ", "technician  puts in N2S3B", "burned in ", "prepared ", "filled ", "closed ",
		"osd.6 is back under its id: in node-2,", ", as before.\n", "of other data: 0 PGs", "Every PG has its copies where they were", "0 failed, 0 were wrong", "The whole cycle:",
	} {
		i := strings.Index(rest, s)
		if i < 0 {
			t.Fatalf("%q is missing or out of order", s)
		}
		rest = rest[i+len(s):]
	}
	if moved := regexp.MustCompile(`off the failing disk: (.*); onto the new one: (.*); of other`).FindStringSubmatch(out.String()); moved == nil || moved[1] != moved[2] || strings.HasPrefix(moved[1], "0 PGs") {
		t.Errorf("moved: %q", moved)
	}
	nothingIsLeft(t, o)
}

func TestRun_InterruptedWithCephLeavesNothing(t *testing.T) {
	o := cephOptions(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watcher{}
	out.seen = func(all string) {
		if strings.Contains(all, "burned in ") { // and ceph-volume begins
			cancel()
		}
	}
	o.Out = out
	if err := dev.Run(ctx, o); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	nothingIsLeft(t, o)
}

func nothingIsLeft(t *testing.T, o dev.Options) {
	t.Helper()
	left := append(leftovers(t, o.Dir), daemonsOf(t, o.Dir)...)
	for _, pattern := range []string{"/etc/ceph/glia-*.conf", "/var/lib/ceph/osd/glia-*", "/var/lib/ceph/bootstrap-osd/glia-*"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if strings.HasPrefix(filepath.Base(f), fmt.Sprintf("glia-%d-", os.Getpid())) {
				left = append(left, f)
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
