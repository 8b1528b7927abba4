package repairer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
)

// downTracker is a tracker that is away for a while. While lost, it does what it is told, and the answer is lost.
type downTracker struct {
	repairer.Tracker
	down, lost *bool
}

var errAway = errors.New("tracker is away")

func (d downTracker) do(act func() error) error {
	if *d.down {
		return errAway
	}
	if err := act(); err != nil || !*d.lost {
		return err
	}
	return errAway
}

func (d downTracker) File(ctx context.Context, key string, t repairer.Ticket) (id string, err error) {
	err = d.do(func() error { id, err = d.Tracker.File(ctx, key, t); return err })
	return id, err
}

func (d downTracker) Comment(ctx context.Context, key, id, text string) error {
	return d.do(func() error { return d.Tracker.Comment(ctx, key, id, text) })
}

func (d downTracker) Reopen(ctx context.Context, key, id, text string) error {
	return d.do(func() error { return d.Tracker.Reopen(ctx, key, id, text) })
}

func (d downTracker) Close(ctx context.Context, key, id, text string) error {
	return d.do(func() error { return d.Tracker.Close(ctx, key, id, text) })
}

// A tracker is away for hours at every stage: nothing is lost, nothing is told twice or out of order, the
// case goes on where it can, and nobody has to unpark it.
func TestEngine_TellsTheTicketInOrderOnceItAnswers(t *testing.T) {
	t.Parallel()
	down, lost := true, false
	w := newWorld(t, func(o *repairer.Options) { o.Tracker = downTracker{o.Tracker, &down, &lost} })
	outage := func() {
		t.Helper()
		w.ticks(5)
		w.now = w.now.Add(3 * time.Hour)
		w.ticks(60)
		w.open()
		w.ticks(5)
	}
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseReleased)
	outage()
	if c, _ := w.store.LastCase(t.Context(), "N1S2"); c.Parked != "" || !strings.Contains(c.WaitingFor(), "waits for the tracker: ") {
		t.Fatalf("parked %q, waiting for %q", c.Parked, c.WaitingFor())
	}
	down = false
	w.now = w.now.Add(time.Hour)
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)

	down = true
	neighbour := w.pull("node-1", "3")
	w.until("N1S2", "alarmed", func(c repairer.Case) bool { return c.Alarm != "" })
	w.swap("node-1", "3", neighbour)
	w.until("N1S2", "calm", func(c repairer.Case) bool { return c.Alarm == "" })
	w.swap("node-1", "2", &sim.Disk{Serial: "USED", Size: 1000, Content: "ntfs"})
	w.until("N1S2", "rejected", func(c repairer.Case) bool { return c.Rejected != nil })
	outage()
	s, err := w.serve().GetStatus(t.Context(), connect.NewRequest(&gliav1.GetStatusRequest{}))
	if u := s.Msg.GetUndelivered(); err != nil || u.GetCount() < 3 || u.GetOldest() == nil || u.GetProblem() != errAway.Error() {
		t.Errorf("undelivered %v, %v", u, err)
	}
	down, lost = false, true // now every answer is lost once
	w.now = w.now.Add(time.Hour)
	w.ticks(3)
	lost = false
	w.now = w.now.Add(time.Hour)
	w.ticks(10)

	// Resolved too early, while the tracker is away: it is opened again once it answers, and resolved anew.
	if _, err := w.serve().ResolveTicket(t.Context(), connect.NewRequest(&gliav1.ResolveTicketRequest{Id: c.Ticket, Resolution: "done", Person: "tech"})); err != nil {
		t.Fatal(err)
	}
	down = true
	outage()
	down = false
	w.now = w.now.Add(time.Hour)
	w.ticks(10)
	tk, err := w.tickets.Ticket(t.Context(), c.Ticket)
	if err != nil || tk.Status != repairer.TicketOpen {
		t.Errorf("ticket is %s, %v", tk.Status, err)
	}
	w.swap("node-1", "2", blank("NEW1"))
	w.phase("N1S2", repairer.PhaseClosed)

	c, _ = w.store.LastCase(t.Context(), "N1S2")
	events, err := w.store.Events(t.Context(), c.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, e := range events {
		if e.Data.Tell != "" {
			want = append(want, e.Data.Tell)
		}
	}
	tk, _ = w.tickets.Ticket(t.Context(), c.Ticket)
	for _, k := range tk.Comments[:len(tk.Comments)-1] { // the last one closes it
		if k.Author == "glia" {
			got = append(got, k.Text)
		}
	}
	if !slices.Equal(got, want) || len(want) < 4 || tk.Status != repairer.TicketClosed || len(c.Untold) > 0 {
		t.Errorf("the ticket, %s, was told\n%s\nthe log wants\n%s", tk.Status, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Another repairer takes over between the look at the case and the word to its ticket.
func TestEngine_TellsNothingOnceAnotherLeads(t *testing.T) {
	t.Parallel()
	w, m := newMeddledWorld(t, nil)
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", &sim.Disk{Serial: "USED", Size: 1000, Content: "ntfs"})
	m.current = func(string) {
		m.current = nil
		if _, err := w.store.DB().ExecContext(t.Context(), `UPDATE epoch SET epoch = epoch + 1`); err != nil {
			t.Error(err)
		}
	}
	if !w.untilStale() {
		t.Fatal("the engine went on although its epoch is old")
	}
	if tk, err := w.tickets.Ticket(t.Context(), c.Ticket); err != nil || len(tk.Comments) > 0 {
		t.Errorf("the ticket was told %v, %v", tk.Comments, err)
	}
}

// pull takes a disk out and returns it.
func (w *world) pull(host, slot string) (d *sim.Disk) {
	w.fleet.Do(host, func(h *sim.Host) { d = h.Slots[slot]; delete(h.Slots, slot) })
	return d
}
