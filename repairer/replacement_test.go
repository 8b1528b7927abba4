package repairer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
)

func (w *world) ticket(c repairer.Case) repairer.Ticket {
	w.t.Helper()
	tk, err := w.tickets.Ticket(w.t.Context(), c.Ticket)
	if err != nil {
		w.t.Fatal(err)
	}
	return tk
}

// said counts the comments that have the words.
func (w *world) said(c repairer.Case, words string) int {
	n := 0
	for _, comment := range w.ticket(c).Comments {
		if strings.Contains(comment.Text, words) {
			n++
		}
	}
	return n
}

func (w *world) resolve(c repairer.Case) {
	w.t.Helper()
	if _, err := w.tickets.Resolve(w.t.Context(), c.Ticket, "done", "ann", ""); err != nil {
		w.t.Fatal(err)
	}
}

// A disk that fails its burn-in is let go, the person is told once, and another one is taken. The same
// disk is never tried again in this case, however often the ticket is resolved.
func TestEngine_DiskThatFailsItsBurnInIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	bad := blank("BAD1")
	bad.NoWrites = true
	w.swap("node-1", "2", bad)
	w.resolve(c)
	c = w.until("N1S2", "rejected", func(c repairer.Case) bool { return len(c.Unfit) > 0 })
	if c.Phase != repairer.PhaseAwaitingReplacement || c.Replacement != nil || c.Step("burn-in").Begun {
		t.Fatalf("%s with %v, burn-in %+v", c.Phase, c.Replacement, c.Step("burn-in"))
	}
	w.ticks(20)
	if tk := w.ticket(c); tk.Status != repairer.TicketOpen || w.said(c, "BAD1: burn-in: write at byte 0: input/output error; put in another disk") != 1 {
		t.Fatalf("ticket %+v", tk)
	}
	w.resolve(c)
	w.ticks(20)
	w.open() // over a restart, too
	w.ticks(5)
	if c, _ = w.store.Case(t.Context(), c.ID); len(c.Unfit) != 1 || c.Inspections != 1 || w.ticket(c).Status != repairer.TicketOpen {
		t.Fatalf("unfit %v, %d inspections, ticket %s", c.Unfit, c.Inspections, w.ticket(c).Status)
	}
	w.swap("node-1", "2", blank("NEW1"))
	c = w.phase("N1S2", repairer.PhaseClosed)
	want := []string{"drain N1S2", "unmount N1S2", "burn_in NEW1", "format NEW1", "mount NEW1", "rejoin NEW1"}
	if got := w.fleet.Acts(); !slices.Equal(got, want) || c.Replacement.Serial() != "NEW1" {
		t.Errorf("acts %q", got)
	}
}

// What the burn-in finds on a disk can be cleaned: the same disk is tried again when the ticket is
// resolved again, and not before.
func TestEngine_DiskThatCanBeCleanedIsTriedAgainOnTheWordOfAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	d := blank("NEW1")
	first := true
	w.fleet.Fault = func(o *gliav1.Order, after bool) error {
		if first && !after && o.GetVerb() == gliav1.Verb_VERB_BURN_IN {
			first = false
			w.fleet.Do("node-1", func(*sim.Host) { d.Content = "old data in the middle" })
		}
		return nil
	}
	w.swap("node-1", "2", d)
	c := w.until("N1S2", "rejected", func(c repairer.Case) bool { return len(c.Unfit) > 0 })
	w.fleet.Do("node-1", func(*sim.Host) { d.Content = "" })
	w.ticks(20)
	if c, _ = w.store.Case(t.Context(), c.ID); c.Replacement != nil || w.said(c, "clean it and resolve the ticket again") != 1 {
		t.Fatalf("%s with %v, comments %v", c.Phase, c.Replacement, w.ticket(c).Comments)
	}
	w.resolve(c)
	w.phase("N1S2", repairer.PhaseClosed)
}

