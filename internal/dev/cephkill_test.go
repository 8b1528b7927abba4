//go:build ceph

package dev_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	gliav1 "glia/api/glia/v1"
	"glia/api/glia/v1/gliav1connect"
	"glia/config"
	"glia/internal/daemon"
	"glia/internal/dev"
	testbed "glia/internal/testbed/ceph"
)

// osdRepairs are repairs of OSDs of a real cluster by a repairer in a process of its own.
type osdRepairs struct {
	t       *testing.T
	dir     string // of the demo
	db      string
	cluster *testbed.Cluster
	objects testbed.Objects
	process *process
	client  gliav1connect.RepairServiceClient
}

func newOSDRepairs(t *testing.T) *osdRepairs {
	t.Helper()
	o := cephOptions(t)
	binary := filepath.Join(t.TempDir(), "repairer")
	if out, err := exec.Command("go", "build", "-tags", "ceph", "-o", binary, "glia/cmd/repairer").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background()) // the test's own ends before its cleanup
	g, gctx := errgroup.WithContext(ctx)
	fleet, err := dev.StartFleet(gctx, g, o, logOf(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		if err := fleet.Sweep(); err != nil {
			t.Error(err)
		}
		nothingIsLeft(t, o)
	})
	c, url, err := fleet.RepairerConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w := &osdRepairs{t: t, dir: o.Dir, db: c.Database, cluster: fleet.Cluster(), client: gliav1connect.NewRepairServiceClient(daemon.HTTPClient(nil), url)}
	if w.objects, err = w.cluster.Write(t.Context(), "o", 48, 1<<20); err != nil {
		t.Fatal(err)
	}
	w.process = &process{t: t, binary: binary, config: filepath.Join(t.TempDir(), "repairer.toml")}
	writeConfig(t, w.process.config, c)
	addCeph(t, w.process.config, c)
	w.process.start()
	t.Cleanup(func() { w.process.kill() })
	poll(w.deadline(), t, "a healthy fleet", func() bool {
		r, err := w.client.GetStatus(t.Context(), connect.NewRequest(&gliav1.GetStatusRequest{}))
		if err != nil || len(r.Msg.GetHosts()) != 3 {
			return false
		}
		return !slices.ContainsFunc(r.Msg.GetHosts(), func(h *gliav1.HostSummary) bool {
			return h.GetWorst() != gliav1.State_STATE_HEALTHY || h.GetDiskCount() != 4
		})
	})
	return w
}

// addCeph adds the cluster to the configuration, and lets one fleet see many failures in a row.
func addCeph(t *testing.T, path string, c config.Repairer) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	k := c.Ceph[0]
	if _, err := fmt.Fprintf(f, `
[limits]
window = "1s"
[gates]
storm_disks = 1000
cohort_disks = 1000
breaker_window = "1s"
flap_block = "1s"
flap_host_cases = 1000
[[pool]]
name = "osds"
hosts = ["node-*"]
driver = "ceph"
[[ceph]]
name = %q
fsid = %q
conf = %q
keyring = %q
cluster_name = %q
moving_pgs = %d
latency = "1s"
quiet = "3s"
`, k.Name, k.FSID, k.Conf, k.Keyring, k.ClusterName, k.MovingPGs); err != nil {
		t.Fatal(err)
	}
}

