//go:build ceph

package ceph_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
	testbed "glia/internal/testbed/ceph"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

// bed is a real cluster, the driver on it, and a hand that does on this machine what the driver orders.
// Its tests run one after the other, because each needs the whole machine for a while.
type bed struct {
	testing.TB
	cluster *testbed.Cluster
	conn    ceph.Cluster
	set     ceph.Settings
	driver  *ceph.Driver
	objects testbed.Objects
	ahead   time.Duration // of the driver's clock

	mu   sync.Mutex
	acts []string
	fail map[gliav1.Verb]func() error // done before the act; an error is the hand's answer
	new  *testbed.Disk
}

func newBed(t testing.TB, o testbed.Options, change func(*ceph.Settings)) *bed {
	t.Helper()
	o.Size = max(o.Size, 2<<30)
	c := testbed.For(t, o)
	conn := connect(t, c)
	b := &bed{TB: t, cluster: c, conn: conn, fail: map[gliav1.Verb]func() error{}}
	b.set = ceph.Settings{
		Name: "test", FSID: c.FSID, HostName: c.Name, Cluster: conn,
		Pacing: ceph.Pacing{PGs: 8, Quiet: 3 * time.Second}, Margin: 0.02, Drains: 1, Fresh: 300 * time.Millisecond,
	}
	if change != nil {
		change(&b.set)
	}
	b.restart()
	var err error
	if b.objects, err = c.Write(t.Context(), "o", 48, 1<<20); err != nil {
		t.Fatal(err)
	}
	return b
}