// A disk that is away at the very moment of its burn-in is waited for, and its person is told once. When
// another one takes its place, that one is taken, and the first may still come back.
func TestEngine_DiskThatIsAwayAtItsBurnInIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		back string // serial of the disk that is put in after the wait
		acts []string
	}{
		"the same comes back": {"NEW1", []string{"drain N1S2", "unmount N1S2", "burn_in NEW1", "format NEW1", "mount NEW1", "rejoin NEW1"}},
		"another comes":       {"NEW2", []string{"drain N1S2", "unmount N1S2", "burn_in NEW2", "format NEW2", "mount NEW2", "rejoin NEW2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.fail("node-1", "2")
			w.phase("N1S2", repairer.PhaseAwaitingReplacement)
			w.fleet.Fault = func(o *gliav1.Order, after bool) error {
				if !after && o.GetVerb() == gliav1.Verb_VERB_BURN_IN {
					w.fleet.Do("node-1", func(h *sim.Host) { delete(h.Slots, "2") })
				}
				return nil
			}
			w.swap("node-1", "2", blank("NEW1"))
			w.until("N1S2", "waiting", func(c repairer.Case) bool { return c.Step("burn-in").Error != "" })
			w.ticks(20)
			w.open() // over a restart, too
			w.ticks(5)
			c, err := w.store.LastCase(t.Context(), "N1S2")
			if err != nil || c.Phase != repairer.PhaseRejoining || c.Step("burn-in").Attempts != 0 || w.said(c, "waits for NEW1 in slot 2") != 1 {
				t.Fatalf("%s, %+v, comments %v, %v", c.Phase, c.Step("burn-in"), w.ticket(c).Comments, err)
			}
			w.fleet.Fault = nil
			w.swap("node-1", "2", blank(tc.back))
			c = w.phase("N1S2", repairer.PhaseClosed)
			if got := w.fleet.Acts(); !slices.Equal(got, tc.acts) || len(c.Unfit) != 0 {
				t.Errorf("acts %q, unfit %v", got, c.Unfit)
			}
		})
	}
}

// A new disk that fails while it settles gets a repair of its own, although the case that put it in still
// counts against the budget of the host; after it, that case ends as well.
func TestEngine_NewDiskThatFailsWhileItSettlesIsReplacedInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", blank("NEW1"))
	w.phase("N1S2", repairer.PhaseSettling)
	w.fail("node-1", "2")
	first := w.phase("N1S2", repairer.PhaseParked)
	w.phase("NEW1", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", blank("NEW2"))
	second := w.phase("NEW1", repairer.PhaseClosed)
	if _, err := w.serve().Unpark(t.Context(), connect.NewRequest(&gliav1.UnparkRequest{CaseId: first.ID, Person: "ann", Reason: "replaced"})); err != nil {
		t.Fatal(err)
	}
	first = w.phase("N1S2", repairer.PhaseClosed)
	if w.said(first, "was replaced in case "+second.ID) != 1 {
		t.Errorf("comments %v", w.ticket(first).Comments)
	}
}

// A nerve that can not burn in says nothing about the disk.
func TestEngine_BurnInThatIsOnlyInterruptedIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	n := 0
	w.fleet.Fault = func(o *gliav1.Order, after bool) error {
		if after && o.GetVerb() == gliav1.Verb_VERB_BURN_IN {
			if n++; n == 1 {
				return errors.New("interrupted: nerve stops")
			}
		}
		return nil
	}
	w.swap("node-1", "2", blank("NEW1"))
	if c := w.phase("N1S2", repairer.PhaseClosed); len(c.Unfit) > 0 || n != 2 {
		t.Errorf("unfit %v after %d orders", c.Unfit, n)
	}
}

func TestEngine_LightsThePlaceWhileItIsSafeToPull(t *testing.T) {
	t.Parallel()
	on, off := "node-1 slot 2 on=true", "node-1 slot 2 on=false"
	t.Run("a whole repair", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.fleet.Fault = func(o *gliav1.Order, after bool) error {
			if list, _ := w.tickets.Tickets(t.Context(), true); !after && o.GetVerb() == gliav1.Verb_VERB_LOCATE && o.GetOn() && len(list) > 0 {
				t.Error("the ticket came before the light")
			}
			return nil
		}
		w.fail("node-1", "2")
		w.phase("N1S2", repairer.PhaseAwaitingReplacement)
		if got := w.fleet.Lights(); !slices.Equal(got, []string{on}) {
			t.Fatalf("lights %q", got)
		}
		w.swap("node-1", "2", blank("NEW1"))
		w.phase("N1S2", repairer.PhaseClosed)
		if got := w.fleet.Lights(); !slices.Equal(got, []string{on, off}) {
			t.Errorf("lights %q", got)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.fail("node-1", "2")
		w.cancel(w.phase("N1S2", repairer.PhaseAwaitingReplacement))
		w.phase("N1S2", repairer.PhaseCancelled)
		if got := w.fleet.Lights(); !slices.Equal(got, []string{on, off}) {
			t.Errorf("lights %q", got)
		}
	})
	t.Run("cancelled before", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, nil)
		w.fail("node-1", "2")
		w.cancel(w.phase("N1S2", repairer.PhaseDraining))
		w.phase("N1S2", repairer.PhaseCancelled)
		if got := w.fleet.Lights(); len(got) > 0 {
			t.Errorf("lights %q", got)
		}
	})
}

