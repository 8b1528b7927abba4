package dev_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"glia/internal/dev"
	"glia/internal/loop"
)

// newOptions is a demo of the test's own: directory and loopback addresses that no other one has.
func newOptions(t *testing.T) dev.Options {
	t.Helper()
	return dev.Options{Dir: filepath.Join(t.TempDir(), "demo"), Net: fmt.Sprintf("127.%d.%d", 64+rand.IntN(128), rand.IntN(256))}
}

func needLoop(t *testing.T) {
	t.Helper()
	if err := loop.Usable(); err != nil {
		t.Skip(err)
	}
}

// leftovers are the mounts, loop devices and files below a directory.
func leftovers(t *testing.T, dir string) (out []string) {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		out = append(out, "mount "+m.Mountpoint)
	}
	devices, err := loop.Below(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		out = append(out, d.Name+" of "+d.File)
	}
	if _, err := os.Stat(dir); err == nil {
		out = append(out, dir)
	}
	return out
}

// watcher calls back with all that was written whenever a line is complete.
type watcher struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	seen func(all string)
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if w.seen != nil && bytes.HasSuffix(p, []byte("\n")) {
		w.seen(w.buf.String())
	}
	return len(p), nil
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// stages are the lines of a whole repair, in order.
var stages = []string{
	"All 12 disks are healthy", "broken ", "noticed ", "announced ", "case opened ", "confirmed ", "started ", "drained ", "unmounted ", "released ",
	"ticket ", "technician  reads", "technician  puts in", "inspected ", "accepted ", "burned in ", "formatted ", "mounted ", "rejoined ", "settled ", "closed ", "The whole cycle:",
}

func inOrder(t *testing.T, out string) {
	t.Helper()
	rest := out
	for _, s := range stages {
		i := strings.Index(rest, s)
		if i < 0 {
			t.Fatalf("stage %q is missing or out of order in:\n%s", s, out)
		}
		rest = rest[i+len(s):]
	}
}

func TestRun_RepairsARealDisk(t *testing.T) {
	t.Parallel()
	needLoop(t)
	o := newOptions(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var once sync.Once
	out := &watcher{}
	out.seen = func(all string) {
		// Looked at from inside, because a person would look then: at the ticket, the old filesystem
		// is not mounted any more; at the end, a new one with the old label is, and its neighbours
		// were left alone.
		target := filepath.Join(o.Dir, "node-2", "data", "3")
		if strings.HasSuffix(all, "resolves the ticket\n") {
			if m, _ := mountinfo.Mounted(target); m {
				t.Error("the ticket was filed while the filesystem was mounted")
			}
		}
		if strings.Contains(all, "Ctrl-C ends the demo") {
			once.Do(func() { checkEnd(t, o.Dir); cancel() })
		}
	}
	o.Out = out
	if err := dev.Run(ctx, o); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	inOrder(t, out.String())
	if left := leftovers(t, o.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func checkEnd(t *testing.T, dir string) {
	t.Helper()
	for slot := 1; slot <= 4; slot++ {
		want := fmt.Sprintf("N2S%dA.img", slot)
		if slot == 3 {
			want = "N2S3B.img"
		}
		target := filepath.Join(dir, "node-2", "data", fmt.Sprint(slot))
		mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(target))
		if err != nil || len(mounts) != 1 {
			t.Errorf("%s: %d mounts, %v", target, len(mounts), err)
			continue
		}
		backing, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(mounts[0].Source), "loop/backing_file"))
		if err != nil || filepath.Base(strings.TrimSpace(string(backing))) != want {
			t.Errorf("%s is on %q (%v), want %s", target, backing, err, want)
		}
		if label, err := exec.Command("blkid", "-p", "-s", "LABEL", "-o", "value", mounts[0].Source).Output(); err != nil || strings.TrimSpace(string(label)) != fmt.Sprintf("2-d%d", slot) {
			t.Errorf("label of %s is %q, %v", target, label, err)
		}
		if !strings.Contains(mounts[0].Options, "noatime") {
			t.Errorf("%s has lost its options: %s", target, mounts[0].Options)
		}
		_, err = os.Stat(filepath.Join(target, "data"))
		if old := slot != 3; old != (err == nil) {
			t.Errorf("old data in %s: %v", target, err)
		}
	}
}

func TestRun_OnceEndsByItselfWithFigures(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	out := &watcher{}
	o.Out, o.Once, o.Simulated = out, true, true
	if err := dev.Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	inOrder(t, out.String())
	if !strings.Contains(out.String(), "SIMULATED are the disks") {
		t.Error("nothing says that the disks are simulated")
	}
	if !regexp.MustCompile(`From failure to filed ticket: \d+\.\d s\. The whole cycle: \d+\.\d s\.`).MatchString(out.String()) {
		t.Error("no figures")
	}
	if left := leftovers(t, o.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRun_InterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	needLoop(t)
	o := newOptions(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watcher{}
	out.seen = func(all string) {
		if strings.Contains(all, "unmounted ") {
			cancel()
		}
	}
	o.Out = out
	if err := dev.Run(ctx, o); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if left := leftovers(t, o.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRun_SweepsAwayWhatAKilledDemoLeft(t *testing.T) {
	t.Parallel()
	needLoop(t)
	o := newOptions(t)
	if err := dev.Prepare(t.Context(), o.Dir); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, o.Dir); len(left) != 25 {
		t.Fatalf("a demo has %d mounts, loop devices and directories, want 12 + 12 + 1", len(left))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := &watcher{seen: func(string) { cancel() }}
	o.Out, o.Simulated = out, true
	if err := dev.Run(ctx, o); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if left := leftovers(t, o.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRun_TwoDemosInOneDirectory(t *testing.T) {
	t.Parallel()
	o := newOptions(t)
	o.Simulated = true
	started := make(chan struct{})
	var once sync.Once
	o.Out = &watcher{seen: func(string) { once.Do(func() { close(started) }) }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- dev.Run(ctx, o) }()
	<-started
	if err := dev.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another demo runs in "+o.Dir) {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAct_BadInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := (dev.Act{Dir: dir, Host: "node-1", Slot: 1}).Fail(); err == nil || !strings.Contains(err.Error(), "no demo runs in") {
		t.Errorf("no demo: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "demo.json"), []byte(`{"simulated":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, a := range []dev.Act{{Host: "node-9", Slot: 1}, {Host: "node-1", Slot: 0}, {Host: "node-1", Slot: 5}, {Host: "node-1", Slot: 1}} {
		a.Dir = dir
		if _, err := a.Pull(); err == nil {
			t.Errorf("%+v was accepted", a)
		}
	}
}
