package repairer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
	"glia/repairer/storage/filesystem"
	"glia/repairer/store"
	"glia/repairer/ticket"
)

// world is a repairer on a simulated fleet, a real SQLite file and a clock that the test turns.
type world struct {
	t       *testing.T
	now     time.Time
	fleet   *sim.Fleet
	path    string
	store   *store.SQLite
	tickets *ticket.Builtin
	engine  *repairer.Engine
	change  func(*repairer.Options)
}

func newWorld(t *testing.T, change func(*repairer.Options)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), path: filepath.Join(t.TempDir(), "glia.db"), change: change}
	w.fleet = sim.NewFleet(func() time.Time { return w.now }, 3)
	w.open()
	t.Cleanup(func() { _ = w.store.Close() })
	return w
}

// open starts the repairer, as after a crash when it ran before.
func (w *world) open() {
	w.t.Helper()
	if w.store != nil {
		_ = w.store.Close()
	}
	s, err := store.OpenSQLite(w.t.Context(), w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	now := func() time.Time { return w.now }
	w.store, w.tickets = s, ticket.New(s.DB(), now)
	o := repairer.Options{
		Store: s, Feed: w.fleet, Hosts: w.fleet, Tracker: w.tickets, Drivers: map[string]repairer.Driver{"": filesystem.New(w.fleet)},
		Mode: repairer.ModeAuto, Limits: repairer.Limits{Fleet: 2, Host: 1}, States: []glia.State{glia.StateFailing, glia.StateFailed},
		Tick: time.Second, Settle: 10 * time.Second, CoolDown: time.Minute, MaxViewAge: time.Minute, RetryMin: time.Second, RetryMax: time.Minute, Attempts: 3,
		Now: now, Log: slog.New(slog.DiscardHandler),
	}
	if w.change != nil {
		w.change(&o)
	}
	w.engine = repairer.New(o)
}

// until ticks, a second each, until the case of the serial satisfies ok.
func (w *world) until(serial, what string, ok func(repairer.Case) bool) repairer.Case {
	w.t.Helper()
	for range 100 {
		if c, err := w.store.LastCase(w.t.Context(), serial); err == nil && ok(c) {
			return c
		}
		w.tick()
	}
	c, err := w.store.LastCase(w.t.Context(), serial)
	w.t.Fatalf("case of %s never became %s; it is %s, waiting for %q (%v)", serial, what, c.Phase, c.WaitingFor(), err)
	return c
}

func (w *world) phase(serial string, p repairer.Phase) repairer.Case {
	w.t.Helper()
	return w.until(serial, string(p), func(c repairer.Case) bool { return c.Phase == p })
}

func (w *world) tick() {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	if err := w.engine.TickOnce(w.t.Context()); err != nil && !errors.Is(err, errCut) {
		w.t.Fatal(err)
	}
}

func (w *world) ticks(n int) {
	w.t.Helper()
	for range n {
		w.tick()
	}
}

func (w *world) fail(host, slot string) {
	w.fleet.Do(host, func(h *sim.Host) { h.Slots[slot].Fail() })
}

// swap puts another disk in the slot.
func (w *world) swap(host, slot string, d *sim.Disk) {
	w.fleet.Do(host, func(h *sim.Host) { h.Slots[slot] = d })
}

func blank(serial string) *sim.Disk {
	return &sim.Disk{Serial: serial, Size: 1000, State: glia.StateHealthy}
}

var errCut = errors.New("cut off")

func (w *world) texts(c repairer.Case) string {
	w.t.Helper()
	events, err := w.store.Events(w.t.Context(), c.ID, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %s\n", e.Kind, e.Step, e.Text)
	}
	return b.String()
}

func TestEngine_CarriesAFailedDiskToAClosedCase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	tk, err := w.tickets.Ticket(t.Context(), c.Ticket)
	if err != nil || !strings.Contains(tk.Title, "N1S2") || !strings.Contains(tk.Body, "SAFE TO PULL") {
		t.Fatalf("ticket %+v, %v", tk, err)
	}
	w.swap("node-1", "2", blank("NEW1"))
	c = w.phase("N1S2", repairer.PhaseClosed)
	if c.Replacement.Serial() != "NEW1" {
		t.Errorf("replacement is %s", c.Replacement.Serial())
	}
	want := []string{"drain N1S2", "unmount N1S2", "burn_in NEW1", "format NEW1", "mount NEW1", "rejoin NEW1"}
	if got := w.fleet.Acts(); !slices.Equal(got, want) {
		t.Errorf("acts\n got %q\nwant %q", got, want)
	}
	if tk, _ = w.tickets.Ticket(t.Context(), c.Ticket); tk.Status != repairer.TicketClosed {
		t.Errorf("ticket is %s", tk.Status)
	}
	w.ticks(5)
	if cases, _ := w.store.Cases(t.Context(), true); len(cases) != 1 {
		t.Errorf("%d cases", len(cases))
	}
}

