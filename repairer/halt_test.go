package repairer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
)

// held waits until the gate holds the case of the serial back.
func (w *world) held(serial, gate string) repairer.Case {
	w.t.Helper()
	return w.until(serial, "held by "+gate, func(c repairer.Case) bool {
		return slices.ContainsFunc(c.Refusals, func(r repairer.Refusal) bool { return r.Gate == gate })
	})
}

// quiet ticks and makes sure that nothing is done meanwhile.
func (w *world) quiet(why string) {
	w.t.Helper()
	before := w.fleet.Acts()
	w.ticks(20)
	if got := w.fleet.Acts(); !slices.Equal(got, before) {
		w.t.Fatalf("%s, and yet %q were done", why, got[len(before):])
	}
}

func TestEngine_StopFileStopsEverything(t *testing.T) {
	t.Parallel()
	stop := filepath.Join(t.TempDir(), "STOP")
	w := newWorld(t, func(o *repairer.Options) { o.StopFile = stop })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseDraining)
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.fail("node-2", "2")
	w.quiet("there is a stop file")
	w.held("N1S2", repairer.GateStop)
	if _, err := w.store.LastCase(t.Context(), "N2S2"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("a case was opened: %v", err)
	}
	if err := os.Remove(stop); err != nil {
		t.Fatal(err)
	}
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}

func TestEngine_StopFileStopsTheUndoing(t *testing.T) {
	t.Parallel()
	stop := filepath.Join(t.TempDir(), "STOP")
	w := newWorld(t, func(o *repairer.Options) { o.StopFile = stop })
	w.fail("node-1", "2")
	w.cancel(w.phase("N1S2", repairer.PhaseAwaitingReplacement))
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.quiet("there is a stop file")
	if err := os.Remove(stop); err != nil {
		t.Fatal(err)
	}
	w.phase("N1S2", repairer.PhaseCancelled)
}

func TestEngine_BreakerIsLatchedUntilAPersonResetsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) {
		o.Limits = repairer.Limits{}
		o.Breakers = repairer.BreakerLimits{Window: time.Hour, Starts: 1}
	})
	api := w.serve()
	reset := func(person, reason string) error {
		_, err := api.ResetBreaker(t.Context(), connect.NewRequest(&gliav1.ResetBreakerRequest{Person: person, Reason: reason}))
		return err
	}
	wantCode(t, reset("ann", "just so"), connect.CodeFailedPrecondition, "has not tripped")
	w.fail("node-1", "1")
	w.fail("node-2", "1")
	w.fail("node-3", "1")
	w.until("N3S1", "held", func(repairer.Case) bool {
		r, err := api.GetStatus(t.Context(), connect.NewRequest(&gliav1.GetStatusRequest{}))
		return err == nil && r.Msg.GetBreaker().GetTripped()
	})
	w.quiet("the breaker has tripped")
	w.now = w.now.Add(3 * time.Hour)
	w.open()
	w.quiet("the breaker had tripped before the restart")
	api = w.serve()
	if p, err := api.PlanRepair(t.Context(), connect.NewRequest(&gliav1.PlanRepairRequest{Serial: "N1S2"})); err != nil || p.Msg.GetRefusals()[0].GetGate() != "breaker" {
		t.Errorf("the plan of another disk: %v, %v", p, err)
	}
	wantCode(t, reset("", "x"), connect.CodeInvalidArgument, "a person and a reason")
	wantCode(t, reset("ann", ""), connect.CodeInvalidArgument, "a person and a reason")
	if err := reset("ann", "a bad release, taken back"); err != nil {
		t.Fatal(err)
	}
	w.phase("N1S1", repairer.PhaseAwaitingReplacement)
}

func TestEngine_FalseAlarmsTripTheBreaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Breakers = repairer.BreakerLimits{Window: time.Hour, FalseAlarms: 1} })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", blank("NEW1"))
	c := w.phase("N1S2", repairer.PhaseClosed)
	if _, err := w.serve().RecordOutcome(t.Context(), connect.NewRequest(&gliav1.RecordOutcomeRequest{CaseId: c.ID, Outcome: "false-alarm", Person: "ann"})); err != nil {
		t.Fatal(err)
	}
	w.fail("node-2", "2")
	w.held("N2S2", repairer.GateBreaker)
	w.open()
	w.quiet("the breaker has tripped")
}

