//go:build ceph

package hand_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/testbed/ceph"
	"glia/nerve/hand"
)

// What a prepare that fails midway leaves of the id, which is what the repairer's driver rests on, and that
// the same order goes on from there once the id is destroyed again.
func TestHand_PrepareThatFailsMidway(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := ceph.For(t, ceph.Options{})
	const id = 1
	l := newCephLab(t, c, c.HostOf(id))
	oldDisk := c.Disks(l.host)[0]
	old := l.disk(oldDisk.Serial)
	objects, err := c.Write(ctx, "o", 12, 256<<10)
	l.must(err)
	wantDone(t, finish(t, l.hand, l.order(osdStop, old, old)))
	l.must(c.WaitDown(ctx, id))
	wantDone(t, finish(t, l.hand, l.order(osdDeactivate, old, old)))
	l.ceph("osd", "destroy", strconv.Itoa(id), "--yes-i-really-mean-it")
	l.must(c.Pull(oldDisk))
	_, err = c.Plug(l.host, oldDisk.Bay, "FRESH", oldDisk.Size)
	l.must(err)
	fresh := l.disk("FRESH")
	prepare := l.order(osdPrepare, old, fresh)

	key := c.BootstrapKeyring()
	l.must(os.Rename(key, key+".away"))
	wantNo(t, finish(t, l.hand, prepare), refused, key)
	l.must(os.Rename(key+".away", key))
	if s := l.state(id); s != "destroyed exists" {
		t.Fatalf("without the key, the id is %q", s)
	}

	volume, mkfs := []string{"ceph-volume", "prepare", c.Name}, []string{"ceph-osd", "--mkfs", c.Name}
	for _, cut := range []struct {
		name       string
		seen, kill []string // the process of seen appears, that of kill is killed
		state      string   // of the id after that
		mend       func()
	}{
		{"ceph-volume killed before it claims the id", volume, volume, "destroyed exists", func() {}},
		{"ceph-volume killed while BlueStore is made", mkfs, volume, "exists new", func() {
			l.ceph("osd", "destroy", strconv.Itoa(id), "--yes-i-really-mean-it")
		}},
		{"mkfs killed, and ceph-volume gives the id away", mkfs, mkfs, "gone", func() {
			l.ceph("osd", "new", "11111111-2222-4333-8444-555555555555", strconv.Itoa(id))
			l.ceph("osd", "crush", "add", strconv.Itoa(id), "0.0039", "root=default", "host="+l.host)
			l.ceph("osd", "destroy", strconv.Itoa(id), "--yes-i-really-mean-it")
		}},
		{"mkfs killed, and ceph-volume may not give the id away", mkfs, mkfs, "exists new", func() {
			l.ceph("osd", "destroy", strconv.Itoa(id), "--yes-i-really-mean-it")
		}},
	} {
		if strings.HasSuffix(cut.name, "may not give the id away") {
			l.ceph("auth", "caps", "client.bootstrap-osd", "mon", `allow command "osd new", allow command "osd tree", allow command "mon getmap", allow command "get_command_descriptions"`)
		}
		killing, stopKilling := context.WithCancel(ctx)
		killed := killWhenSeen(killing, cut.seen, cut.kill)
		r := finish(t, l.hand, prepare)
		stopKilling()
		if <-killed == 0 {
			t.Fatalf("%s: nothing was killed: %s %s", cut.name, r.State, r.Reason)
		}
		if r.State != failed {
			t.Fatalf("%s: got %s (%s)", cut.name, r.State, r.Reason)
		}
		if s := l.state(id); s != cut.state && !(cut.state == "gone" && strings.Contains(s, "does not exist")) {
			t.Errorf("%s: the id is %q, want %q", cut.name, s, cut.state)
		}
		t.Logf("%s: the id is %q, the disk has %+v: %s", cut.name, l.state(id), l.disk("FRESH").OSDs, lastLines(r.Output, 3))
		l.untilNoProcess(mkfs) // whose parent was killed
		cut.mend()
	}

	wantDone(t, finish(t, l.hand, prepare))
	if r := finish(t, l.hand, prepare); r.State != gliav1.OrderState_ORDER_STATE_DONE || !strings.Contains(r.Output, "osd.1 is ") {
		t.Errorf("sent again after it was done: %s %q", r.State, r.Output)
	}
	// A nerve that has lost its journal does not take it for its own.
	other := newCephLab(t, c, l.host)
	wantNo(t, finish(t, other.hand, prepare), refused, "not blank")

	l.do(l.order(osdActivate, old, fresh))
	l.must(c.WaitUp(ctx, id), c.WaitClean(ctx), c.Verify(ctx, objects))
}