func TestEngine_LogsEachActBeforeItHappens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fleet.Fault = func(o *gliav1.Order, after bool) error {
		if after || o.GetVerb() == gliav1.Verb_VERB_INSPECT {
			return nil
		}
		step := strings.Split(o.GetKey(), "/")[2]
		events, err := w.store.Events(context.Background(), o.GetCaseId(), 0)
		if err != nil || !slices.ContainsFunc(events, func(e repairer.Event) bool { return e.Kind == repairer.KindBegun && e.Step == step }) {
			t.Errorf("order %s came before its line in the log (%v)", o.GetKey(), err)
		}
		return nil
	}
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", blank("NEW1"))
	w.phase("N1S2", repairer.PhaseClosed)
}

// The answer to every order in turn is lost, before or after it was carried out, and the repairer
// starts anew: the end is the same, and everything was done once.
func TestEngine_SurvivesALostAnswerAtEveryOrder(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for cut := range 11 {
			t.Run(fmt.Sprintf("after=%v/order %d", after, cut), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				n := 0
				w.fleet.Fault = func(o *gliav1.Order, a bool) error {
					if a != after {
						return nil
					}
					if n++; n == cut+1 {
						return errCut
					}
					return nil
				}
				w.fail("node-1", "2")
				for range 30 {
					w.tick()
					w.open()
				}
				w.phase("N1S2", repairer.PhaseAwaitingReplacement)
				w.swap("node-1", "2", blank("NEW1"))
				for range 60 {
					w.tick()
					w.open()
				}
				w.phase("N1S2", repairer.PhaseClosed)
				want := []string{"drain N1S2", "unmount N1S2", "burn_in NEW1", "format NEW1", "mount NEW1", "rejoin NEW1"}
				if got := w.fleet.Acts(); !slices.Equal(got, want) {
					t.Errorf("acts\n got %q\nwant %q", got, want)
				}
				if list, _ := w.tickets.Tickets(t.Context(), true); len(list) != 1 {
					t.Errorf("%d tickets", len(list))
				}
			})
		}
	}
}

func TestEngine_RefusesWrongReplacements(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		disk *sim.Disk
		slot string
		want string
	}{
		{"smaller", &sim.Disk{Serial: "SMALL", Size: 999, State: glia.StateHealthy}, "2", "it has 999 bytes, 1000 are needed"},
		{"with a foreign filesystem", &sim.Disk{Serial: "USED", Size: 1000, State: glia.StateHealthy, Content: "ntfs"}, "2", "it carries ntfs"},
		{"in another slot", blank("ELSE"), "9", "ELSE is in slot 9; the old disk was in slot 2"},
		{"failing itself", &sim.Disk{Serial: "BAD", Size: 1000, State: glia.StateFailed}, "2", "the new disk is failed"},
		{"not probed yet", &sim.Disk{Serial: "NEW", Size: 1000}, "2", "the new disk is unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.fail("node-1", "2")
			c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
			acts := w.fleet.Acts()
			w.fleet.Do("node-1", func(h *sim.Host) { delete(h.Slots, "2"); h.Slots[tc.slot] = tc.disk })
			if _, err := w.tickets.Resolve(t.Context(), c.Ticket, "done", "tech", ""); err != nil {
				t.Fatal(err)
			}
			c = w.until("N1S2", "rejecting", func(c repairer.Case) bool { return c.Rejected != nil && c.Rejected.Serial == tc.disk.Serial })
			w.ticks(20)
			if !strings.Contains(strings.Join(c.Rejected.Findings, "; "), tc.want) {
				t.Errorf("findings %q, want %q", c.Rejected.Findings, tc.want)
			}
			if got := w.fleet.Acts(); !slices.Equal(got, acts) {
				t.Errorf("something was done: %q", got)
			}
			tk, _ := w.tickets.Ticket(t.Context(), c.Ticket)
			if tk.Status != repairer.TicketOpen || !strings.Contains(fmt.Sprint(tk.Comments), tc.want) {
				t.Errorf("ticket is %s with %v", tk.Status, tk.Comments)
			}
			if n := strings.Count(w.texts(c), tc.want); n != 1 {
				t.Errorf("the reason stands %d times in the log", n)
			}
			w.fleet.Do("node-1", func(h *sim.Host) { delete(h.Slots, tc.slot); h.Slots["2"] = blank("GOOD") })
			w.phase("N1S2", repairer.PhaseClosed)
		})
	}
}

