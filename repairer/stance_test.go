package repairer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"glia/repairer"
)

// says is the first line of the ticket.
func (w *world) says(c repairer.Case) string {
	w.t.Helper()
	line, _, _ := strings.Cut(w.ticket(c).Body, "\n")
	return line
}

func TestEngine_TicketSaysWhatMayBeDoneNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Announce = true; o.Link = "https://wiki/glia?case={case}" })
	w.fail("node-1", "2")
	shown := func(s repairer.Stance) repairer.Case {
		t.Helper()
		return w.until("N1S2", "shown as "+string(s), func(c repairer.Case) bool { return c.Shown == s })
	}
	c := shown(repairer.StanceWait)
	if acts := w.fleet.Acts(); len(acts) > 0 || c.Phase != repairer.PhaseDraining || w.says(c) != "DO NOT PULL YET: the disk is still in use; this ticket changes when it may be pulled." {
		t.Errorf("%s after %q: %s", c.Phase, acts, w.says(c))
	}
	c = w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	if w.says(c) != "SAFE TO PULL: the disk is out of use." || !strings.Contains(w.ticket(c).Body, "Case: c1 https://wiki/glia?case=c1\n") {
		t.Errorf("ticket %s", w.ticket(c).Body)
	}
	w.ticks(2)
	if w.said(c, "SAFE TO PULL: the disk is out of use.") != 1 {
		t.Errorf("comments %v", w.ticket(c).Comments)
	}
	neighbour := w.pull("node-1", "3")
	c = shown(repairer.StanceStop)
	if !strings.HasPrefix(w.says(c), "STOP: WRONG DISK: N1S3 disappeared from node-1") {
		t.Error(w.says(c))
	}
	w.swap("node-1", "3", neighbour)
	shown(repairer.StancePull)
	w.swap("node-1", "2", blank("NEW1"))
	c = shown(repairer.StanceTest)
	if w.says(c) != "DO NOT PULL: NEW1 is in the place and is being put into use." {
		t.Error(w.says(c))
	}
	c = shown(repairer.StanceDone)
	if w.says(c) != "NOTHING TO DO: NEW1 is in place of N1S2, and is watched before this ticket is closed." {
		t.Error(w.says(c))
	}
	w.phase("N1S2", repairer.PhaseClosed)
	if list, err := w.tickets.Tickets(t.Context(), true); err != nil || len(list) != 1 {
		t.Errorf("%d tickets, %v", len(list), err)
	}
}

// A tracker that is away when the case starts holds up nothing but the ticket, and one that loses answers gets
// one ticket.
func TestEngine_AnnouncesWithoutWaiting(t *testing.T) {
	t.Parallel()
	for _, lose := range []bool{false, true} {
		down, lost := !lose, lose
		w := newWorld(t, func(o *repairer.Options) {
			o.Announce = true
			o.Tracker = downTracker{o.Tracker, &down, &lost}
		})
		w.fail("node-1", "2")
		c := w.phase("N1S2", repairer.PhaseReleased)
		if c.Ticket != "" || len(w.fleet.Acts()) != 2 {
			t.Errorf("ticket %q after %q", c.Ticket, w.fleet.Acts())
		}
		down, lost = false, false
		w.now = w.now.Add(time.Hour)
		c = w.phase("N1S2", repairer.PhaseAwaitingReplacement)
		if list, err := w.tickets.Tickets(t.Context(), true); err != nil || len(list) != 1 || w.says(c) != "SAFE TO PULL: the disk is out of use." {
			t.Errorf("%d tickets, %s, %v", len(list), w.says(c), err)
		}
	}
}

// Whoever has prepared for the swap is told when it is called off, also when nobody knows whether the ticket was filed.
func TestEngine_CallsOffWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	for _, lose := range []bool{false, true} {
		down, lost := false, lose
		w := newWorld(t, func(o *repairer.Options) {
			o.Announce = true
			o.Tracker = downTracker{o.Tracker, &down, &lost}
		})
		w.fail("node-1", "2")
		c := w.until("N1S2", "announced", func(c repairer.Case) bool { return c.Step(repairer.StepAnnounce).Begun })
		w.cancel(c)
		lost = false
		w.now = w.now.Add(time.Hour)
		c = w.phase("N1S2", repairer.PhaseCancelled)
		tk := w.ticket(c)
		if tk.Status != repairer.TicketClosed || w.said(c, "Do not pull N1S2: the repair was cancelled by ann") != 1 {
			t.Errorf("ticket %+v", tk)
		}
	}
}

// A tracker that takes no changes of the text does not hold up the repair.
func TestEngine_RepairsWhileTheTextCanNotBeChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Tracker = noText{o.Tracker} })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", blank("NEW1"))
	w.until("N1S2", "settling", func(c repairer.Case) bool { return c.Phase == repairer.PhaseSettling })
}

type noText struct{ repairer.Tracker }

func (noText) Update(context.Context, string, string, string) error { return errAway }
