package filesystem_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
	"glia/repairer/storage/filesystem"
)

func disk(change func(*glia.Disk)) glia.Disk {
	d := glia.Disk{
		Identity: glia.Identity{Serial: "S1", Size: 1000}, Location: glia.Location{Host: "h", Slot: "2", Device: "sdb"},
		Mounts: []glia.Mount{{Source: "sdb", Target: "/data/2", FSType: "xfs", Options: "rw,noatime", Label: "d2", UUID: "6b1d2c6e-0000-4000-8000-000000000001"}},
	}
	if change != nil {
		change(&d)
	}
	return d
}

func TestDriver_PlansOneFilesystemOnOneDisk(t *testing.T) {
	t.Parallel()
	p := filesystem.New(nil).Plan(disk(nil))
	if p.Obstacle != "" || len(p.Warnings) > 0 {
		t.Fatalf("obstacle %q, warnings %v", p.Obstacle, p.Warnings)
	}
	var names []string
	for _, s := range p.Steps {
		names = append(names, string(s.Stage)+":"+s.Name)
	}
	if want := []string{"drain:drain", "release:unmount", "rejoin:burn-in", "rejoin:format", "rejoin:mount", "rejoin:rejoin", "restore:remount-old", "restore:rejoin-old"}; !slices.Equal(names, want) {
		t.Errorf("steps %v", names)
	}
	burnIn, format := p.Steps[2], p.Steps[3]
	if burnIn.Order.Verb != gliav1.Verb_VERB_BURN_IN || !burnIn.Order.New || burnIn.Order.MinSize != 1000 || burnIn.Reversible {
		t.Errorf("burn-in %+v", burnIn)
	}
	if f := format.Order.Filesystem; f.Label != "d2" || f.Type != "xfs" || f.Target != "/data/2" || f.Options != "rw,noatime" || f.UUID == "" || f.UUID == p.Disk.Mounts[0].UUID {
		t.Errorf("filesystem %+v", f)
	}
	if format.Order.MinSize != 1000 || !format.Order.New || format.Reversible {
		t.Errorf("format %+v", format)
	}
	if again := filesystem.New(nil).Plan(disk(nil)); again.Hash() != p.Hash() {
		t.Error("the same disk gives another plan")
	}
	if other := filesystem.New(nil).Plan(disk(func(d *glia.Disk) { d.Identity.Serial = "S2" })); other.Steps[3].Order.Filesystem.UUID == format.Order.Filesystem.UUID {
		t.Error("two disks give one new UUID")
	}
}

func TestDriver_Obstacles(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*glia.Disk){
		"md0 (md) is built on it":                                 func(d *glia.Disk) { d.Holders = []glia.Holder{{Name: "md0", Kind: "md"}} },
		"it carries swap":                                         func(d *glia.Disk) { d.Swap = []string{"sdb1"} },
		"no filesystem of it is mounted":                          func(d *glia.Disk) { d.Mounts = nil },
		"it is mounted in several places: /data/2, /data/3":       func(d *glia.Disk) { d.Mounts = append(slices.Clone(d.Mounts), glia.Mount{Target: "/data/3"}) },
		"it has 2 partitions":                                     func(d *glia.Disk) { d.Partitions = make([]glia.Partition, 2) },
		"its filesystem is btrfs; this driver makes ext4 and xfs": func(d *glia.Disk) { d.Mounts[0].FSType = "btrfs" },
		"the UUID of the filesystem on /data/2 is not known":      func(d *glia.Disk) { d.Mounts[0].UUID = "" },
	} {
		p := filesystem.New(nil).Plan(disk(change))
		if !strings.HasPrefix(p.Obstacle, want) || len(p.Steps) > 0 {
			t.Errorf("obstacle %q with %d steps, want %q", p.Obstacle, len(p.Steps), want)
		}
	}
}

func TestDriver_Warnings(t *testing.T) {
	t.Parallel()
	p := filesystem.New(nil).Plan(disk(func(d *glia.Disk) { d.Mounts[0].Source, d.Mounts[0].Label = "sdb1", "" }))
	all := strings.Join(p.Warnings, "\n")
	if !strings.Contains(all, "it will take the whole disk") || !strings.Contains(all, "change that line to UUID=") {
		t.Errorf("warnings %q", p.Warnings)
	}
}

// hosts answers every order with one response and keeps the order.
type hosts struct {
	repairer.Hosts
	answer *gliav1.ExecuteResponse
	err    error
	got    *gliav1.Order
}

func (h *hosts) Execute(_ context.Context, _ string, o *gliav1.Order) (*gliav1.ExecuteResponse, error) {
	h.got = o
	return h.answer, h.err
}

