//go:build ceph

package osdcase_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	testbed "glia/internal/testbed/ceph"
	"glia/nerve/disk"
	"glia/nerve/hand"
	"glia/repairer"
	"glia/repairer/storage/ceph"
	"glia/repairer/store"
	"glia/repairer/ticket"
)

// world is a real cluster with a hand on each of its hosts, and a repairer that can be begun anew.
type world struct {
	*testing.T
	cluster *testbed.Cluster
	conn    ceph.Cluster
	sources map[string]*disk.Source
	hands   map[string]*hand.Hand

	path    string
	store   *store.SQLite
	tickets *ticket.Builtin
	engine  *repairer.Engine

	mu   sync.Mutex
	bad  map[string]bool // serials
	dead map[string]bool // serials of disks that can not be read any more
	acts []string        // orders that the hands took on

	used time.Time         // when a client last wrote
	told map[string]uint64 // by case: the last event that is in the test's log
}

// newWorld starts a cluster, with what each of more adds to it.
func newWorld(t *testing.T, o testbed.Options, more ...func(*testbed.Cluster) error) *world {
	t.Helper()
	c := testbed.For(t, o)
	for _, add := range more {
		if err := errors.Join(add(c), c.WaitClean(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{T: t, cluster: c, sources: map[string]*disk.Source{}, hands: map[string]*hand.Hand{}, path: filepath.Join(t.TempDir(), "glia.db"), bad: map[string]bool{}, dead: map[string]bool{}, told: map[string]uint64{}}
	conn, err := ceph.Connect(ceph.Access{Conf: c.Conf, User: "admin", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w.conn = conn
	for _, h := range c.Hosts() {
		start, _, err := c.StarterOf(h)
		if err != nil {
			t.Fatal(err)
		}
		s := &disk.Source{Host: h, Loop: []string{c.DisksOf(h)}}
		hd, err := hand.New(hand.Options{Host: h, Inventory: func(ctx context.Context) ([]glia.Disk, error) { return w.scan(ctx, h) }, System: hand.Linux(), StateDir: filepath.Join(t.TempDir(), h), BurnIn: 4 << 20, Ceph: &hand.Ceph{StartCommand: []string{start, "{id}"}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = hd.Close(context.Background()) })
		w.sources[h], w.hands[h] = s, hd
	}
	w.begin()
	t.Cleanup(func() { _ = w.store.Close() })
	return w
}

// begin starts the repairer, with nothing but its store left of the one before.
func (w *world) begin() {
	w.Helper()
	if w.store != nil {
		_ = w.store.Close()
	}
	s, err := store.OpenSQLite(w.Context(), w.path)
	if err != nil {
		w.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	dr := ceph.New(w, []ceph.Settings{{
		Name: "test", FSID: w.cluster.FSID, HostName: w.cluster.Name, Cluster: w.conn,
		Pacing: ceph.Pacing{PGs: 32, Quiet: 3 * time.Second}, Margin: 0.02, Drains: 1, Fresh: 300 * time.Millisecond,
	}}, time.Now, log)
	w.store, w.tickets = s, ticket.New(s.DB(), time.Now)
	w.engine = repairer.New(repairer.Options{
		Store: s, Feed: w, Hosts: w, Tracker: w.tickets, Drivers: map[string]repairer.Driver{"": dr, ceph.Name: dr},
		Mode: repairer.ModeAuto, Limits: repairer.Limits{Fleet: 4, Host: 1, Units: 4}, States: []glia.State{glia.StateFailing, glia.StateFailed},
		Tick: time.Second, Settle: time.Second, CoolDown: time.Minute, MaxViewAge: time.Minute, RetryMin: time.Second, RetryMax: 10 * time.Second, Attempts: 5,
		Now: time.Now, Log: log,
	})
}

// serial is the disk of an OSD, and its host.
func (w *world) serial(id int) (serial, host string) {
	w.Helper()
	host = w.cluster.HostOf(id)
	return w.cluster.Disks(host)[0].Serial, host
}

func (w *world) fail(serial string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad[serial] = true
}

// until ticks until the case of the serial is as the test wants it; each is called after each tick.
func (w *world) until(serial, what string, ok func(repairer.Case) bool, each func(repairer.Case)) repairer.Case {
	w.Helper()
	deadline := time.Now().Add(12 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := w.store.LastCase(w.Context(), serial)
		if err == nil {
			events, _ := w.store.Events(w.Context(), c.ID, w.told[c.ID])
			for _, e := range events {
				w.Logf("%s %s %s %s: %s", e.At.Format("05.0"), serial, e.Kind, e.Step, e.Text)
				w.told[c.ID] = e.Seq
			}
			if ok(c) {
				return c
			}
			w.use(c)
			if each != nil {
				each(c)
			}
		}
		if time.Now().After(deadline) {
			w.Fatalf("the case of %s never became %s; it is %s, waiting for %q, progress %q (%v)", serial, what, c.Phase, c.WaitingFor(), w.engine.Progress(c.ID), err)
		}
		if err := w.engine.TickOnce(w.Context()); err != nil {
			w.Logf("tick: %v", err)
		}
		<-tick.C
	}
}

// use is a client of the cluster, whom a new OSD is to serve before its case goes on: without one, the driver
// waits for one for a while.
func (w *world) use(c repairer.Case) {
	w.Helper()
	if s := c.Step("refill"); !s.Begun || s.Done || time.Since(w.used) < time.Second {
		return
	}
	w.used = time.Now()
	if _, err := w.cluster.Write(w.Context(), "client", 8, 4<<10); err != nil {
		w.Fatal(err)
	}
}

func phase(p repairer.Phase) func(repairer.Case) bool {
	return func(c repairer.Case) bool { return c.Phase == p }
}

// swap is the person with the screwdriver.
func (w *world) swap(c repairer.Case, serial string) {
	w.Helper()
	d := w.cluster.Disk(c.Serial())
	if err := w.cluster.Pull(d); err != nil {
		w.Fatal(err)
	}
	if _, err := w.cluster.Plug(c.Host(), d.Bay, serial, d.Size); err != nil {
		w.Fatal(err)
	}
}

func (w *world) ceph(args ...string) string {
	w.Helper()
	out, err := w.cluster.Ceph(w.Context(), args...)
	if err != nil {
		w.Fatal(err)
	}
	return string(out)
}

// tree is the CRUSH tree, with weights.
func (w *world) tree() string { return w.ceph("osd", "tree") }

// Fence makes a hand refuse older epochs.
func (w *world) Fence(_ context.Context, host string, epoch uint64) error {
	return w.hands[host].Fence(epoch)
}

// Execute gives an order to a hand.
func (w *world) Execute(ctx context.Context, host string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	w.mu.Lock()
	if act := strings.TrimPrefix(o.GetVerb().String(), "VERB_") + " " + o.GetSerial(); !slices.Contains(w.acts, act) {
		w.acts = append(w.acts, act)
	}
	w.mu.Unlock()
	return w.hands[host].Execute(ctx, o)
}

// die makes a disk unreadable, for the nerve and for the hand.
func (w *world) die(serial string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[serial] = true
}

// scan is the inventory of a host.
func (w *world) scan(ctx context.Context, host string) ([]glia.Disk, error) {
	disks, err := w.sources[host].Scan(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range disks {
		if w.dead[disks[i].Serial()] {
			disks[i].OSDs = []glia.OSD{{ID: -1, Unknown: "the label can not be read: input/output error"}}
		}
	}
	return disks, err
}

// Disks is what the nerve of a host tells.
func (w *world) Disks(ctx context.Context, host string) ([]glia.DiskStatus, error) {
	disks, err := w.scan(ctx, host)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	var out []glia.DiskStatus
	for _, d := range disks {
		v := glia.Verdict{State: glia.StateHealthy, ObservedAt: now, ExpiresAt: now.Add(time.Hour)}
		if w.bad[d.Serial()] {
			v.State = glia.StateFailing
			for _, class := range []glia.EvidenceClass{glia.Media, glia.Filesystem} {
				v.Reasons = append(v.Reasons, glia.Reason{Rule: string(class), Class: class, State: glia.StateFailing, Words: "it fails"})
			}
		}
		out = append(out, glia.DiskStatus{Disk: d, Verdict: v})
	}
	return out, nil
}

// Probe is what the nerve of a host tells of one disk.
func (w *world) Probe(ctx context.Context, host, serial string) (glia.DiskStatus, error) {
	disks, err := w.Disks(ctx, host)
	if err != nil {
		return glia.DiskStatus{}, err
	}
	for _, d := range disks {
		if d.Disk.Serial() == serial {
			return d, nil
		}
	}
	return glia.DiskStatus{}, glia.ErrNotFound
}

// View is what the synapse tells.
func (w *world) View() (glia.FleetView, error) {
	v := glia.FleetView{At: time.Now()}
	for _, h := range w.cluster.Hosts() {
		disks, err := w.Disks(w.Context(), h)
		if err != nil {
			return v, err
		}
		v.Hosts = append(v.Hosts, glia.HostView{Member: glia.Member{Announcement: glia.Announcement{Host: h, DiskCount: len(disks)}, Status: glia.MemberAlive}, Disks: disks, FetchedAt: v.At})
	}
	return v, nil
}
