package repairer_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
)

// next lists, for each phase, the phases that may follow it directly.
var next = map[repairer.Phase][]repairer.Phase{
	"":                                {repairer.PhaseOpened},
	repairer.PhaseOpened:              {repairer.PhaseConfirming, repairer.PhaseCancelled},
	repairer.PhaseConfirming:          {repairer.PhaseWaiting, repairer.PhaseSuperseded, repairer.PhaseCancelled},
	repairer.PhaseWaiting:             {repairer.PhaseAwaitingApproval, repairer.PhaseDraining, repairer.PhaseSuperseded, repairer.PhaseCancelled},
	repairer.PhaseAwaitingApproval:    {repairer.PhaseWaiting, repairer.PhaseDraining, repairer.PhaseSuperseded, repairer.PhaseCancelled},
	repairer.PhaseDraining:            {repairer.PhaseDrained, repairer.PhaseParked, repairer.PhaseCancelled},
	repairer.PhaseDrained:             {repairer.PhaseReleased, repairer.PhaseParked, repairer.PhaseCancelled},
	repairer.PhaseReleased:            {repairer.PhaseAwaitingReplacement, repairer.PhaseParked, repairer.PhaseCancelled},
	repairer.PhaseAwaitingReplacement: {repairer.PhaseInspecting, repairer.PhaseRejoining, repairer.PhaseParked, repairer.PhaseCancelled},
	repairer.PhaseInspecting:          {repairer.PhaseRejoining, repairer.PhaseAwaitingReplacement, repairer.PhaseParked, repairer.PhaseCancelled},
	repairer.PhaseRejoining:           {repairer.PhaseSettling, repairer.PhaseAwaitingReplacement, repairer.PhaseParked},
	repairer.PhaseSettling:            {repairer.PhaseClosed, repairer.PhaseParked},
	repairer.PhaseParked:              {repairer.PhaseDraining, repairer.PhaseDrained, repairer.PhaseReleased, repairer.PhaseAwaitingReplacement, repairer.PhaseInspecting, repairer.PhaseRejoining, repairer.PhaseSettling},
}

// Each life costs a database; make sim plays thousands of them. A count on the command line comes after
// this one and wins.
func init() {
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
}

// Anything may happen to a fleet, in any order; after each tick the promises hold.
func TestEngine_KeepsItsPromisesWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, func(o *repairer.Options) { o.CoolDown = 5 * time.Second })
		defer func() { _ = w.store.Close() }()
		blankSerials := map[string]bool{}
		w.fleet.Fault = func(o *gliav1.Order, after bool) error {
			if !after && o.GetVerb() == gliav1.Verb_VERB_FORMAT && !blankSerials[o.GetSerial()] {
				rt.Fatalf("format was ordered for %s, which is no new disk", o.GetSerial())
			}
			return nil
		}
		phases := map[string]repairer.Phase{}
		spare := 0
		for range rapid.IntRange(10, 40).Draw(rt, "steps") {
			host := fmt.Sprintf("node-%d", rapid.IntRange(1, 3).Draw(rt, "host"))
			slot := fmt.Sprint(rapid.IntRange(1, 4).Draw(rt, "slot"))
			switch rapid.SampledFrom([]string{"fail", "heal", "pull", "insert", "insert used", "down", "up", "pause", "resume", "cancel", "crash", "tick", "tick", "tick", "tick"}).Draw(rt, "what") {
			case "fail":
				w.fleet.Do(host, func(h *sim.Host) {
					if d := h.Slots[slot]; d != nil {
						d.Fail()
					}
				})
			case "heal":
				w.fleet.Do(host, func(h *sim.Host) {
					if d := h.Slots[slot]; d != nil {
						d.State, d.Witnesses = glia.StateHealthy, nil
					}
				})
			case "pull":
				w.fleet.Do(host, func(h *sim.Host) { delete(h.Slots, slot) })
			case "insert", "insert used":
				spare++
				d := blank(fmt.Sprintf("NEW%d", spare))
				switch {
				case spare%3 == 0:
					d.Content = "ntfs"
				case spare%5 == 0:
					d.NoWrites = true // no filesystem is ever made on it
				default:
					blankSerials[d.Serial] = true
				}
				w.fleet.Do(host, func(h *sim.Host) {
					if h.Slots[slot] == nil {
						h.Slots[slot] = d
					}
				})
			case "down", "up":
				w.fleet.Do(host, func(h *sim.Host) { h.Down = !h.Down })
			case "pause":
				if _, err := w.store.AddPause(t.Context(), repairer.Pause{Scope: "host:" + host, Owner: "o", Reason: "r", Since: w.now}); err != nil {
					rt.Fatal(err)
				}
			case "resume":
				if _, err := w.store.EndPauses(t.Context(), "host:"+host, "o", "r", w.now); err != nil {
					rt.Fatal(err)
				}
			case "cancel":
				cases, _ := w.store.Cases(t.Context(), false)
				for _, c := range cases {
					if c.Host() == host && repairer.Cancellable(c) == "" {
						w.cancel(c)
					}
				}
			case "crash":
				w.open()
			}
			w.now = w.now.Add(time.Second)
			if err := w.engine.TickOnce(t.Context()); err != nil {
				rt.Fatal(err)
			}
			check(rt, w, phases)
		}
	})
}

