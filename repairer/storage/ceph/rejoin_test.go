package ceph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
	"glia/repairer/storage/ceph"
)

// newUUID is of an OSD that is made in place of the old one.
const newUUID = "11111111-2222-4333-8444-555555555555"

// attempts is a cluster and a hand of which a test says what a step sees, and which keep what it did.
type attempts struct {
	canned
	during func() // what happens while the hand is asked
	did    []string
}

func (a *attempts) Mgr(ctx context.Context, cmd ceph.Command) ([]byte, error) {
	if cmd["prefix"] == "osd safe-to-destroy" {
		return []byte(`{"safe_to_destroy":[2],"active":[],"missing_stats":[],"stored_pgs":[]}`), nil
	}
	if cmd["prefix"] == "osd destroy-actual" || cmd["prefix"] == "osd destroy" {
		a.did = append(a.did, "destroy")
		a.say("exists", "new", "destroyed")
	}
	return a.canned.Mon(ctx, cmd, nil)
}

// say makes osd.2 one that is in the map with that state, of a uuid that is not the old one.
func (a *attempts) say(state ...string) {
	a.set(func(o map[string]any) {
		o["state"], o["up"], o["in"], o["weight"] = state, 0, 0, 0
		if !slices.Contains(state, "destroyed") {
			o["uuid"] = newUUID
		}
	})
}

// set changes osd.2 in the map.
func (a *attempts) set(change func(osd map[string]any)) {
	var doc map[string]any
	if err := json.Unmarshal(a.canned["osd dump"], &doc); err != nil {
		panic(err)
	}
	change(doc["osds"].([]any)[2].(map[string]any))
	a.canned["osd dump"], _ = json.Marshal(doc)
}

func (a *attempts) Mon(ctx context.Context, cmd ceph.Command, in []byte) ([]byte, error) {
	if cmd["prefix"] == "osd out" || strings.HasSuffix(fmt.Sprint(cmd["prefix"]), "-device-class") {
		a.did = append(a.did, fmt.Sprint(cmd["prefix"]))
	}
	return a.canned.Mon(ctx, cmd, in)
}

func (*attempts) Disks(context.Context, string) ([]glia.DiskStatus, error) { return nil, nil }

func (*attempts) Probe(context.Context, string, string) (glia.DiskStatus, error) {
	return glia.DiskStatus{}, nil
}

func (*attempts) Fence(context.Context, string, uint64) error { return nil }

func (a *attempts) Execute(_ context.Context, _ string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	a.did = append(a.did, strings.TrimPrefix(o.GetVerb().String(), "VERB_"))
	if a.during != nil {
		a.during()
	}
	return &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_RUNNING}, nil
}

// rejoining is a case of osd.2 that has a new disk.
func rejoining(t *testing.T, fresh time.Duration) (*attempts, *ceph.Driver, repairer.Case) {
	t.Helper()
	a := &attempts{canned: grown(t, 24)}
	m := must(t, ceph.DecodeMap, "osd-dump")
	d := ceph.New(a, []ceph.Settings{{Name: "test", FSID: m.FSID, HostName: "ceph", Cluster: a, Fresh: fresh}}, time.Now, slog.New(slog.DiscardHandler))
	old := glia.Disk{
		Identity: glia.Identity{Serial: "OLD", Size: 1 << 40}, Location: glia.Location{Host: "h0", ByPath: "bay2"},
		OSDs: []glia.OSD{{ID: 2, UUID: m.OSDs[2].UUID, Cluster: m.FSID, Role: glia.RoleBlock, Mode: glia.ModeRaw}},
	}
	fitted := old
	fitted.Identity.Serial, fitted.OSDs = "NEW", nil
	plan := d.Plan(old)
	if plan.Obstacle != "" {
		t.Fatal(plan.Obstacle)
	}
	c := repairer.Case{ID: "c1", Store: "test", Disk: old, Plan: &plan, Started: true, Replacement: &fitted, Steps: map[string]repairer.StepState{}, Facts: map[string]string{}}
	a.say("exists", "destroyed")
	p, err := doStep(t, d, c, "note")
	if err != nil || p.Refused != "" || !p.Done {
		t.Fatalf("note: %+v, %v", p, err)
	}
	c.Facts = p.Facts
	return a, d, c
}

func doStep(t *testing.T, d *ceph.Driver, c repairer.Case, step string) (repairer.Progress, error) {
	t.Helper()
	i := slices.IndexFunc(c.Plan.Steps, func(s repairer.PlanStep) bool { return s.Name == step })
	return d.Do(t.Context(), repairer.Act{Case: c, Step: c.Plan.Steps[i], Epoch: 1})
}

