//go:build ceph

package hand_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glia"
	"glia/internal/testbed/ceph"
	"glia/nerve/hand"
)

// leave takes the OSDs of a disk out of use and destroys them.
func (l *cephLab) leave(old glia.Disk) {
	l.t.Helper()
	l.do(l.order(osdStop, old, old))
	for _, o := range old.OSDs {
		l.must(l.cluster.WaitDown(l.t.Context(), o.ID))
	}
	l.do(l.order(osdDeactivate, old, old))
	for _, o := range old.OSDs {
		l.ceph("osd", "destroy", strconv.Itoa(o.ID), "--yes-i-really-mean-it")
	}
}

// back checks that each OSD of the old disk is there again as another one, with all data.
func (l *cephLab) back(old glia.Disk, objects ceph.Objects, now []glia.OSD) {
	l.t.Helper()
	ctx := l.t.Context()
	for i, o := range old.OSDs {
		l.must(l.cluster.WaitUp(ctx, o.ID))
		in, err := l.cluster.OSD(ctx, o.ID)
		l.must(err)
		if now[i].ID != o.ID || now[i].Role != o.Role || now[i].UUID != in.UUID || in.UUID == o.UUID || now[i].Unknown != "" {
			l.t.Errorf("the disk tells %+v, the cluster %+v", now[i], in)
		}
	}
	l.must(l.cluster.WaitClean(ctx), l.cluster.Verify(ctx, objects))
}

func TestHand_TakesTwoOSDsOfOneDiskToANewOne(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := ceph.For(t, ceph.Options{Hosts: 3})
	const host = "h3"
	l := newCephLab(t, c, host)
	d, err := c.Plug(host, "bay0", "TWO", 4<<30)
	l.must(err)
	paths, err := d.Divide(1536<<20, 2<<30)
	l.must(err)
	for i, path := range paths {
		l.must(c.Prepare(ctx, host, 3+i, "--data", path))
	}
	l.must(c.WaitClean(ctx))
	objects, err := c.Write(ctx, "o", 24, 256<<10)
	l.must(err)
	old := l.disk("TWO")
	if len(old.OSDs) != 2 || old.OSDs[0].Partition != 1 || old.OSDs[1].Partition != 2 || old.OSDs[1].Size != 2<<30 {
		t.Fatalf("the inventory tells %+v", old.OSDs)
	}
	l.leave(old)
	l.must(c.Pull(d))
	_, err = c.Plug(host, "bay0", "FRESH", 4<<30)
	l.must(err)
	fresh := l.disk("FRESH")

	// The second OSD can not be made at first, when the first one stands already.
	prepare := l.order(osdPrepare, old, fresh)
	mkfs := []string{"ceph-osd", "--mkfs", c.Name, " -i 4 "}
	killing, stopKilling := context.WithCancel(ctx)
	killed := killWhenSeen(killing, mkfs, mkfs)
	r := finish(t, l.hand, prepare)
	stopKilling()
	if <-killed == 0 || r.State != failed {
		t.Fatalf("got %s (%s)", r.State, r.Reason)
	}
	if s := l.state(3); s != "exists new" {
		t.Errorf("osd.3 is %q", s)
	}
	l.ceph("osd", "destroy", "3", "--yes-i-really-mean-it")
	l.ceph("osd", "new", "11111111-2222-4333-8444-555555555555", "4")
	l.ceph("osd", "crush", "add", "4", "0.0039", "root=default", "host="+host)
	l.ceph("osd", "destroy", "4", "--yes-i-really-mean-it")

	// The nerve is killed when the first OSD stands: the next one finds it, and makes the second one only.
	crashed := l.options
	crashed.StateDir = filepath.Join(t.TempDir(), "state")
	second := func(argv []string) bool {
		return strings.Contains(strings.Join(argv, " "), "prepare") && argv[len(argv)-1] == "4"
	}
	l.sys.run = func(ctx context.Context, argv, env []string) (string, error) {
		if second(argv) {
			l.must(os.CopyFS(crashed.StateDir, os.DirFS(l.options.StateDir)))
			return "", errors.New("killed")
		}
		return l.sys.to.Run(ctx, argv, env)
	}
	if r := finish(t, l.hand, prepare); r.State != failed || strings.Contains(strings.Join(r.Commands, " "), "sgdisk") {
		t.Fatalf("got %s (%s), ran %q", r.State, r.Reason, r.Commands)
	}
	l.sys.run = nil
	again, err := hand.New(crashed)
	l.must(err)
	t.Cleanup(func() { stop(t, again) })
	l.hand = again
	if r = l.do(prepare); len(r.Commands) != 2 || !second(strings.Fields(r.Commands[1])) || !strings.Contains(r.Output, "osd.3 is ") {
		t.Errorf("ran %q, said %q", r.Commands, lastLines(r.Output, 2))
	}
	if fresh = l.disk("FRESH"); fresh.Partitions[0].Size != 1536<<20 || fresh.Partitions[1].Size != 2<<30 {
		t.Errorf("partitions are %+v", fresh.Partitions)
	}
	for _, o := range old.OSDs {
		l.must(unix.Unmount(c.OSDDir(o.ID), 0)) // as after a reboot
	}
	l.do(l.order(osdActivate, old, fresh))
	l.back(old, objects, l.disk("FRESH").OSDs)
}

