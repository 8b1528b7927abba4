//go:build ceph

package hand_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	"glia/internal/testbed/ceph"
	"glia/nerve/disk"
	"glia/nerve/hand"
)

// cephLab is one host of a real cluster with its hand.
type cephLab struct {
	t       *testing.T
	cluster *ceph.Cluster
	host    string
	source  *disk.Source
	sys     *recorder
	hand    *hand.Hand
	options hand.Options
}

func newCephLab(t *testing.T, c *ceph.Cluster, host string) *cephLab {
	t.Helper()
	start, _, err := c.StarterOf(host)
	if err != nil {
		t.Fatal(err)
	}
	l := &cephLab{t: t, cluster: c, host: host, source: &disk.Source{Host: host, Loop: []string{c.DisksOf(host)}}, sys: &recorder{to: hand.Linux()}}
	l.options = hand.Options{
		Host: host, Inventory: l.source.Scan, System: l.sys, StateDir: filepath.Join(t.TempDir(), "state"),
		Ceph: &hand.Ceph{StartCommand: []string{start, "{id}"}},
	}
	l.hand, err = hand.New(l.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, l.hand) })
	return l
}

// disk is what the inventory tells of a disk.
func (l *cephLab) disk(serial string) glia.Disk {
	l.t.Helper()
	disks, err := l.source.Scan(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range disks {
		if d.Serial() == serial {
			return d
		}
	}
	l.t.Fatalf("disk %s is not in the inventory of %s", serial, l.host)
	return glia.Disk{}
}

// order is an order of the OSDs that old has, for the disk on.
func (l *cephLab) order(verb gliav1.Verb, old, on glia.Disk) *gliav1.Order {
	o := order(verb, on.Serial(), 0)
	o.Place, o.MinSize, o.Filesystem, o.ClusterName = on.Location.Place(), old.Identity.Size, nil, l.cluster.Name
	for _, osd := range old.OSDs {
		o.Osds = append(o.Osds, api.OSDToProto(osd))
	}
	return o
}

func (l *cephLab) must(errs ...error) {
	l.t.Helper()
	for _, err := range errs {
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// state is what the cluster says of an OSD.
func (l *cephLab) state(id int) string {
	l.t.Helper()
	o, err := l.cluster.OSD(l.t.Context(), id)
	if err != nil {
		return err.Error()
	}
	return strings.Join(o.State, " ")
}

// dry sends an order as a dry run and checks that nothing was run.
func (l *cephLab) dry(o *gliav1.Order) []string {
	l.t.Helper()
	before := len(l.sys.Calls())
	o.DryRun = true
	r := finish(l.t, l.hand, o)
	o.DryRun = false
	wantDone(l.t, r)
	if ran := l.sys.Calls()[before:]; len(ran) > 0 {
		l.t.Errorf("a dry run of %s ran %q", o.Verb, ran)
	}
	return r.Commands
}

// do sends an order, first dry and then in earnest, and wants it done with the commands that were told.
func (l *cephLab) do(o *gliav1.Order) *gliav1.ExecuteResponse {
	l.t.Helper()
	told := l.dry(o)
	r := finish(l.t, l.hand, o)
	for try := 0; try < 5 && r.State == failed && ceph.LostADevice(r.Reason+r.Output); try++ {
		r = finish(l.t, l.hand, o)
	}
	wantDone(l.t, r)
	if !slices.Equal(told, r.Commands) {
		l.t.Errorf("%s: the dry run told %q, run was %q", o.Verb, told, r.Commands)
	}
	l.t.Logf("%s: %q: %s", o.Verb, r.Commands, r.Output)
	return r
}

const (
	osdStop       = gliav1.Verb_VERB_OSD_STOP
	osdStart      = gliav1.Verb_VERB_OSD_START
	osdDeactivate = gliav1.Verb_VERB_OSD_DEACTIVATE
	osdPrepare    = gliav1.Verb_VERB_OSD_PREPARE
	osdActivate   = gliav1.Verb_VERB_OSD_ACTIVATE
)

// One OSD leaves its disk and comes back on a new one, under its id, by the hand alone but for what is the
// repairer's: to drain and to destroy.
func TestHand_TakesAnOSDToANewDisk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := ceph.For(t, ceph.Options{})
	const id = 2
	l := newCephLab(t, c, c.HostOf(id))
	objects, err := c.Write(ctx, "o", 24, 256<<10)
	l.must(err)

	oldDisk := c.Disks(l.host)[0]
	old := l.disk(oldDisk.Serial)
	if len(old.OSDs) != 1 || old.OSDs[0].ID != id || old.OSDs[0].Cluster != c.FSID || old.OSDs[0].Role != glia.RoleBlock || old.OSDs[0].Unknown != "" {
		t.Fatalf("the inventory tells %+v", old.OSDs)
	}
	in, err := c.OSD(ctx, id)
	l.must(err)
	if in.UUID != old.OSDs[0].UUID {
		t.Fatalf("the disk tells uuid %s, the cluster %s", old.OSDs[0].UUID, in.UUID)
	}
	wantNo(t, finish(t, l.hand, l.order(osdDeactivate, old, old)), refused, "runs (pid", "ceph-osd", "stop it first")

	stopped := l.order(osdStop, old, old)
	pid := c.PID(id)
	if r := l.do(stopped); len(r.Commands) != 1 || r.Commands[0] != "kill -TERM "+strconv.Itoa(pid) {
		t.Errorf("ran %q", r.Commands)
	}
	wantDone(t, finish(t, l.hand, stopped)) // sent again
	l.must(c.WaitDown(ctx, id))
	l.do(l.order(osdStart, old, old))
	l.must(c.WaitUp(ctx, id))
	if r := l.do(l.order(osdStart, old, old)); len(r.Commands) != 0 || !strings.Contains(r.Output, "running already") {
		t.Errorf("started again: %q", r.Commands)
	}
	l.must(c.WaitClean(ctx))

	l.do(l.order(osdStop, old, old))
	l.must(c.WaitDown(ctx, id))
	wantNo(t, finish(t, l.hand, l.order(osdPrepare, old, old)), refused, "not blank", "bluestore")
	wantNo(t, finish(t, l.hand, l.order(osdActivate, old, old)), refused, "the old osd.2")
	l.do(l.order(osdDeactivate, old, old))
	if _, err := os.Stat(filepath.Join(c.OSDDir(id), "whoami")); err == nil {
		t.Error("the directory of the OSD is still mounted")
	}
	_, err = c.Ceph(ctx, "osd", "destroy", strconv.Itoa(id), "--yes-i-really-mean-it")
	l.must(err, c.Pull(oldDisk))

	_, err = c.Plug(l.host, oldDisk.Bay, "FRESH", oldDisk.Size)
	l.must(err)
	fresh := l.disk("FRESH")
	crashed := l.options
	crashed.StateDir = filepath.Join(t.TempDir(), "state")
	l.sys.before = func(call string) { // what a nerve would find that was killed from here on
		if strings.HasPrefix(call, "ceph-volume") {
			l.must(os.CopyFS(crashed.StateDir, os.DirFS(l.options.StateDir)))
		}
	}
	prepare := l.order(osdPrepare, old, fresh)
	r := l.do(prepare)
	l.sys.before = nil
	again, err := hand.New(crashed)
	l.must(err)
	if r := finish(t, again, prepare); r.State != gliav1.OrderState_ORDER_STATE_DONE || len(r.Commands) > 0 || !strings.Contains(r.Output, "was made already") {
		t.Errorf("after a crash: got %s (%s), ran %q, said %q", r.State, r.Reason, r.Commands, r.Output)
	}
	stop(t, again)
	if want := "ceph-volume --cluster " + c.Name + " raw prepare --bluestore --data " + fresh.DevicePath() + " --osd-id 2"; len(r.Commands) != 1 || r.Commands[0] != want {
		t.Errorf("ran %q, want %q", r.Commands, want)
	}
	l.must(unix.Unmount(c.OSDDir(id), 0)) // as after a reboot
	if r := l.do(l.order(osdActivate, old, fresh)); len(r.Commands) != 2 || !strings.Contains(r.Commands[0], "raw activate") {
		t.Errorf("ran %q", r.Commands)
	}
	l.must(c.WaitUp(ctx, id), c.WaitClean(ctx), c.Verify(ctx, objects))
	in, err = c.OSD(ctx, id)
	l.must(err)
	if now := l.disk("FRESH").OSDs; len(now) != 1 || now[0].UUID != in.UUID || now[0].UUID == old.OSDs[0].UUID {
		t.Errorf("the disk tells %+v, the cluster %+v", now, in)
	}
}