func TestDriver_DoReadsTheHandsAnswer(t *testing.T) {
	t.Parallel()
	boom := errors.New("no route to host")
	for name, tc := range map[string]struct {
		answer  *gliav1.ExecuteResponse
		err     error
		done    bool
		refused string
		waits   string
		fails   string
	}{
		"done":        {answer: &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE}, done: true},
		"running":     {answer: &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_RUNNING}},
		"waits":       {answer: &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_RUNNING, Reason: "disk S1 is busy with another order"}, waits: "disk S1 is busy with another order"},
		"refused":     {answer: &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_REFUSED, Reason: "it is protected"}, refused: "it is protected"},
		"failed":      {answer: &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_FAILED, Reason: "used by java"}, fails: "unmount on h: used by java"},
		"no state":    {answer: &gliav1.ExecuteResponse{}, fails: "the hand answered ORDER_STATE_UNSPECIFIED"},
		"unreachable": {err: boom, fails: "no route to host"},
	} {
		h := &hosts{answer: tc.answer, err: tc.err}
		d := filesystem.New(h)
		plan := d.Plan(disk(nil))
		p, err := d.Do(t.Context(), repairer.Act{Case: repairer.Case{ID: "c1", Store: "db", Disk: disk(nil), Plan: &plan}, Step: plan.Steps[1], Epoch: 7})
		if p.Done != tc.done || p.Refused != tc.refused || p.Waits != tc.waits || (err != nil) != (tc.fails != "") || (err != nil && !strings.Contains(err.Error(), tc.fails)) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if o := h.got; o.GetEpoch() != 7 || o.GetKey() != "db/c1/unmount" || o.GetSerial() != "S1" || o.GetPlace() != "slot 2" || o.GetVerb() != gliav1.Verb_VERB_UNMOUNT || o.GetFilesystem().GetTarget() != "/data/2" {
			t.Errorf("%s: order %v", name, o)
		}
	}
}

func TestDriver_NewDiskIsNamedByItself(t *testing.T) {
	t.Parallel()
	h := &hosts{answer: &gliav1.ExecuteResponse{State: gliav1.OrderState_ORDER_STATE_DONE}}
	d := filesystem.New(h)
	plan := d.Plan(disk(nil))
	act := repairer.Act{Case: repairer.Case{ID: "c1", Store: "db", Disk: disk(nil), Plan: &plan}, Step: plan.Steps[3]}
	if _, err := d.Do(t.Context(), act); err == nil || h.got != nil {
		t.Errorf("a format without an accepted disk: %v, order %v", err, h.got)
	}
	act.Case.Replacement = &glia.Disk{Identity: glia.Identity{Serial: "NEW"}, Location: glia.Location{Slot: "2"}}
	if _, err := d.Do(t.Context(), act); err != nil {
		t.Fatal(err)
	}
	if o := h.got; o.GetSerial() != "NEW" || o.GetKey() != "db/c1/format/NEW" || !slices.Equal(o.GetRetired(), []string{"S1"}) || o.GetMinSize() != 1000 {
		t.Errorf("order %v", o)
	}
}

// Only what the burn-in says of the disk itself makes it unfit.
func TestDriver_BurnInJudgesTheDisk(t *testing.T) {
	t.Parallel()
	const failed, refused = gliav1.OrderState_ORDER_STATE_FAILED, gliav1.OrderState_ORDER_STATE_REFUSED
	for name, tc := range map[string]struct {
		step   int
		state  gliav1.OrderState
		reason string
		unfit  bool
		final  bool
		away   bool
	}{
		"write error":      {2, failed, "burn-in: write to /dev/sdb at byte 0: input/output error", true, true, false},
		"not blank":        {2, refused, "can not be used: disk is not blank: ext4", true, false, false},
		"not there":        {2, refused, "can not be told yet: disk NEW is not found on this host", false, false, true},
		"gone meanwhile":   {2, failed, "can not be told yet: disk NEW is not found on this host", false, false, true},
		"interrupted":      {2, failed, "interrupted: nerve stops", false, false, false},
		"an older nerve":   {2, refused, "order is not valid: verb 7 is not known to this nerve", false, false, false},
		"format, not it":   {3, refused, "can not be used: disk is not blank: ext4", false, false, false},
		"format, an error": {3, failed, "burn-in: of a kind", false, false, false},
	} {
		d := filesystem.New(&hosts{answer: &gliav1.ExecuteResponse{State: tc.state, Reason: tc.reason}})
		plan := d.Plan(disk(nil))
		c := repairer.Case{ID: "c1", Store: "db", Disk: disk(nil), Plan: &plan, Replacement: &glia.Disk{Identity: glia.Identity{Serial: "NEW"}}}
		p, err := d.Do(t.Context(), repairer.Act{Case: c, Step: plan.Steps[tc.step]})
		var u *repairer.UnfitError
		if errors.As(err, &u) != tc.unfit || tc.unfit && (u.Final != tc.final || u.Reason != tc.reason) || p.Done {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		var a *repairer.AwayError
		if errors.As(err, &a) != tc.away || tc.away && a.Reason != "disk NEW is not found on this host" {
			t.Errorf("%s: away is %v", name, err)
		}
	}
}