// Nothing of another OSD is ever taken for what the order is about.
func TestHand_RefusesOSDsThatAreNotTheOrdered(t *testing.T) {
	t.Parallel()
	c := ceph.For(t, ceph.Options{Hosts: 1, OSDsPerHost: 2, Replicas: 1})
	l := newCephLab(t, c, "h0")
	disks := c.Disks("h0")
	first, second := l.disk(disks[0].Serial), l.disk(disks[1].Serial)
	if first.OSDs[0].ID == second.OSDs[0].ID {
		t.Fatalf("both disks tell osd.%d", first.OSDs[0].ID)
	}
	with := func(change func(*glia.OSD)) glia.Disk {
		d := first
		d.OSDs = []glia.OSD{first.OSDs[0]}
		change(&d.OSDs[0])
		return d
	}
	for name, wrong := range map[string]struct {
		old  glia.Disk
		on   glia.Disk
		word string
	}{
		"the OSD of the other disk":  {second, first, "is not on disk"},
		"another uuid":               {with(func(o *glia.OSD) { o.UUID = "11111111-2222-4333-8444-555555555555" }), first, "the order names 11111111"},
		"another cluster":            {with(func(o *glia.OSD) { o.Cluster = "11111111-2222-4333-8444-555555555555" }), first, "of cluster"},
		"an id that nobody has":      {with(func(o *glia.OSD) { o.ID = 77 }), first, "osd.77 is not on disk"},
		"a cluster that is no fsid":  {with(func(o *glia.OSD) { o.Cluster = "ceph" }), first, "not the fsid"},
		"a disk that is in no place": {first, func() glia.Disk { d := first; d.Location.Slot = "elsewhere"; return d }(), "not in"},
	} {
		for _, verb := range []gliav1.Verb{osdStop, osdDeactivate, osdStart} {
			r := finish(t, l.hand, l.order(verb, wrong.old, wrong.on))
			if r.State != refused || !strings.Contains(r.Reason, wrong.word) {
				t.Errorf("%s, %s: got %s (%s), want a refusal with %q", verb, name, r.State, r.Reason, wrong.word)
			}
		}
	}
	if ran := l.sys.Calls(); len(ran) > 0 {
		t.Errorf("ran %q", ran)
	}

	// An empty disk, one with a filesystem, and the other OSD's: none of them is the new disk of osd.0.
	_, err := c.Plug("h0", "bay7", "BLANK", 1<<30)
	l.must(err)
	blank := l.disk("BLANK")
	wantNo(t, finish(t, l.hand, l.order(osdActivate, first, blank)), refused, "not the ordered OSD")
	wantNo(t, finish(t, l.hand, l.order(osdActivate, first, second)), refused, "not the ordered OSD")
	wantNo(t, finish(t, l.hand, l.order(osdPrepare, first, blank)), refused, "too small")
	wantNo(t, finish(t, l.hand, l.order(osdPrepare, first, second)), refused, "bluestore")
	small := first
	small.Identity.Size = 1 << 29
	wantNo(t, finish(t, l.hand, l.order(osdPrepare, small, blank)), refused, "osd.0 runs on this host")
	if out, err := exec.Command("mkfs.ext4", "-q", blank.DevicePath()).CombinedOutput(); err != nil {
		t.Fatalf("mkfs: %v: %s", err, out)
	}
	wantNo(t, finish(t, l.hand, l.order(osdPrepare, small, blank)), refused, "not blank", "ext4")
	if ran := l.sys.Calls(); len(ran) > 0 {
		t.Errorf("ran %q", ran)
	}

	// One key is for one act.
	stopFirst, stopSecond := l.order(osdStop, first, first), l.order(osdStop, second, second)
	stopSecond.Key, stopSecond.Serial, stopSecond.Place = stopFirst.Key, stopFirst.Serial, stopFirst.Place
	wantDone(t, finish(t, l.hand, stopFirst))
	wantNo(t, finish(t, l.hand, stopSecond), refused, "a new act needs a new key")
}