// No light is no reason to stop.
func TestEngine_GoesOnWithoutALight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fleet.Fault = func(o *gliav1.Order, after bool) error {
		if !after && o.GetVerb() == gliav1.Verb_VERB_LOCATE {
			return errors.New("no such attribute")
		}
		return nil
	}
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	if tk := w.ticket(c); !strings.Contains(tk.Body, "Light:     not switched on: no such attribute") {
		t.Errorf("ticket %s", tk.Body)
	}
	w.swap("node-1", "2", blank("NEW1"))
	c = w.phase("N1S2", repairer.PhaseClosed)
	if !strings.Contains(w.texts(c), "done locate-off locate-off: done: may still be on: no such attribute") {
		t.Errorf("log\n%s", w.texts(c))
	}
}

// The graveyard covers the fleet: a disk that was taken out of one host is not taken on any other, is
// told of wherever it turns up, and gets no case of its own while nobody uses it.
func TestEngine_RetiredDiskIsKnownOnEveryHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *repairer.Options) { o.Limits = repairer.Limits{Fleet: 9, Host: 9} })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", blank("NEW1"))
	w.phase("N1S2", repairer.PhaseClosed)

	// As a replacement on another host: wiped, and healthy by its own account.
	w.fail("node-2", "4")
	w.phase("N2S4", repairer.PhaseAwaitingReplacement)
	w.swap("node-2", "4", blank("N1S2"))
	c := w.until("N2S4", "rejected", func(c repairer.Case) bool { return c.Rejected != nil })
	if c.Rejected.Serial != "N1S2" || !strings.Contains(c.Rejected.Findings[0], "retired") {
		t.Errorf("rejected %+v", c.Rejected)
	}
	w.now = w.now.Add(11 * time.Minute) // nothing of node-2 is bad now, so it is only looked at from time to time
	w.ticks(3)
	found := func() string { return strings.Join(w.engine.Findings(), "\n") }
	if want := "N1S2 was taken out in case c1 on 2026-03-01; it is now in slot 4 of node-2: it failed before"; !strings.Contains(found(), want) {
		t.Errorf("findings %q", found())
	}

	// On a host on which all is well: the view has no detail of it.
	w.swap("node-2", "4", blank("NEW2"))
	w.phase("N2S4", repairer.PhaseClosed)
	old := blank("N1S2")
	w.swap("node-3", "1", old)
	w.now = w.now.Add(11 * time.Minute)
	w.ticks(3)
	if !strings.Contains(found(), "it is now in slot 1 of node-3: it failed before") {
		t.Errorf("findings %q", found())
	}

	// It fails again: no case, until somebody mounts it.
	w.fail("node-3", "1")
	w.ticks(20)
	if last, _ := w.store.LastCase(t.Context(), "N1S2"); last.ID != "c1" {
		t.Fatalf("case %s was opened for a retired disk", last.ID)
	}
	w.fleet.Do("node-3", func(*sim.Host) { old.Mounted, old.Content = "/data/1", "fs-again" })
	w.until("N1S2", "opened", func(n repairer.Case) bool { return n.ID != "c1" })

	w.fleet.Do("node-3", func(h *sim.Host) { h.Slots["1"] = blank("NEW3") })
	w.now = w.now.Add(11 * time.Minute)
	w.ticks(3)
	if strings.Contains(found(), "it is now in slot 1 of node-3") {
		t.Errorf("findings of a disk that is gone: %q", found())
	}
}

