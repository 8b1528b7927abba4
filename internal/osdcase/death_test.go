//go:build ceph

package osdcase_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	testbed "glia/internal/testbed/ceph"
	"glia/repairer"
)

// A disk dies while it is emptied: its OSD aborts, and nobody can read its label any more. Then BlueStore can
// not be made on the new disk at first, and ceph-volume gives the id away.
func TestCase_GoesOnWhenTheDiskDiesAndWhenThePreparationFails(t *testing.T) {
	w := newWorld(t, testbed.Options{Hosts: 5, PGs: 32, Size: 2 << 30})
	objects, err := w.cluster.Write(t.Context(), "o", 48, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	const id = 2
	before := w.tree()
	serial, _ := w.serial(id)
	w.fail(serial)
	w.until(serial, "draining", func(c repairer.Case) bool { return c.Step("drain").Begun }, nil)
	w.die(serial)
	if err := errors.Join(w.cluster.KillOSD(t.Context(), id), w.cluster.WaitDown(t.Context(), id)); err != nil {
		t.Fatal(err)
	}
	c := w.until(serial, "waiting for a person", phase(repairer.PhaseAwaitingReplacement), nil)
	if err := w.cluster.Verify(t.Context(), objects); err != nil {
		t.Errorf("destroyed: %v", err)
	}
	killed := killMkfs(t.Context(), w.cluster.Name)
	w.swap(c, "FRESH")
	gone := false
	w.until(serial, "closed", phase(repairer.PhaseClosed), func(c repairer.Case) {
		gone = gone || strings.Contains(c.Step("prepare").Error, "lost its id")
	})
	select {
	case <-killed:
	default:
		t.Error("no mkfs was killed")
	}
	if after := w.tree(); after != before {
		t.Errorf("the tree is\n%s\nit was\n%s", after, before)
	}
	if !gone {
		t.Error("the id was never given back")
	}
	if err := w.cluster.Verify(t.Context(), objects); err != nil {
		t.Errorf("closed: %v", err)
	}
}

// killMkfs kills the first ceph-osd --mkfs of the cluster.
func killMkfs(ctx context.Context, cluster string) <-chan struct{} {
	done := make(chan struct{})
	before := map[string]bool{} // what runs already is not read again and again: mkfs is gone within a second
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		before[d] = true
	}
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			dirs, _ := filepath.Glob("/proc/[0-9]*")
			for _, dir := range dirs {
				if before[dir] {
					continue
				}
				b, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
				words := strings.Split(string(b), "\x00")
				line := strings.Join(words, " ")
				pid, err := strconv.Atoi(filepath.Base(dir))
				if err == nil && strings.HasSuffix(words[0], "ceph-osd") && strings.Contains(line, "--mkfs") && strings.Contains(line, "--cluster "+cluster+" ") {
					_ = unix.Kill(pid, unix.SIGKILL)
					close(done)
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return done
}
