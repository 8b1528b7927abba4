package repairer_test

import (
	"slices"
	"testing"
	"time"

	"glia"
	"glia/repairer"
)

// good is a case that every gate lets pass, with the facts of that moment.
func good() (repairer.Case, repairer.Facts) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	disk := glia.Disk{Identity: glia.Identity{Serial: "S1", Size: 1000}, Location: glia.Location{Host: "node-1", Slot: "2"}}
	v := glia.Verdict{State: glia.StateFailed, ObservedAt: now, ExpiresAt: now.Add(time.Hour), Reasons: []glia.Reason{
		{Class: glia.Media, State: glia.StateFailed}, {Class: glia.Filesystem, State: glia.StateFailed}}}
	c := repairer.Case{ID: "c1", Phase: repairer.PhaseWaiting, Disk: disk, Verdict: v, Confirmed: true, Plan: &repairer.Plan{Driver: "filesystem", Mode: repairer.ModeAuto, Disk: disk}}
	return c, repairer.Facts{Now: now, ViewAt: now, MaxViewAge: time.Minute, Limits: repairer.Limits{Fleet: 1, Host: 1}, Open: []repairer.Case{c}, OpenStates: []glia.State{glia.StateFailing, glia.StateFailed}}
}

func TestGates_LetAGoodCasePass(t *testing.T) {
	t.Parallel()
	if r := repairer.Gates(good()); len(r) > 0 {
		t.Fatalf("refusals %v", r)
	}
}

