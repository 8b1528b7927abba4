package repairer_test

import (
	"strings"
	"testing"

	"glia"
	"glia/internal/sim"
	"glia/repairer"
)

// What people answer leads to different things, and none of it to a closed case.
func TestEngine_HeedsEachResolution(t *testing.T) {
	t.Parallel()
	resolve := func(w *world, c repairer.Case, resolution string) {
		if _, err := w.tickets.Resolve(w.t.Context(), c.Ticket, resolution, "ann", ""); err != nil {
			w.t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		resolution string
		before     func(w *world) // the ticket is resolved
		parked     string
		said       string
		open       bool
	}{
		"won't do":                       {repairer.ResolutionWontDo, nil, `resolved as "wont-do": the disk is out of use and was not replaced; put it back into use with glia cancel c1`, "", false},
		"duplicate":                      {repairer.ResolutionDuplicate, nil, "", "", false},
		"cannot reproduce, still bad":    {repairer.ResolutionCannotReproduce, nil, "", "N1S2 was looked at again just now and is still failed", true},
		"cannot reproduce, healthy":      {repairer.ResolutionCannotReproduce, func(w *world) { w.fleet.Do("node-1", func(h *sim.Host) { h.Slots["2"].State = glia.StateHealthy }) }, "and now the disk is healthy", "", false},
		"cannot reproduce, out of reach": {repairer.ResolutionCannotReproduce, nil, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.fail("node-1", "2")
			c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
			if tc.before != nil {
				tc.before(w)
			}
			resolve(w, c, tc.resolution)
			if name == "cannot reproduce, out of reach" {
				w.fleet.Do("node-1", func(h *sim.Host) { h.Down = true })
			}
			w.ticks(10)
			w.open()
			w.ticks(5)
			c, err := w.store.Case(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			tk := w.ticket(c)
			if !strings.Contains(c.Parked, tc.parked) || (c.Parked == "") != (tc.parked == "") || tk.Status == repairer.TicketOpen != tc.open {
				t.Fatalf("parked %q, ticket %s %s", c.Parked, tk.Status, tk.Resolution)
			}
			if tc.said != "" && w.said(c, tc.said) != 1 {
				t.Fatalf("comments %v", tk.Comments)
			}
			if tc.open { // and once more
				resolve(w, c, tc.resolution)
				w.phase("N1S2", repairer.PhaseParked)
				return
			}
			if tc.parked == "" {
				w.fleet.Do("node-1", func(h *sim.Host) { h.Down = false })
				w.swap("node-1", "2", blank("NEW1"))
				w.phase("N1S2", repairer.PhaseClosed)
			}
		})
	}
}