// connect makes the driver's own user, as glia ceph create-user does, and connects as it.
func connect(t testing.TB, c *testbed.Cluster) ceph.Cluster {
	t.Helper()
	admin, err := ceph.Connect(ceph.Access{Conf: c.Conf, User: "admin", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := ceph.CreateUser(t.Context(), admin, "glia")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keyring")
	if err := os.WriteFile(file, []byte(keyring), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := ceph.Connect(ceph.Access{Conf: c.Conf, User: "glia", Keyring: file, Timeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// restart is what a repairer that was killed does: nothing of the driver's memory is left.
func (b *bed) restart() {
	b.driver = ceph.New(b, []ceph.Settings{b.set}, func() time.Time { return time.Now().Add(b.ahead) }, slog.New(slog.DiscardHandler))
}

// open is a started case of the disk of an OSD.
func (b *bed) open(id int) *repairer.Case {
	b.Helper()
	osd, err := b.cluster.OSD(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	host := b.cluster.HostOf(id)
	d := glia.Disk{
		Identity: glia.Identity{Serial: "OLD" + strconv.Itoa(id), Size: 2 << 30}, Location: glia.Location{Host: host, ByPath: "bay" + strconv.Itoa(id)},
		OSDs: []glia.OSD{{ID: id, UUID: osd.UUID, Cluster: b.cluster.FSID, Role: glia.RoleBlock, Mode: glia.ModeRaw}},
	}
	p := b.driver.Plan(d)
	if p.Obstacle != "" {
		b.Fatal(p.Obstacle)
	}
	return &repairer.Case{ID: "case-" + strconv.Itoa(id), Store: "test", Disk: d, Plan: &p, Started: true, Steps: map[string]repairer.StepState{}, Facts: map[string]string{}}
}

// once calls the driver once for a step of the case, and keeps what it says as the repairer's log does.
func (b *bed) once(c *repairer.Case, step string, others ...repairer.Case) repairer.Progress {
	b.Helper()
	i := slices.IndexFunc(c.Plan.Steps, func(s repairer.PlanStep) bool { return s.Name == step })
	s := c.Steps[step]
	s.Begun = true
	c.Steps[step] = s
	p, err := b.driver.Do(b.Context(), repairer.Act{Case: *c, Step: c.Plan.Steps[i], Epoch: 1, Others: others})
	if err != nil {
		p.Waits = "error: " + err.Error()
		s.Waits, s.Error, s.Attempts = false, err.Error(), s.Attempts+1
	}
	switch {
	case p.Done:
		s.Done = true
		maps.Copy(c.Facts, p.Facts)
	case err != nil:
	case p.Waits != "":
		s.Waits, s.Error = true, p.Waits
	case s.Waits:
		s.Waits, s.Error = false, ""
	}
	c.Steps[step] = s
	return p
}

// until calls the driver for a step until it says what the test waits for.
func (b *bed) until(c *repairer.Case, step, what string, ok func(repairer.Progress) bool, others ...repairer.Case) repairer.Progress {
	b.Helper()
	start, last, used := time.Now(), "", time.Time{}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		p := b.once(c, step, others...)
		if step == "refill" && time.Since(used) > time.Second { // a client, whom the new OSD is to serve
			used = time.Now()
			if _, err := b.cluster.Write(b.Context(), "client", 8, 4<<10); err != nil {
				b.Fatal(err)
			}
		}
		if said := p.Waits + " " + p.Text; said != last {
			b.Logf("%6.1fs %s: %s", time.Since(start).Seconds(), step, said)
			last = said
		}
		if ok(p) {
			return p
		}
		if p.Refused != "" || time.Since(start) > 5*time.Minute {
			b.Fatalf("%s: never %s: %+v", step, what, p)
		}
		<-tick.C
	}
}

func done(p repairer.Progress) bool { return p.Done }

func waitsFor(text string) func(repairer.Progress) bool {
	return func(p repairer.Progress) bool { return strings.Contains(p.Waits, text) }
}

// carry does steps until each is done.
func (b *bed) carry(c *repairer.Case, steps ...string) {
	b.Helper()
	for _, s := range steps {
		start := time.Now()
		p := b.until(c, s, "done", done)
		b.Logf("%s done in %s: %s", s, time.Since(start).Round(100*time.Millisecond), p.Output)
	}
}

// swap puts a new disk into the place of the old one.
func (b *bed) swap(c *repairer.Case) {
	b.Helper()
	for _, d := range b.cluster.Disks(c.Host()) {
		if err := b.cluster.Pull(d); err != nil {
			b.Fatal(err)
		}
	}
	d, err := b.cluster.Plug(c.Host(), "bay9", "NEW-"+c.ID, 2<<30)
	if err != nil {
		b.Fatal(err)
	}
	b.new = d
	fresh := c.Disk
	fresh.Identity.Serial, fresh.OSDs = "NEW-"+c.ID, nil
	c.Replacement = &fresh
}

func (b *bed) ceph(args ...string) string {
	b.Helper()
	out, err := b.cluster.Ceph(b.Context(), args...)
	if err != nil {
		b.Fatal(err)
	}
	return string(out)
}

// tree is the line of an OSD in osd tree.
func (b *bed) tree(id int) string {
	b.Helper()
	for l := range strings.Lines(b.ceph("osd", "tree")) {
		if slices.Contains(strings.Fields(l), "osd."+strconv.Itoa(id)) {
			return strings.Join(strings.Fields(l), " ")
		}
	}
	return ""
}

func (b *bed) verify() {
	b.Helper()
	if err := b.cluster.Verify(b.Context(), b.objects); err != nil {
		b.Error(err)
	}
}

// Disks is never asked by the driver.
func (b *bed) Disks(context.Context, string) ([]glia.DiskStatus, error) { return nil, nil }

// Probe is never asked by the driver.
func (b *bed) Probe(context.Context, string, string) (glia.DiskStatus, error) {
	return glia.DiskStatus{}, nil
}

// Fence is never asked by the driver.
func (b *bed) Fence(context.Context, string, uint64) error { return nil }

// Execute is the hand.
func (b *bed) Execute(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acts = append(b.acts, strings.TrimPrefix(o.GetVerb().String(), "VERB_"))
	err := b.act(ctx, host, o)
	if err != nil {
		return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_FAILED, Reason: err.Error()}, nil
	}
	return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE}, nil
}

func (b *bed) act(ctx context.Context, host string, o *gliav1.Order) error {
	if f := b.fail[o.GetVerb()]; f != nil {
		if err := f(); err != nil {
			return err
		}
	}
	var osd glia.OSD
	for _, p := range o.GetOsds() {
		osd = api.OSDFromProto(p)
	}
	dir := b.cluster.OSDDir(osd.ID)
	switch o.GetVerb() {
	case gliav1.Verb_VERB_OSD_STOP:
		return b.cluster.StopOSD(ctx, osd.ID)
	case gliav1.Verb_VERB_OSD_START, gliav1.Verb_VERB_OSD_ACTIVATE:
		if b.cluster.PID(osd.ID) != 0 {
			return nil
		}
		return b.cluster.StartOSDOn(osd.ID, host)
	case gliav1.Verb_VERB_OSD_DEACTIVATE:
		if err := unix.Unmount(dir, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		return nil
	case gliav1.Verb_VERB_OSD_PREPARE:
		return b.prepare(ctx, osd.ID)
	}
	return nil
}

// prepare does what ceph-volume raw prepare does.
func (b *bed) prepare(ctx context.Context, id int) error {
	var key, fsid string
	dir := b.cluster.OSDDir(id)
	for _, step := range []func() error{
		func() error { return run(ctx, &key, "ceph-authtool", "--gen-print-key") },
		func() error {
			secret := filepath.Join(b.cluster.Dir, "secret")
			fsid = uuid.NewString()
			if err := os.WriteFile(secret, fmt.Appendf(nil, `{"cephx_secret":%q}`, key), 0o600); err != nil {
				return err
			}
			_, err := b.cluster.Ceph(ctx, "osd", "new", fsid, strconv.Itoa(id), "-i", secret)
			return err
		},
		func() error { return os.MkdirAll(dir, 0o755) },
		func() error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755") },
		func() error { return os.Symlink(b.new.Device(), filepath.Join(dir, "block")) },
		func() error {
			return os.WriteFile(filepath.Join(dir, "keyring"), fmt.Appendf(nil, "[osd.%d]\n\tkey = %s\n", id, key), 0o600)
		},
		func() error {
			return run(ctx, nil, "ceph-osd", "--cluster", b.cluster.Name, "--osd-objectstore", "bluestore", "--mkfs", "-i", strconv.Itoa(id),
				"--no-mon-config", "--monmap", filepath.Join(b.cluster.Dir, "monmap"), "--osd-data", dir, "--osd-uuid", fsid)
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// run runs a program and keeps what it prints.
func run(ctx context.Context, to *string, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	if to != nil {
		*to = strings.TrimSpace(string(out))
	}
	return nil
}