func TestHand_GivesAllOSDsOfALostDBDiskANewOne(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := ceph.For(t, ceph.Options{Hosts: 3})
	const host = "h3"
	l := newCephLab(t, c, host)
	db, err := c.Plug(host, "nvme", "DBS", 4<<30)
	l.must(err)
	parts, err := db.Divide(1<<30, 1<<30, 1<<30)
	l.must(err)
	for i := range 2 {
		data, err := c.Plug(host, fmt.Sprintf("bay%d", i), fmt.Sprintf("DATA%d", i), 4<<30)
		l.must(err)
		args := []string{"--data", data.Device(), "--block.db", parts[i]}
		if i == 0 {
			args = append(args, "--block.wal", parts[2])
		}
		l.must(c.Prepare(ctx, host, 3+i, args...))
	}
	l.must(c.WaitClean(ctx))
	objects, err := c.Write(ctx, "o", 24, 256<<10)
	l.must(err)
	old := l.disk("DBS")
	if len(old.OSDs) != 3 || old.OSDs[0].BlockSerial != "DATA0" || old.OSDs[2].BlockSerial != "DATA1" || old.OSDs[0].Role != glia.RoleDB || old.OSDs[1].Role != glia.RoleWAL {
		t.Fatalf("the inventory tells %+v", old.OSDs)
	}
	// What was stopped can be started again, as long as nothing is destroyed.
	l.do(l.order(osdStop, old, old))
	l.must(c.WaitDown(ctx, 3), c.WaitDown(ctx, 4))
	l.do(l.order(osdStart, old, old))
	l.must(c.WaitUp(ctx, 3), c.WaitUp(ctx, 4), c.WaitClean(ctx))

	l.leave(withoutTwins(old))
	l.must(c.Pull(db))
	_, err = c.Plug(host, "nvme", "FRESH", 5<<30)
	l.must(err)
	fresh := l.disk("FRESH")
	// A block device that is another OSD's is not touched.
	foreign := old
	foreign.OSDs = append([]glia.OSD(nil), old.OSDs...)
	for i := range 2 {
		foreign.OSDs[i].UUID = "11111111-2222-4333-8444-555555555555"
	}
	wantNo(t, finish(t, l.hand, l.order(osdPrepare, foreign, fresh)), refused, "is of OSD "+old.OSDs[0].UUID)

	l.do(l.order(osdPrepare, old, fresh))
	if fresh = l.disk("FRESH"); len(fresh.Partitions) != 3 || fresh.Partitions[0].Size != 5<<30/4 {
		t.Errorf("partitions are %+v", fresh.Partitions)
	}
	for _, id := range []int{3, 4} {
		l.must(unix.Unmount(c.OSDDir(id), 0)) // as after a reboot
	}
	if r := l.do(l.order(osdActivate, old, fresh)); len(r.Commands) != 4 {
		t.Errorf("ran %q", r.Commands)
	}
	l.back(old, objects, l.disk("FRESH").OSDs)
	for _, serial := range []string{"DATA0", "DATA1"} {
		if now := l.disk(serial).OSDs; len(now) != 1 || now[0].DBSerial != "FRESH" {
			t.Errorf("%s tells %+v", serial, now)
		}
	}
}

// withoutTwins names each OSD of a disk once, for what is done once for each.
func withoutTwins(d glia.Disk) glia.Disk {
	seen := map[int]bool{}
	var out []glia.OSD
	for _, o := range d.OSDs {
		if !seen[o.ID] {
			out = append(out, o)
		}
		seen[o.ID] = true
	}
	d.OSDs = out
	return d
}