func TestEngine_RefusesTheOldDiskPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	var old *sim.Disk
	w.fleet.Do("node-1", func(h *sim.Host) { old = h.Slots["2"]; delete(h.Slots, "2") })
	w.until("N1S2", "removed", func(c repairer.Case) bool { return c.Removed })
	w.swap("node-1", "2", old)
	c := w.until("N1S2", "rejecting", func(c repairer.Case) bool { return c.Rejected != nil })
	if !strings.Contains(c.Rejected.Findings[0], "the old disk N1S2 is in slot 2") {
		t.Errorf("findings %q", c.Rejected.Findings)
	}
}

func TestEngine_HaltsWhenTheWrongDiskIsPulled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	var wrong *sim.Disk
	w.fleet.Do("node-1", func(h *sim.Host) { wrong = h.Slots["3"]; delete(h.Slots, "3") })
	c := w.until("N1S2", "alarmed", func(c repairer.Case) bool { return strings.HasPrefix(c.Alarm, "WRONG DISK: N1S3") })
	w.swap("node-1", "2", blank("NEW1"))
	w.ticks(20)
	if c, _ = w.store.Case(t.Context(), c.ID); c.Replacement != nil {
		t.Fatal("the case went on while the wrong disk was out")
	}
	w.swap("node-1", "3", wrong)
	w.phase("N1S2", repairer.PhaseClosed)
}

// Two disks of one host are in repair, and one of them is done first. Its old disk was taken out for that.
func TestEngine_HaltsForNoDiskThatWasReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Limits = repairer.Limits{} })
	w.fail("node-1", "2")
	w.fail("node-1", "3")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.phase("N1S3", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "3", blank("NEW3"))
	w.phase("N1S3", repairer.PhaseClosed)
	w.ticks(5)
	w.swap("node-1", "2", blank("NEW2"))
	c := w.phase("N1S2", repairer.PhaseClosed)
	if log := w.texts(c); strings.Contains(log, "WRONG DISK") {
		t.Errorf("log\n%s", log)
	}
}

func TestEngine_HoldsBudgets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, d := range [][2]string{{"node-1", "1"}, {"node-1", "2"}, {"node-2", "1"}, {"node-3", "1"}} {
		w.fail(d[0], d[1])
	}
	for range 30 {
		w.tick()
		cases, err := w.store.Cases(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		all, hosts := 0, map[string]int{}
		for _, c := range cases {
			if c.Started {
				all++
				hosts[c.Host()]++
			}
		}
		if all > 2 || hosts["node-1"] > 1 {
			t.Fatalf("%d cases started, by host %v", all, hosts)
		}
	}
	cases, _ := w.store.Cases(t.Context(), false)
	for _, c := range cases {
		held := slices.ContainsFunc(c.Refusals, func(r repairer.Refusal) bool {
			return r.Gate == repairer.GateHostBudget || r.Gate == repairer.GateFleet
		})
		if held == c.Started {
			t.Errorf("%s: started %v, refusals %v", c.Serial(), c.Started, c.Refusals)
		}
	}
}

