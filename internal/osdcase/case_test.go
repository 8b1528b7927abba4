//go:build ceph

package osdcase_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	testbed "glia/internal/testbed/ceph"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

// inactive are the states of PGs that can not be read or written, but for those that peer at this moment.
func (w *world) inactive() []string {
	w.Helper()
	b, err := w.conn.Mon(w.Context(), ceph.Command{"prefix": "status"}, nil)
	if err != nil {
		w.Fatal(err)
	}
	s, err := ceph.DecodeStatus(b)
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for state := range s.States {
		if !strings.Contains(state, "active") && !strings.Contains(state, "peering") && !strings.Contains(state, "activating") {
			out = append(out, state)
		}
	}
	return out
}

// cycle carries a disk with OSDs through its case, in mode auto. Each is called after each tick.
func (w *world) cycle(serial string, each func(repairer.Case)) {
	w.Helper()
	objects, err := w.cluster.Write(w.Context(), "o", 48, 1<<20)
	if err != nil {
		w.Fatal(err)
	}
	verify := func(when string) {
		w.Helper()
		if err := w.cluster.Verify(w.Context(), objects); err != nil {
			w.Errorf("%s: %v", when, err)
		}
	}
	before := w.tree()
	w.fail(serial)
	w.until(serial, "drained", func(c repairer.Case) bool { return c.Step("drain").Done }, each)
	verify("drained")
	for _, f := range w.engine.Findings() {
		w.Errorf("finding: %s", f)
	}
	c := w.until(serial, "waiting for a person", phase(repairer.PhaseAwaitingReplacement), each)
	verify("destroyed")
	w.swap(c, "FRESH")
	w.until(serial, "closed", phase(repairer.PhaseClosed), each)
	verify("closed")
	if after := w.tree(); after != before {
		w.Errorf("the tree is\n%s\nit was\n%s", after, before)
	}
	if flags := w.ceph("osd", "dump"); strings.Contains(flags, "noin") || strings.Contains(flags, "noout") {
		w.Errorf("flags are left:\n%s", flags)
	}
	want := []string{
		"OSD_STOP " + serial, "OSD_DEACTIVATE " + serial, "BURN_IN FRESH", "OSD_PREPARE FRESH", "OSD_ACTIVATE FRESH",
	}
	acts := slices.DeleteFunc(w.acts, func(a string) bool {
		return strings.HasPrefix(a, "LOCATE") || strings.HasPrefix(a, "INSPECT")
	})
	if !slices.Equal(acts, want) {
		w.Errorf("the hands were ordered %q, want %q", acts, want)
	}
}

func TestCase_ReplacesAFailingDiskOfALiveCluster(t *testing.T) {
	w := newWorld(t, testbed.Options{Hosts: 5, PGs: 32, Size: 2 << 30})
	serial, _ := w.serial(2)
	w.cycle(serial, func(repairer.Case) {
		if bad := w.inactive(); len(bad) > 0 {
			t.Errorf("PGs are %v", bad)
		}
	})
}

func TestCase_ComesToTheSameEndWithARepairerThatForgetsAllAfterEachEvent(t *testing.T) {
	w := newWorld(t, testbed.Options{Hosts: 5, PGs: 32, Size: 2 << 30})
	serial, _ := w.serial(3)
	seq, lives := uint64(0), 0
	w.cycle(serial, func(c repairer.Case) {
		if c.Seq != seq {
			seq = c.Seq
			lives++
			w.begin()
		}
	})
	t.Logf("%d lives", lives)
}

// Two disks fail, and while the second one is emptied a third OSD dies.
func TestCase_EmptiesOneOSDAtATimeAndTakesNoWrongDisk(t *testing.T) {
	w := newWorld(t, testbed.Options{Hosts: 6, PGs: 32, Size: 2 << 30})
	objects, err := w.cluster.Write(t.Context(), "o", 48, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := w.serial(1)
	second, _ := w.serial(4)
	w.fail(first)
	w.until(first, "about to drain", func(c repairer.Case) bool { return c.Step("note").Done }, nil)
	w.ceph("osd", "set", "nobackfill") // so that it can not be done before the second one is looked at
	w.fail(second)
	held := w.until(second, "held back by the first", func(c repairer.Case) bool {
		return slices.ContainsFunc(c.Refusals, func(r repairer.Refusal) bool { return strings.Contains(r.Value, "being emptied") })
	}, nil)
	t.Logf("the second waits for %s", held.WaitingFor())
	if c, _ := w.store.LastCase(t.Context(), first); c.Step("drain").Done || !strings.Contains(w.ceph("osd", "dump"), "nobackfill") {
		t.Error("the first was emptied, or an operator's flag cleared")
	}
	w.ceph("osd", "unset", "nobackfill")
	w.until(second, "started", func(c repairer.Case) bool {
		if c.Started {
			if f, _ := w.store.LastCase(t.Context(), first); !f.Step("drain").Done {
				t.Error("both are emptied at a time")
			}
		}
		return c.Started
	}, nil)
	const third = 5
	if err := errors.Join(w.cluster.KillOSD(t.Context(), third), w.cluster.WaitDown(t.Context(), third)); err != nil {
		t.Fatal(err)
	}
	stopped := w.until(second, "held back by the third", func(c repairer.Case) bool {
		return strings.Contains(c.WaitingFor()+c.Step("drain").Error, "osd.5 down")
	}, nil)
	if stopped.Step("drain").Done {
		t.Error("it was emptied while a third OSD was down")
	}
	if bad := w.inactive(); len(bad) > 0 {
		t.Errorf("PGs are %v", bad)
	}
	if err := w.cluster.StartOSD(third); err != nil {
		t.Fatal(err)
	}
	w.until(second, "drained", func(c repairer.Case) bool { return c.Step("drain").Done }, nil)
	if err := w.cluster.Verify(t.Context(), objects); err != nil {
		t.Errorf("both are empty: %v", err)
	}
	c := w.until(first, "waiting for a person", phase(repairer.PhaseAwaitingReplacement), nil)

	old := w.cluster.Disk(first)
	if err := w.cluster.Pull(old); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []struct {
		serial string
		size   int64
		format bool
	}{{"SMALL", 1 << 30, false}, {"FOREIGN", old.Size, true}, {first, old.Size, false}} {
		d, err := w.cluster.Plug(c.Host(), old.Bay, wrong.serial, wrong.size)
		if err != nil {
			t.Fatal(err)
		}
		if wrong.format {
			if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.Device()).CombinedOutput(); err != nil {
				t.Fatalf("mkfs.ext4: %v: %s", err, out)
			}
		}
		if _, err := w.tickets.Resolve(t.Context(), c.Ticket, "done", "a person", ""); err != nil {
			t.Fatal(err)
		}
		refused := w.until(first, "refusing "+wrong.serial, func(c repairer.Case) bool {
			return c.Replacement == nil && c.Rejected != nil && c.Rejected.Serial == wrong.serial
		}, nil)
		t.Logf("not taken: %q", refused.Rejected.Findings)
		if wrong.format && !strings.Contains(strings.Join(refused.Rejected.Findings, "; "), "ext4") {
			t.Errorf("the filesystem is not among %q", refused.Rejected.Findings)
		}
		if err := w.cluster.Pull(d); err != nil {
			t.Fatal(err)
		}
	}
}