// After an attempt that failed, a new OSD is either what that attempt has left, or what the hand makes in the
// next one. The log tells which: it says that another attempt is made before the hand hears of it.
func TestPrepare_GivesUpWhatAFailedAttemptLeftAndNothingElse(t *testing.T) {
	t.Parallel()
	const again, givenUp = "another one is made", "is given up"
	for _, tt := range []struct {
		name  string
		step  repairer.StepState // as the log has it
		state []string           // of osd.2
		did   string
		waits string
	}{
		{"first attempt", repairer.StepState{}, []string{"exists", "destroyed"}, "OSD_PREPARE", ""},
		{"first attempt, under way", repairer.StepState{}, []string{"exists", "new"}, "OSD_PREPARE", ""},
		{"failed, id left claimed", repairer.StepState{Error: "mkfs", Attempts: 1}, []string{"exists", "new"}, "destroy", givenUp},
		{"given up, seen late", repairer.StepState{Error: "osd.2 is left claimed by a preparation that did not succeed, and is given up", Waits: true, Attempts: 1}, []string{"exists", "new"}, "destroy", givenUp},
		{"failed, nothing left", repairer.StepState{Error: "mkfs", Attempts: 1}, []string{"exists", "destroyed"}, "", again},
		{"given up, nothing left", repairer.StepState{Error: "osd.2 is left claimed by a preparation that did not succeed, and is given up", Waits: true, Attempts: 1}, []string{"exists", "destroyed"}, "", again},
		{"another attempt", repairer.StepState{Error: "nothing is left of the attempt before, and " + again, Waits: true, Attempts: 1}, []string{"exists", "destroyed"}, "OSD_PREPARE", ""},
		{"another attempt, under way", repairer.StepState{Error: "nothing is left of the attempt before, and " + again, Waits: true, Attempts: 1}, []string{"exists", "new"}, "OSD_PREPARE", ""},
		{"another attempt, goes on", repairer.StepState{Attempts: 1}, []string{"exists", "new"}, "OSD_PREPARE", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, d, c := rejoining(t, 0)
			tt.step.Begun = true
			c.Steps["prepare"] = tt.step
			a.say(tt.state...)
			a.did = nil
			p, err := doStep(t, d, c, "prepare")
			if did := strings.Join(a.did, " "); err != nil || did != tt.did || p.Refused != "" || !strings.Contains(p.Waits, tt.waits) || (tt.waits == "") != (p.Waits == "") {
				t.Errorf("did %q, %+v, %v; want %q, waiting for %q", did, p, err, tt.did, tt.waits)
			}
		})
	}
}

// An id that was made anew is in. A repairer that was killed before it had taken the id out does not give it its place
// while it is.
func TestPrepare_TakesAnIDOutBeforeItGivesItItsPlace(t *testing.T) {
	t.Parallel()
	a, d, c := rejoining(t, 0)
	c.Steps["prepare"] = repairer.StepState{Begun: true, Error: "mkfs", Attempts: 1}
	a.say("exists", "new")
	a.set(func(o map[string]any) { o["uuid"], o["in"], o["weight"] = "00000000-0000-4000-8000-000000000002", 1, 1 })
	a.did = nil
	p, err := doStep(t, d, c, "prepare")
	if did := strings.Join(a.did, ", "); err != nil || did != "osd out, destroy" || !strings.Contains(p.Waits, "is given up") {
		t.Errorf("did %q, %+v, %v", did, p, err)
	}
}

// A repairer that was killed when the class was taken away gives the noted one all the same.
func TestRamp_GivesTheNotedClass(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ has, did string }{
		{"ssd", "osd crush rm-device-class, osd crush set-device-class"},
		{"", "osd crush set-device-class"},
	} {
		a, d, c := rejoining(t, 0)
		a.say("exists", "up")
		a.set(func(o map[string]any) { o["up"] = 1 })
		a.canned["pg ls-by-osd"] = a.canned["pg ls"]
		tree := string(a.canned["osd tree"])
		before := `"crush_weight":7.27,"device_class":"hdd","id":2,`
		if !strings.Contains(tree, before) {
			t.Fatalf("the tree has no %s: %s", before, tree)
		}
		a.canned["osd tree"] = []byte(strings.Replace(tree, before, strings.Replace(before, "hdd", tt.has, 1), 1))
		a.did = nil
		p, err := doStep(t, d, c, "ramp")
		if did := strings.Join(a.did, ", "); err != nil || did != tt.did || p.Done {
			t.Errorf("of class %q: did %q, %+v, %v; want %q", tt.has, did, p, err, tt.did)
		}
	}
}

// What the hand has changed is seen by the next step, however fresh the last look is.
func TestActivate_SeesWhatTheHandHasPrepared(t *testing.T) {
	t.Parallel()
	a, d, c := rejoining(t, time.Hour)
	a.say("exists", "destroyed")
	a.during = func() { a.say("exists", "new") }
	c.Steps["prepare"] = repairer.StepState{Begun: true}
	if p, err := doStep(t, d, c, "prepare"); err != nil || p.Refused != "" || fmt.Sprint(a.did) != "[OSD_PREPARE]" {
		t.Fatalf("prepare did %v: %+v, %v", a.did, p, err)
	}
	if p, err := doStep(t, d, c, "activate"); err != nil || p.Refused != "" {
		t.Errorf("activate: %+v, %v", p, err)
	}
}

// What parks a case is seen at that moment, and not by another case a moment before.
func TestDriver_RefusesNothingByAnOldLook(t *testing.T) {
	t.Parallel()
	a, d, c := rejoining(t, time.Hour)
	a.say("exists", "destroyed")
	d.Survey(t.Context()) // looks
	a.say("exists", "new")
	if p, err := doStep(t, d, c, "activate"); err != nil || p.Refused != "" {
		t.Errorf("activate: %+v, %v", p, err)
	}
	d.Survey(t.Context())
	a.say("exists", "destroyed")
	a.did = nil
	if p, err := doStep(t, d, c, "activate"); err != nil || p.Refused != "" || len(a.did) != 1 {
		t.Errorf("by a look that is fresh enough: %+v, %v, did %v", p, err, a.did)
	}
	if p, err := doStep(t, d, c, "activate"); err != nil || !strings.Contains(p.Refused, "is not prepared") {
		t.Errorf("a true refusal: %+v, %v", p, err)
	}
}