func TestDue_EachStageOnce(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	after := []time.Duration{24 * time.Hour, 72 * time.Hour}
	const r24, r72, esc = "remind-24h0m0s", "remind-72h0m0s", "escalate"
	for _, tc := range []struct {
		name  string
		hours float64
		done  []string
		want  []string
	}{
		{"fresh", 0, nil, nil},
		{"a moment before", 23.99, nil, nil},
		{"first", 24, nil, []string{r24}},
		{"first, written", 30, []string{r24}, nil},
		{"second", 72, []string{r24}, []string{r72}},
		{"both missed: the latest only", 80, nil, []string{r72}},
		{"the first is not caught up on", 80, []string{r72}, nil},
		{"escalation", 168, []string{r24, r72}, []string{esc}},
		{"all missed", 1000, nil, []string{r72, esc}},
		{"all written", 1000, []string{r72, esc}, nil},
		{"clock set back", -5, nil, nil},
	} {
		c := repairer.Case{Phase: repairer.PhaseAwaitingReplacement, Steps: map[string]repairer.StepState{repairer.StepTicket: {Done: true, At: start}}}
		for _, d := range tc.done {
			c.Steps[d] = repairer.StepState{Begun: true, Done: true}
		}
		now := start.Add(time.Duration(tc.hours * float64(time.Hour)))
		var got []string
		for _, r := range repairer.Due(c, after, 168*time.Hour, now) {
			got = append(got, r.Step)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		for what, not := range map[string]func(*repairer.Case){
			"swapped":   func(c *repairer.Case) { c.Replacement = &glia.Disk{} },
			"cancelled": func(c *repairer.Case) { c.Cancel = "ann" },
			"no ticket": func(c *repairer.Case) { c.Steps = nil },
			"ended":     func(c *repairer.Case) { c.Phase = repairer.PhaseClosed },
		} {
			n := c
			not(&n)
			if due := repairer.Due(n, after, 168*time.Hour, now); len(due) > 0 {
				t.Errorf("%s, %s: %v", tc.name, what, due)
			}
		}
		if due := repairer.Due(c, nil, 0, now); len(due) > 0 {
			t.Errorf("%s, none configured: %v", tc.name, due)
		}
	}
}

// sulky is a tracker that does not take comments for a while.
type sulky struct {
	repairer.Tracker
	silent *bool
	tries  *int
}

func (s sulky) Comment(ctx context.Context, key, id, text string) error {
	*s.tries++
	if *s.silent {
		return errors.New("tracker is down")
	}
	return s.Tracker.Comment(ctx, key, id, text)
}

func TestEngine_RemindsOnceAStageAndEscalates(t *testing.T) {
	t.Parallel()
	silent, tries := false, 0
	w := newWorld(t, func(o *repairer.Options) {
		o.RemindAfter, o.EscalateAfter = []time.Duration{time.Hour, 3 * time.Hour}, 10*time.Hour
		o.Tracker = sulky{o.Tracker, &silent, &tries}
	})
	w.fail("node-1", "2")
	c := w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	counts := func(want string) {
		t.Helper()
		w.ticks(5)
		w.open() // a restart repeats none
		w.ticks(5)
		if got := fmt.Sprint(w.said(c, "swapped 1h0m0s ago"), w.said(c, "swapped 3h0m0s ago"), w.said(c, "ESCALATION")); got != want {
			t.Errorf("comments %s, want %s", got, want)
		}
	}
	status := func() string {
		t.Helper()
		r, err := w.serve().GetStatus(t.Context(), request(&gliav1.GetStatusRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(r.Msg.GetFindings(), "\n")
	}
	counts("0 0 0")
	w.now = w.now.Add(time.Hour)
	counts("1 0 0")
	if s := status(); strings.Contains(s, "waits for a person") {
		t.Errorf("findings %q", s)
	}

	// A tracker that is down is tried again, with growing waits, and the case is not parked for it.
	silent, tries = true, 0
	w.now = w.now.Add(2 * time.Hour)
	counts("1 0 0")
	w.ticks(60)
	if tries < 2 || tries > 12 {
		t.Errorf("%d tries in 70 s", tries)
	}
	silent = false
	w.ticks(90)
	counts("1 1 0")

	w.now = w.now.Add(7 * time.Hour)
	counts("1 1 1")
	if s := status(); !strings.Contains(s, "c1 waits for a person since 2026-03-01T12:00:") {
		t.Errorf("findings %q", s)
	}
	w.fleet.Do("node-1", func(h *sim.Host) { h.Slots["2"] = blank("NEW1") })
	w.phase("N1S2", repairer.PhaseClosed)
	if s := status(); strings.Contains(s, "waits for a person") {
		t.Errorf("findings %q", s)
	}
}

// An inspection that takes longer than the hand lets anybody wait is asked for until it has ended, and is heard.
func TestEngine_HearsAnInspectionThatTakesLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fleet.Do("node-1", func(h *sim.Host) { h.Slow = 3 })
	w.fail("node-1", "2")
	w.phase("N1S2", repairer.PhaseAwaitingReplacement)
	w.swap("node-1", "2", blank("NEW1"))
	c := w.phase("N1S2", repairer.PhaseClosed)
	if n := w.said(c, "not taken"); n != 0 {
		t.Errorf("the person was told %d times that the disk is not taken", n)
	}
}