func (w *osdRepairs) deadline() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Minute)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *osdRepairs) ceph(args ...string) string {
	w.t.Helper()
	out, err := w.cluster.Ceph(w.t.Context(), args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(out)
}

// standing is what the cluster must look like before and after: tree, weights, and flags of all kinds.
func (w *osdRepairs) standing() string {
	w.t.Helper()
	var flags struct {
		Set   []string            `json:"flags_set"`
		Nodes map[string][]string `json:"crush_node_flags"`
	}
	if err := json.Unmarshal([]byte(w.ceph("osd", "dump", "-f", "json")), &flags); err != nil {
		w.t.Fatal(err)
	}
	var states strings.Builder
	for _, l := range strings.Split(w.ceph("osd", "dump"), "\n") {
		if f := strings.Fields(l); len(f) > 4 && strings.HasPrefix(l, "osd.") {
			states.WriteString(strings.Join(f[:5], " ") + "\n")
		}
		if strings.Contains(l, "noin") {
			states.WriteString(l + "\n")
		}
	}
	return fmt.Sprintf("%s%sflags %v %v", w.ceph("osd", "tree"), states.String(), flags.Set, flags.Nodes)
}

// repair breaks a disk and sees its repair through. The repairer is killed whenever the entries that its log
// has won, "kind step" each, make kill say so. It returns all entries and the instants of the kills.
func (w *osdRepairs) repair(host string, slot int, kill func(fresh []string) bool) (entries, kills []string) {
	w.t.Helper()
	t, ctx := w.t, w.deadline()
	act := dev.Act{Dir: w.dir, Host: host, Slot: slot}
	skip := len(eventsIn(t, w.db, "kind || ' ' || step"))
	audited := len(w.audit())
	before := w.standing()
	acts := len(w.acts(host))
	serial, _, err := act.Fail()
	if err != nil {
		t.Fatal(err)
	}
	seen, swapped, last := 0, false, "no case"
	closed := func() bool {
		c := w.caseOf(ctx, serial) // before the log is read, so that the log of a closed case is read to its end
		entries = strings.Split(strings.TrimSuffix(eventsIn(t, w.db, "kind || ' ' || step")[skip:], "\n"), "\n")
		if fresh := entries[min(seen, len(entries)):]; len(fresh) > 0 && kill(fresh) {
			seen = len(entries)
			w.process.kill()
			kills = append(kills, entries[seen-1])
			w.process.start()
			return false
		}
		switch {
		case c == nil:
			return false // the repairer is starting
		case c.GetPhase() == "parked":
			t.Fatalf("the case was parked: %s", c.GetWaitingFor())
		case len(c.GetApprovals()) == 0 && slices.ContainsFunc(c.GetRefusals(), func(r *gliav1.Refusal) bool { return r.GetGate() == "witnesses" }):
			// An error is that of a repairer that is starting, or of a plan that has changed: the next round tries again.
			_, _ = w.client.Approve(ctx, connect.NewRequest(&gliav1.ApproveRequest{CaseId: c.GetId(), PlanHash: c.GetPlan().GetHash(), Person: "ann", OsUser: "ann"}))
		case !swapped && c.GetTicket() != "" && c.GetPhase() == "awaiting replacement":
			swapped = true
			if _, err := act.Pull(); err != nil {
				t.Fatal(err)
			}
			if _, err := act.Insert(ctx, "", false, false); err != nil {
				t.Fatal(err)
			}
		}
		last = fmt.Sprintf("%s, waiting for %q, %s", c.GetPhase(), c.GetWaitingFor(), c.GetProgress())
		return c.GetPhase() == "closed"
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s was last %s", serial, last)
		}
	})
	poll(ctx, t, "the end of the repair of "+serial, closed)
	w.check(host, slot, serial, entries, w.audit()[audited:], w.acts(host)[acts:])
	if after := w.standing(); after != before {
		t.Errorf("the cluster is\n%s\nit was\n%s", after, before)
	}
	if err := w.cluster.Verify(ctx, w.objects); err != nil {
		t.Error(err)
	}
	return entries, kills
}

// caseOf is the case of a disk; nil when there is none, or the repairer does not answer.
func (w *osdRepairs) caseOf(ctx context.Context, serial string) *gliav1.Case {
	r, err := w.client.ListCases(ctx, connect.NewRequest(&gliav1.ListCasesRequest{All: true}))
	if err != nil {
		return nil
	}
	for _, c := range r.Msg.GetCases() {
		if c.GetSerial() == serial {
			return c
		}
	}
	return nil
}

// audit are the commands that have changed the cluster, by the monitor's own log.
func (w *osdRepairs) audit() []string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.cluster.Dir, "log", "mon.a.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, m := range audited.FindAllSubmatch(b, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

var audited = regexp.MustCompile(`log_channel\(audit\) .* cmd='\[(.*)\]': finished`)

// acts are the acts that the hand of a host has done, by its own journal.
func (w *osdRepairs) acts(host string) []string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, host, "nerve", "hand", "journal"))
	if err != nil {
		return nil // no order yet
	}
	var out []string
	for line := range bytes.Lines(b) {
		var e struct {
			Event, Verb, Serial string
			On                  bool // of a light
		}
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Fatal(err)
		}
		if e.Event == "begun" {
			out = append(out, fmt.Sprintf("%s %s %v", e.Verb, e.Serial, e.On))
		}
	}
	return out
}

