package repairer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

func TestEngine_CancelPutsTheDiskBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		phase repairer.Phase
		acts  []string
	}{
		{"before anything was done", repairer.PhaseWaiting, nil},
		{"after the disk was released", repairer.PhaseAwaitingReplacement, []string{"drain N1S2", "unmount N1S2", "mount N1S2", "rejoin N1S2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.fail("node-1", "2")
			c := w.phase("N1S2", tc.phase)
			w.cancel(c)
			c = w.phase("N1S2", repairer.PhaseCancelled)
			if got := w.fleet.Acts(); !slices.Equal(got, tc.acts) {
				t.Errorf("acts\n got %q\nwant %q", got, tc.acts)
			}
			if c.Ticket != "" {
				if tk, _ := w.tickets.Ticket(t.Context(), c.Ticket); tk.Status != repairer.TicketClosed || !strings.Contains(fmt.Sprint(tk.Comments), "Do not pull N1S2") {
					t.Errorf("ticket %s: %v", tk.Status, tk.Comments)
				}
			}
			w.ticks(30)
			if last, _ := w.store.LastCase(t.Context(), "N1S2"); last.ID != c.ID || len(w.engine.Findings()) != 1 {
				t.Errorf("case %s follows %s at once; findings %v", last.ID, c.ID, w.engine.Findings())
			}
			w.until("N1S2", "opened again", func(n repairer.Case) bool { return n.ID != c.ID })
		})
	}
}

func TestEngine_CancelOfADiskThatCanNotBeMountedAgainEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.fleet.Fault = func(o *gliav1.Order, _ bool) error {
		if o.GetVerb() == gliav1.Verb_VERB_MOUNT {
			return errors.New("can not read superblock")
		}
		return nil
	}
	w.cancel(c)
	c = w.phase("N1S2", repairer.PhaseCancelled)
	if !strings.Contains(c.NotRestored, "remount-old did not succeed in 3 attempts: can not read superblock") {
		t.Errorf("not restored: %q", c.NotRestored)
	}
}

func TestEngine_ParksAfterSoManyAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	busy := true
	w.fleet.Fault = func(o *gliav1.Order, after bool) error {
		if busy && !after && o.GetVerb() == gliav1.Verb_VERB_UNMOUNT {
			return errors.New("used by process 17 (java)")
		}
		return nil
	}
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseParked)
	if want := "unmount did not succeed in 3 attempts: used by process 17 (java); mend it, then glia unpark c1"; c.Parked != want {
		t.Errorf("parked: %q, want %q", c.Parked, want)
	}
	seq := c.Seq
	w.ticks(20)
	if c, _ = w.store.Case(t.Context(), c.ID); c.Seq != seq {
		t.Errorf("%d events while parked", c.Seq-seq)
	}
	busy = false
	if _, err := w.store.Append(t.Context(), repairer.Event{Case: c.ID, At: w.now, Kind: repairer.KindUnparked, Text: "ann: stopped it"}); err != nil {
		t.Fatal(err)
	}
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}

func (w *world) cancel(c repairer.Case) {
	w.t.Helper()
	if why := repairer.Cancellable(c); why != "" {
		w.t.Fatal(why)
	}
	if _, err := w.store.Append(w.t.Context(), repairer.Event{Case: c.ID, At: w.now, Kind: repairer.KindCancel, Text: "ann: no spare"}); err != nil {
		w.t.Fatal(err)
	}
}

func TestEngine_StepWaitsForItsHostHoweverLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	lost := true
	w.fleet.Fault = func(o *gliav1.Order, after bool) error {
		if lost && !after && o.GetVerb() == gliav1.Verb_VERB_UNMOUNT {
			return fmt.Errorf("node-1: %w", glia.ErrUnreachable)
		}
		return nil
	}
	w.fail("node-1", "2")
	c := w.until("N1S2", "waiting for its host", func(c repairer.Case) bool { return strings.HasPrefix(c.Step("unmount").Error, "waits for node-1") })
	seq := c.Seq
	for range 100 {
		w.now = w.now.Add(time.Hour)
		w.tick()
	}
	if c, _ = w.store.Case(t.Context(), c.ID); c.Phase != repairer.PhaseDrained || c.Seq != seq {
		t.Errorf("after days without the host: phase %s, %d events", c.Phase, c.Seq-seq)
	}
	lost = false
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
}