func TestGates_Refuse(t *testing.T) {
	t.Parallel()
	other := func(host string) repairer.Case {
		return repairer.Case{ID: "c2", Started: true, Disk: glia.Disk{Identity: glia.Identity{Serial: "S2"}, Location: glia.Location{Host: host}}}
	}
	for _, tc := range []struct {
		name   string
		gates  []string
		change func(*repairer.Case, *repairer.Facts)
	}{
		{"a pause of the fleet", []string{"pause"}, func(_ *repairer.Case, f *repairer.Facts) { f.Pauses = []repairer.Pause{{Scope: "fleet"}} }},
		{"a pause of the host", []string{"pause"}, func(_ *repairer.Case, f *repairer.Facts) { f.Pauses = []repairer.Pause{{Scope: "host:node-1"}} }},
		{"a pause of the disk", []string{"pause"}, func(_ *repairer.Case, f *repairer.Facts) { f.Pauses = []repairer.Pause{{Scope: "disk:S1"}} }},
		{"a pause of another host", nil, func(_ *repairer.Case, f *repairer.Facts) { f.Pauses = []repairer.Pause{{Scope: "host:node-11"}} }},
		{"a pause of its domain", []string{"pause"}, func(_ *repairer.Case, f *repairer.Facts) {
			f.Pauses, f.Domains = []repairer.Pause{{Scope: "domain:r1"}}, []repairer.Domain{{Name: "r1", Hosts: []string{"node-*"}}}
		}},
		{"a pause of another domain", nil, func(_ *repairer.Case, f *repairer.Facts) {
			f.Pauses, f.Domains = []repairer.Pause{{Scope: "domain:r2"}}, []repairer.Domain{{Name: "r1", Hosts: []string{"node-*"}}, {Name: "r2", Hosts: []string{"x-*"}}}
		}},
		{"a stop file", []string{"stop-file"}, func(_ *repairer.Case, f *repairer.Facts) { f.Stop = "/etc/glia/STOP exists" }},
		{"a tripped breaker", []string{"breaker"}, func(_ *repairer.Case, f *repairer.Facts) { f.Breaker = repairer.Breaker{Tripped: true} }},
		{"a tripped breaker and an approval", []string{"breaker"}, func(c *repairer.Case, f *repairer.Facts) {
			f.Breaker, c.Approvals = repairer.Breaker{Tripped: true}, []repairer.Approval{{Hash: c.Plan.Hash()}}
		}},
		{"a storm", []string{"storm"}, func(_ *repairer.Case, f *repairer.Facts) {
			f.Storms = repairer.Storms{"fleet": {Phase: repairer.StormBlowing}}
		}},
		{"a storm that is just over", []string{"storm"}, func(_ *repairer.Case, f *repairer.Facts) {
			f.Storms = repairer.Storms{"fleet": {Phase: repairer.StormCoolDown}}
		}},
		{"a state of the storm that is not known", []string{"storm"}, func(_ *repairer.Case, f *repairer.Facts) { f.Storms = repairer.Storms{"fleet": {Phase: "hail"}} }},
		{"a clock set back by a day", []string{"freshness"}, func(_ *repairer.Case, f *repairer.Facts) { f.Newest = f.Now.Add(24 * time.Hour) }},
		{"a clock that is a little behind", nil, func(_ *repairer.Case, f *repairer.Facts) { f.Newest = f.Now.Add(time.Minute) }},
		{"a hook that was not asked", []string{"hook"}, func(_ *repairer.Case, f *repairer.Facts) { f.Hook = repairer.Answer{Needed: true} }},
		{"a veto of the hook", []string{"hook"}, func(_ *repairer.Case, f *repairer.Facts) {
			f.Hook = repairer.Answer{Needed: true, Asked: true, Veto: "the rack moves today"}
		}},
		{"the consent of the hook", nil, func(_ *repairer.Case, f *repairer.Facts) { f.Hook = repairer.Answer{Needed: true, Asked: true} }},
		{"a pause that is over", nil, func(_ *repairer.Case, f *repairer.Facts) {
			f.Pauses = []repairer.Pause{{Scope: "fleet", Until: f.Now}}
		}},
		{"a protected disk", []string{"protected"}, func(c *repairer.Case, _ *repairer.Facts) { c.Disk.Protected = "carries /" }},
		{"a disk without a place", []string{"identity"}, func(c *repairer.Case, _ *repairer.Facts) { c.Disk.Location.Slot = "" }},
		{"a disk without a size", []string{"identity"}, func(c *repairer.Case, _ *repairer.Facts) { c.Disk.Identity.Size = 0 }},
		{"no plan", []string{"plan"}, func(c *repairer.Case, _ *repairer.Facts) { c.Plan = nil }},
		{"a plan with an obstacle", []string{"plan"}, func(c *repairer.Case, _ *repairer.Facts) { c.Plan.Obstacle = "md0 is built on it" }},
		{"no view", []string{"freshness"}, func(_ *repairer.Case, f *repairer.Facts) { f.ViewAt = time.Time{} }},
		{"an old view", []string{"freshness"}, func(_ *repairer.Case, f *repairer.Facts) { f.ViewAt = f.Now.Add(-61 * time.Second) }},
		{"a view of the future", []string{"freshness"}, func(_ *repairer.Case, f *repairer.Facts) { f.ViewAt = f.Now.Add(61 * time.Second) }},
		{"a verdict of the future", []string{"freshness"}, func(c *repairer.Case, f *repairer.Facts) { c.Verdict.ObservedAt = f.Now.Add(61 * time.Second) }},
		{"a verdict of a clock that is a little ahead", nil, func(c *repairer.Case, f *repairer.Facts) { c.Verdict.ObservedAt = f.Now.Add(time.Minute) }},
		{"a verdict that has expired", []string{"verdict"}, func(c *repairer.Case, f *repairer.Facts) { c.Verdict.ExpiresAt = f.Now.Add(-time.Second) }},
		{"a suspect disk", []string{"verdict", "witnesses"}, func(c *repairer.Case, _ *repairer.Facts) {
			c.Verdict = glia.Verdict{State: glia.StateSuspect}
		}},
		{"one witness", []string{"witnesses"}, func(c *repairer.Case, _ *repairer.Facts) { c.Verdict.Reasons = c.Verdict.Reasons[:1] }},
		{"a cable as second witness", []string{"witnesses"}, func(c *repairer.Case, _ *repairer.Facts) {
			c.Verdict.Reasons = slices.Clone(c.Verdict.Reasons)
			c.Verdict.Reasons[1].Class = glia.Interface
		}},
		{"one witness and an approval", nil, func(c *repairer.Case, _ *repairer.Facts) {
			c.Verdict.Reasons = c.Verdict.Reasons[:1]
			c.Approvals = []repairer.Approval{{Hash: c.Plan.Hash()}}
		}},
		{"one witness and an approval of another plan", []string{"witnesses"}, func(c *repairer.Case, _ *repairer.Facts) {
			c.Verdict.Reasons = c.Verdict.Reasons[:1]
			c.Approvals = []repairer.Approval{{Hash: c.Plan.Hash()}}
			p := *c.Plan
			p.Disk.Identity.Size = 2000
			c.Plan = &p
		}},
		{"another disk of the host in repair", []string{"host-budget", "fleet-budget"}, func(_ *repairer.Case, f *repairer.Facts) { f.Open = append(f.Open, other("node-1")) }},
		{"another disk of the fleet in repair", []string{"fleet-budget"}, func(_ *repairer.Case, f *repairer.Facts) { f.Open = append(f.Open, other("node-2")) }},
		{"a case that has not started takes no budget", nil, func(_ *repairer.Case, f *repairer.Facts) {
			o := other("node-1")
			o.Started = false
			f.Open = append(f.Open, o)
		}},
		{"mode observe", []string{"mode"}, func(c *repairer.Case, _ *repairer.Facts) { c.Plan.Mode = repairer.ModeObserve }},
		{"mode observe, approved", []string{"mode"}, func(c *repairer.Case, _ *repairer.Facts) {
			c.Plan.Mode = repairer.ModeObserve
			c.Approvals = []repairer.Approval{{Hash: c.Plan.Hash()}}
		}},
		{"mode propose", []string{"approval"}, func(c *repairer.Case, _ *repairer.Facts) { c.Plan.Mode = repairer.ModePropose }},
		{"mode propose, approved", nil, func(c *repairer.Case, _ *repairer.Facts) {
			c.Plan.Mode = repairer.ModePropose
			c.Approvals = []repairer.Approval{{Hash: c.Plan.Hash()}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, f := good()
			tc.change(&c, &f)
			var got []string
			for _, r := range repairer.Gates(c, f) {
				got = append(got, r.Gate)
				if r.Value == "" || r.Limit == "" || r.Until == "" {
					t.Errorf("refusal without figure, limit or way out: %+v", r)
				}
			}
			if !slices.Equal(got, tc.gates) {
				t.Errorf("gates %v refuse, want %v", got, tc.gates)
			}
		})
	}
}

func TestPlan_HashBindsFactsAndNotNames(t *testing.T) {
	t.Parallel()
	base := func() repairer.Plan {
		return repairer.Plan{Driver: "filesystem", Disk: glia.Disk{
			Identity: glia.Identity{Serial: "S1", WWN: "w", Size: 1000}, Location: glia.Location{Host: "h", Slot: "2", Device: "sda"},
			Mounts: []glia.Mount{{Source: "sda1", Target: "/data", UUID: "u"}}, Partitions: []glia.Partition{{Name: "sda1", Number: 1}}}}
	}
	for name, tc := range map[string]struct {
		change func(*repairer.Plan)
		same   bool
	}{
		"kernel name":    {func(p *repairer.Plan) { p.Disk.Location.Device = "sdf" }, true},
		"partition name": {func(p *repairer.Plan) { p.Disk.Partitions[0].Name, p.Disk.Mounts[0].Source = "sdf1", "sdf1" }, true},
		"mode":           {func(p *repairer.Plan) { p.Mode = repairer.ModeAuto }, true},
		"serial":         {func(p *repairer.Plan) { p.Disk.Identity.Serial = "S2" }, false},
		"WWN":            {func(p *repairer.Plan) { p.Disk.Identity.WWN = "x" }, false},
		"size":           {func(p *repairer.Plan) { p.Disk.Identity.Size = 1001 }, false},
		"slot":           {func(p *repairer.Plan) { p.Disk.Location.Slot = "3" }, false},
		"mount point":    {func(p *repairer.Plan) { p.Disk.Mounts[0].Target = "/other" }, false},
		"UUID":           {func(p *repairer.Plan) { p.Disk.Mounts[0].UUID = "v" }, false},
		"a step":         {func(p *repairer.Plan) { p.Steps = []repairer.PlanStep{{Name: "x"}} }, false},
	} {
		p := base()
		tc.change(&p)
		if same := p.Hash() == base().Hash(); same != tc.same {
			t.Errorf("%s: same hash is %v, want %v", name, same, tc.same)
		}
	}
}

func TestBackoff_GrowsAndStaysInBounds(t *testing.T) {
	t.Parallel()
	var last time.Duration
	for n := range 12 {
		d := repairer.Backoff(n, time.Second, time.Minute, "c1/drain")
		if d < last*3/4 || d > time.Minute {
			t.Errorf("attempt %d waits %s after %s", n, d, last)
		}
		last = d
	}
	if last < 45*time.Second {
		t.Errorf("the longest wait is %s", last)
	}
	if repairer.Backoff(3, time.Second, time.Minute, "a") == repairer.Backoff(3, time.Second, time.Minute, "b") {
		t.Error("two cases that failed together retry together")
	}
}