// check compares what one repair has done, as those tell to whom it was done, with what it should do.
func (w *osdRepairs) check(host string, slot int, serial string, entries, audit, acts []string) {
	w.t.Helper()
	t := w.t
	for _, step := range []string{"note", "drain", "stop", "destroy", "deactivate", "ticket", "burn-in", "prepare", "activate", "ramp", "refill", "settle", "close"} {
		if n := count(entries, func(e string) bool { return e == "done "+step }); n != 1 {
			t.Errorf("%s was done %d times", step, n)
		}
	}
	seen := map[string]int{}
	for _, a := range acts {
		seen[a]++
	}
	for a, n := range seen {
		if n != 1 {
			t.Errorf("the hand of %s has begun %q %d times: %q", host, a, n, acts)
		}
	}
	for _, want := range []struct {
		what string
		has  string
		n    int
	}{
		{"destroyed", `"prefix":"osd destroy-actual"`, 1}, {"made", `"prefix": "osd new"`, 1}, {"purged", "purge", 0},
		{"kept out", `"prefix":"osd set-group"`, 1}, {"let in", `"prefix":"osd unset-group"`, 1},
		{"moved in CRUSH", `"prefix":"osd crush add`, 0}, {"weighed anew", `"prefix":"osd crush reweight`, 0}, {"flagged", `"prefix":"osd set"`, 0},
	} {
		if n := count(audit, func(a string) bool {
			return strings.Contains(strings.ReplaceAll(a, ": ", ":"), strings.ReplaceAll(want.has, ": ", ":"))
		}); n != want.n {
			t.Errorf("the OSD was %s %d times, want %d:\n%s", want.what, n, want.n, strings.Join(audit, "\n"))
		}
	}
	w.checkWeights(audit)
	r, err := w.client.ListTickets(t.Context(), connect.NewRequest(&gliav1.ListTicketsRequest{All: true}))
	if err != nil {
		t.Fatal(err)
	}
	if n := count(r.Msg.GetTickets(), func(k *gliav1.Ticket) bool {
		return strings.Contains(k.GetTitle(), serial+" ") && k.GetStatus() == "closed"
	}); n != 1 {
		t.Errorf("%d closed tickets are of %s", n, serial)
	}
}

// checkWeights wants the reweights to go down to 0 and then up to 1, and never the other way.
func (w *osdRepairs) checkWeights(audit []string) {
	w.t.Helper()
	var weights []float64
	for _, a := range audit {
		var cmd struct {
			Prefix string
			Weight float64
		}
		if json.Unmarshal([]byte(a), &cmd) == nil && cmd.Prefix == "osd reweight" {
			weights = append(weights, cmd.Weight)
		}
	}
	empty := slices.Index(weights, 0)
	if empty < 0 || !slices.IsSortedFunc(weights[:empty+1], func(a, b float64) int { return int(1e6 * (b - a)) }) || !slices.IsSorted(weights[empty:]) || weights[len(weights)-1] != 1 {
		w.t.Errorf("the reweight went by %v", weights)
	}
}

func count[T any](list []T, ok func(T) bool) (n int) {
	for _, x := range list {
		if ok(x) {
			n++
		}
	}
	return n
}

func isStep(entry string) bool {
	kind, step, _ := strings.Cut(entry, " ")
	return step != "" && (kind == "begun" || kind == "done")
}

// The repairer is killed with SIGKILL whenever its log shows that a step was begun or done. KILL_ALL=1 goes
// on with a repair for each of these entries, at which alone the repairer is killed then;
// KILL_STEP="done drain, begun stop" is for some of them.
func TestRepairer_KilledAfterEachStepOfAnOSDsRepair(t *testing.T) {
	w := newOSDRepairs(t)
	var points []string
	for point := range strings.SplitSeq(os.Getenv("KILL_STEP"), ",") {
		if point != "" {
			points = append(points, strings.TrimSpace(point))
		}
	}
	if points == nil {
		begun := time.Now()
		entries, kills := w.repair("node-2", 3, func(fresh []string) bool { return slices.ContainsFunc(fresh, isStep) })
		t.Logf("%.0f s, killed %d times: after %s", time.Since(begun).Seconds(), len(kills), strings.Join(kills, ", "))
		if len(kills) < 12 {
			t.Errorf("the repairer was killed %d times", len(kills))
		}
		for _, e := range entries {
			if isStep(e) && !slices.Contains(points, e) && os.Getenv("KILL_ALL") != "" {
				points = append(points, e)
			}
		}
	}
	for n, point := range points {
		begun, killed := time.Now(), false
		_, kills := w.repair(fmt.Sprintf("node-%d", n%3+1), n/3%4+1, func(fresh []string) bool {
			due := !killed && slices.Contains(fresh, point)
			killed = killed || due
			return due
		})
		t.Logf("killed after %q: the same end after %.0f s", point, time.Since(begun).Seconds())
		if len(kills) != 1 {
			t.Errorf("%s: it was killed %d times", point, len(kills))
		}
	}
}