func TestEngine_Modes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode repairer.Mode
		gate string
	}{{repairer.ModeObserve, repairer.GateMode}, {repairer.ModePropose, repairer.GateApproval}} {
		t.Run(string(tc.mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *repairer.Options) { o.Mode = tc.mode })
			w.fail("node-1", "2")
			c := w.until("N1S2", "held", func(c repairer.Case) bool { return len(c.Refusals) > 0 })
			w.ticks(20)
			if c.Refusals[0].Gate != tc.gate || len(w.fleet.Acts()) != 0 {
				t.Fatalf("refusals %v, acts %v", c.Refusals, w.fleet.Acts())
			}
			if list, _ := w.tickets.Tickets(t.Context(), true); len(list) != 0 {
				t.Errorf("%d tickets", len(list))
			}
		})
	}
}

func TestEngine_OneWitnessIsNotEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fleet.Do("node-1", func(h *sim.Host) {
		h.Slots["2"].Fail()
		h.Slots["2"].Witnesses = []glia.EvidenceClass{glia.Media}
	})
	c := w.until("N1S2", "held", func(c repairer.Case) bool { return len(c.Refusals) > 0 })
	w.ticks(10)
	if c.Refusals[0].Gate != repairer.GateWitnesses || len(w.fleet.Acts()) != 0 {
		t.Fatalf("refusals %v, acts %v", c.Refusals, w.fleet.Acts())
	}
}

func TestEngine_NothingIsRepairedOnWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*sim.Host){
		"unknown":   func(h *sim.Host) { h.Slots["2"].State = glia.StateUnknown },
		"suspect":   func(h *sim.Host) { h.Slots["2"].State = glia.StateSuspect },
		"missing":   func(h *sim.Host) { delete(h.Slots, "2") },
		"protected": func(h *sim.Host) { h.Slots["2"].Fail(); h.Slots["2"].Protected = "carries /" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.ticks(2)
			w.fleet.Do("node-1", change)
			w.ticks(20)
			if cases, _ := w.store.Cases(t.Context(), true); len(cases) != 0 || len(w.fleet.Acts()) != 0 {
				t.Errorf("cases %v, acts %v", cases, w.fleet.Acts())
			}
		})
	}
}

func TestEngine_HostThatStopsAnsweringIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.fleet.Do("node-1", func(h *sim.Host) { h.Down = true })
	c := w.until("N1S2", "held", func(c repairer.Case) bool { return len(c.Refusals) > 0 })
	events := c.Seq
	w.ticks(50)
	if c, _ = w.store.Case(t.Context(), c.ID); c.Seq != events || c.Phase != repairer.PhaseAwaitingReplacement {
		t.Errorf("phase %s, %d events while nothing changed", c.Phase, c.Seq-events)
	}
	w.fleet.Do("node-1", func(h *sim.Host) { h.Down = false; h.Slots["2"] = blank("NEW1") })
	w.phase("N1S2", repairer.PhaseClosed)
}

func TestEngine_ClearedVerdictSupersedes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Mode = repairer.ModePropose })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingApproval)
	w.fleet.Do("node-1", func(h *sim.Host) { h.Slots["2"].State, h.Slots["2"].Witnesses = glia.StateHealthy, nil })
	w.phase("N1S2", repairer.PhaseSuperseded)
}

func TestEngine_PauseStopsNewActs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if _, err := w.store.AddPause(t.Context(), repairer.Pause{Scope: "host:node-1", Owner: "ops", Reason: "moving racks", Since: w.now}); err != nil {
		t.Fatal(err)
	}
	w.fail("node-1", "2")
	w.fail("node-2", "2")
	w.phase("N2S2", repairer.PhaseAwaitingReplacement)
	if slices.ContainsFunc(w.fleet.Acts(), func(a string) bool { return strings.Contains(a, "N1S2") }) {
		t.Fatalf("acts %v", w.fleet.Acts())
	}
	if _, err := w.store.EndPauses(t.Context(), "host:node-1", "ops", "moved", w.now); err != nil {
		t.Fatal(err)
	}
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}