// A dying disk: its label can not be read any more, and then it is gone. Its OSD is still told by its
// directory, and can be cleared away.
func TestHand_ClearsAwayTheOSDOfADyingDisk(t *testing.T) {
	t.Parallel()
	c := ceph.For(t, ceph.Options{Hosts: 1, OSDsPerHost: 2, Replicas: 1})
	l := newCephLab(t, c, "h0")
	disks := c.Disks("h0")
	first, second := l.disk(disks[0].Serial), l.disk(disks[1].Serial)
	blind, err := hand.New(hand.Options{
		Host: "h0", System: hand.Linux(), StateDir: filepath.Join(t.TempDir(), "state"), Ceph: &hand.Ceph{},
		Inventory: func(ctx context.Context) ([]glia.Disk, error) {
			all, err := l.source.Scan(ctx)
			for i := range all {
				all[i].OSDs = []glia.OSD{{ID: -1, Unknown: "the label can not be read"}}
			}
			return all, err
		},
	})
	l.must(err)
	t.Cleanup(func() { stop(t, blind) })
	wantNo(t, finish(t, blind, l.order(osdStop, second, first)), refused, "an unknown OSD")
	stranger := first
	stranger.OSDs = []glia.OSD{first.OSDs[0]}
	stranger.OSDs[0].UUID = "11111111-2222-4333-8444-555555555555"
	wantNo(t, finish(t, blind, l.order(osdStop, stranger, first)), refused, "an unknown OSD")
	wantDone(t, finish(t, blind, l.order(osdStop, first, first)))
	wantDone(t, finish(t, blind, l.order(osdDeactivate, first, first)))

	// The other disk is pulled under its running OSD, which does not notice at once.
	l.must(c.Pull(disks[1]), os.Rename(disks[1].File, disks[1].File+".pulled"))
	stopSecond := l.order(osdStop, second, second)
	if r := finish(t, l.hand, stopSecond); r.State != gliav1.OrderState_ORDER_STATE_DONE || !strings.Contains(r.Output, "not found") {
		t.Errorf("got %s (%s): %q", r.State, r.Reason, r.Output)
	}
	l.untilOver(second.OSDs[0].ID)
	wantDone(t, finish(t, l.hand, l.order(osdDeactivate, second, second)))
	if _, err := os.Stat(filepath.Join(c.OSDDir(second.OSDs[0].ID), "whoami")); err == nil {
		t.Error("the directory of the OSD is still mounted")
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

func (l *cephLab) ceph(args ...string) {
	l.t.Helper()
	if _, err := l.cluster.Ceph(l.t.Context(), args...); err != nil {
		l.t.Fatal(err)
	}
}

// untilOver waits until the parent of a daemon that has ended knows it: the hand sees earlier that it runs no program any more.
func (l *cephLab) untilOver(id int) {
	l.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); l.cluster.PID(id) != 0; <-tick.C {
		if time.Now().After(deadline) {
			l.t.Fatalf("osd.%d still runs as pid %d", id, l.cluster.PID(id))
		}
	}
}

func (l *cephLab) untilNoProcess(words []string) {
	l.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(longest); findProcess(words, nil) != 0; <-tick.C {
		if time.Now().After(deadline) {
			l.t.Fatalf("a process of %q still runs", words)
		}
	}
}

// killWhenSeen waits until a process with all the words of seen in its command line is there, and then kills
// the one with those of kill. It answers with the pid of that, or 0 when ctx ends before.
func killWhenSeen(ctx context.Context, seen, kill []string) <-chan int {
	out := make(chan int, 1)
	before := map[string]bool{} // what runs already is not read again and again: mkfs is gone within a second
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		before[d] = true
	}
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if findProcess(seen, before) != 0 {
				if pid := findProcess(kill, before); pid != 0 {
					_ = unix.Kill(pid, unix.SIGKILL)
					out <- pid
					return
				}
			}
			select {
			case <-ctx.Done():
				out <- 0
				return
			case <-tick.C:
			}
		}
	}()
	return out
}

// findProcess finds a process by words of its command line, but for those whose directories are to be passed over.
func findProcess(words []string, except map[string]bool) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if except[dir] {
			continue
		}
		b, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		line := strings.ReplaceAll(string(b), "\x00", " ")
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && all && pid != os.Getpid() {
			return pid
		}
	}
	return 0
}