func check(rt *rapid.T, w *world, phases map[string]repairer.Phase) {
	cases, err := w.store.Cases(w.t.Context(), true)
	if err != nil {
		rt.Fatal(err)
	}
	open, started, perHost := map[string]int{}, 0, map[string]int{}
	for _, c := range cases {
		if !c.Phase.Ended() {
			open[c.Serial()]++
			if c.Started {
				started++
				perHost[c.Host()]++
			}
		}
		if open[c.Serial()] > 1 {
			rt.Fatalf("%s has two open cases", c.Serial())
		}
		events, err := w.store.Events(w.t.Context(), c.ID, 0)
		if err != nil {
			rt.Fatal(err)
		}
		var folded repairer.Case
		begun := map[string]bool{}
		for _, e := range events {
			was := folded.Phase
			if folded, err = repairer.Apply(folded, e); err != nil {
				rt.Fatal(err)
			}
			if folded.Phase != was && !slices.Contains(next[was], folded.Phase) {
				rt.Fatalf("case %s went from %s to %s by %s", c.ID, was, folded.Phase, e.Kind)
			}
			begun[e.Step] = begun[e.Step] || e.Kind == repairer.KindBegun
			if e.Kind == repairer.KindDone && e.Step != repairer.StepSettle && !begun[e.Step] {
				rt.Fatalf("case %s: %s was done and never begun", c.ID, e.Step)
			}
		}
		a, _ := json.Marshal(folded)
		b, _ := json.Marshal(c)
		if string(a) != string(b) {
			rt.Fatalf("the log folds to\n%s\nthe row is\n%s", a, b)
		}
		phases[c.ID] = c.Phase
	}
	if started > 2 {
		rt.Fatalf("%d cases are started, the limit is 2", started)
	}
	for h, n := range perHost {
		if n > 1 {
			rt.Fatalf("%d cases of %s are started, the limit is 1", n, h)
		}
	}
	tickets, err := w.tickets.Tickets(w.t.Context(), true)
	if err != nil {
		rt.Fatal(err)
	}
	perCase := map[string]int{}
	for _, tk := range tickets {
		if perCase[tk.Case]++; perCase[tk.Case] > 1 {
			rt.Fatalf("case %s has two tickets", tk.Case)
		}
	}
	for _, a := range w.fleet.Acts() {
		if verb, serial, _ := strings.Cut(a, " "); verb == "unmount" && strings.HasPrefix(serial, "NEW") && !hasCase(cases, serial) {
			rt.Fatalf("%s was unmounted without a case", serial)
		}
	}
}

func hasCase(cases []repairer.Case, serial string) bool {
	return slices.ContainsFunc(cases, func(c repairer.Case) bool { return c.Serial() == serial })
}