// What the breaker was reset for does not trip it again, also when the case of it goes on and the repairer is
// started anew.
func TestEngine_AFalseAlarmKeepsItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Breakers = repairer.BreakerLimits{Window: time.Hour, FalseAlarms: 1} })
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.fleet.Do("node-1", func(h *sim.Host) { delete(h.Slots, "2") })
	w.until("N1S2", "removed", func(c repairer.Case) bool { return c.Removed })
	told := w.now
	if _, err := w.serve().RecordOutcome(t.Context(), connect.NewRequest(&gliav1.RecordOutcomeRequest{CaseId: c.ID, Outcome: "false-alarm", Person: "ann"})); err != nil {
		t.Fatal(err)
	}
	w.ticks(2)
	w.quiet("the breaker has tripped")
	if _, err := w.serve().ResetBreaker(t.Context(), connect.NewRequest(&gliav1.ResetBreakerRequest{Person: "ann", Reason: "one bad rule"})); err != nil {
		t.Fatal(err)
	}
	w.swap("node-1", "2", blank("NEW1"))
	c = w.phase("N1S2", repairer.PhaseSettling)
	w.open()
	w.ticks(2)
	if r, err := w.serve().GetStatus(t.Context(), connect.NewRequest(&gliav1.GetStatusRequest{})); err != nil || r.Msg.GetBreaker().GetTripped() {
		t.Errorf("after a restart the breaker is %v, %v", r.Msg.GetBreaker(), err)
	}
	if !c.OutcomeAt.Equal(told) {
		t.Errorf("the outcome was told at %s, the case says %s", told, c.OutcomeAt)
	}
}

func TestEngine_RackWithoutPowerIsOneFinding(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) {
		o.Limits.AFR, o.Limits.Window = 0.015, day
		o.Storms = repairer.StormLimits{Disks: 3, HostShare: 0.1, Hosts: 3, CoolDown: 10 * time.Second}
	})
	w.fleet = sim.NewFleet(func() time.Time { return w.now }, 40)
	for i := range 40 {
		w.fleet.Do(fmt.Sprintf("node-%d", i+1), func(h *sim.Host) {
			for s := 5; s <= 36; s++ {
				h.Slots[fmt.Sprint(s)] = &sim.Disk{Serial: fmt.Sprintf("N%dS%d", i+1, s), Size: 1000, State: glia.StateHealthy, Content: "x", Mounted: fmt.Sprint("/data/", s)}
			}
		})
	}
	w.open()
	all := func(change func(*sim.Host)) {
		for i := range 40 {
			w.fleet.Do(fmt.Sprintf("node-%d", i+1), change)
		}
	}
	w.ticks(2)
	// First the disks go, while their hosts still run on what is in their power supplies.
	all(func(h *sim.Host) {
		for _, d := range h.Slots {
			d.Fail()
		}
	})
	w.ticks(3)
	all(func(h *sim.Host) { h.Down = true })
	w.quiet("the rack has no power")
	cases, err := w.store.Cases(t.Context(), true)
	if err != nil || len(cases) > 0 {
		t.Errorf("%d cases, %v", len(cases), err)
	}
	if f := w.engine.Findings(); len(f) != 1 || !strings.Contains(f[0], "40 of 40 hosts are gone") {
		t.Errorf("findings %q", f)
	}
	// The power is back, and one disk did not survive it.
	all(func(h *sim.Host) {
		h.Down = false
		for _, d := range h.Slots {
			if d.Serial != "N7S7" {
				d.State, d.Witnesses = glia.StateHealthy, nil
			}
		}
	})
	w.held("N7S7", repairer.GateStorm)
	w.phase("N7S7", repairer.PhaseAwaitingReplacement)
	if list, _ := w.tickets.Tickets(t.Context(), true); len(list) != 1 {
		t.Errorf("%d tickets", len(list))
	}
}

func TestEngine_StormSurvivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) {
		o.Storms = repairer.StormLimits{HostShare: 0.5, Hosts: 2, CoolDown: 30 * time.Second}
	})
	for _, h := range []string{"node-2", "node-3"} {
		w.fleet.Do(h, func(h *sim.Host) { h.Down = true })
	}
	w.tick()
	for _, h := range []string{"node-2", "node-3"} {
		w.fleet.Do(h, func(h *sim.Host) { h.Down = false })
	}
	w.fail("node-1", "2")
	w.open()
	w.quiet("a storm was on before the restart")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}

func TestEngine_FlapAsksForAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Flap = repairer.FlapLimits{Block: time.Hour} })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", blank("NEW1"))
	w.phase("N1S2", repairer.PhaseClosed)
	w.fail("node-1", "2")
	w.fail("node-2", "2")
	c := w.held("NEW1", repairer.GateFlap)
	w.phase("N2S2", repairer.PhaseAwaitingReplacement)
	w.open()
	w.quiet("the place had a repair within the hour")
	if _, err := w.serve().Approve(t.Context(), connect.NewRequest(&gliav1.ApproveRequest{CaseId: c.ID, PlanHash: c.Plan.Hash(), Person: "ann"})); err != nil {
		t.Fatal(err)
	}
	w.phase("NEW1", repairer.PhaseAwaitingReplacement)
}

func TestEngine_ClockSetBackByADayStartsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "1")
	w.phase("N1S1", repairer.PhaseAwaitingReplacement)
	w.now = w.now.Add(-day)
	w.fail("node-2", "2")
	w.quiet("the clock was set back")
	if _, err := w.store.LastCase(t.Context(), "N2S2"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("a case was opened: %v", err)
	}
	w.now = w.now.Add(day)
	w.phase("N2S2", repairer.PhaseAwaitingReplacement)
}

// By the clock of such a host its verdicts would be good for a day, whoever looks at its disks meanwhile.
func TestEngine_ClockOfAHostThatIsAheadOpensNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fleet.Do("node-1", func(h *sim.Host) { h.Ahead = day })
	w.fail("node-1", "2")
	w.quiet("the clock of the host is ahead")
	if _, err := w.store.LastCase(t.Context(), "N1S2"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("a case was opened: %v", err)
	}
	if f := w.engine.Findings(); len(f) != 1 || !strings.Contains(f[0], "a clock of node-1 that agrees") {
		t.Errorf("findings %q", f)
	}
	w.fleet.Do("node-1", func(h *sim.Host) { h.Ahead = 0 })
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}

// A case that goes on after the clock was set back writes younger times. Over a restart, the repairer still
// knows of the older ones.
func TestEngine_ClockSetBackIsNoticedAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "1")
	w.phase("N1S1", repairer.PhaseAwaitingReplacement)
	w.now = w.now.Add(2 * time.Hour)
	w.fleet.Do("node-1", func(h *sim.Host) { delete(h.Slots, "1") })
	w.until("N1S1", "taken out", func(c repairer.Case) bool { return c.Removed })
	w.now = w.now.Add(-time.Hour)
	w.swap("node-1", "1", blank("NEW1"))
	w.until("N1S1", "inspected", func(c repairer.Case) bool { return c.Inspections > 0 })
	w.open()
	w.fail("node-2", "2")
	w.ticks(20)
	if _, err := w.store.LastCase(t.Context(), "N2S2"); !errors.Is(err, glia.ErrNotFound) {
		t.Errorf("a case was opened: %v", err)
	}
	w.now = w.now.Add(time.Hour)
	w.phase("N2S2", repairer.PhaseAwaitingReplacement)
}

func TestEngine_HookIsAskedLastAndCanRefuse(t *testing.T) {
	t.Parallel()
	asked, veto := 0, "the rack moves today"
	mode := repairer.ModeObserve
	w := newWorld(t, func(o *repairer.Options) {
		o.Mode = mode
		o.Hook = func(_ context.Context, p repairer.Plan) string { asked++; return veto }
	})
	w.fail("node-1", "2")
	w.held("N1S2", repairer.GateMode)
	w.quiet("the mode is observe")
	if asked > 0 {
		t.Fatal("the hook was run although another gate refuses")
	}
	mode = repairer.ModeAuto
	w.open()
	if c := w.held("N1S2", repairer.GateHook); c.Refusals[0].Value != veto {
		t.Errorf("refusal %v", c.Refusals[0])
	}
	w.quiet("the hook refuses")
	if asked != 1 {
		t.Errorf("the hook was run %d times within its pause", asked)
	}
	veto = ""
	w.now = w.now.Add(time.Minute)
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}

func TestEngine_BrokenStateStopsTheTick(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"breaker", "storms"} {
		w := newWorld(t, nil)
		w.fail("node-1", "2")
		if err := w.store.Set(t.Context(), key, "{", repairer.Event{}); err != nil {
			t.Fatal(err)
		}
		if err := w.engine.TickOnce(t.Context()); err == nil || !strings.Contains(err.Error(), "read the "+key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestEngine_Metrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Domains = []repairer.Domain{{Name: "r1", Hosts: []string{"node-1"}}} })
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(w.engine)
	w.fail("node-1", "1")
	w.phase("N1S1", repairer.PhaseAwaitingReplacement)
	w.fail("node-1", "2")
	w.held("N1S2", repairer.GateHostBudget)
	w.tick()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := ""
			for _, l := range m.GetLabel() {
				label = l.GetValue()
			}
			if v := m.GetGauge().GetValue() + m.GetCounter().GetValue(); v != 0 && f.GetName() != "glia_budget_limit" {
				got = append(got, fmt.Sprint(f.GetName(), " ", label, " ", v))
			}
		}
	}
	want := []string{
		"glia_budget_used domain:r1 1", "glia_budget_used fleet 1", "glia_budget_used host:node-1 1", "glia_budget_used model:SIM 1", "glia_budget_used units 1",
		"glia_cases awaiting replacement 1", "glia_cases waiting 1", "glia_gate_refusals_total host-budget 1", "glia_storm_state normal 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}
