package trial

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"glia"
	"glia/repairer"
	"glia/repairer/ticket"
)

// wrote sees events that are in the log now, and the case after them.
func (w *world) wrote(ctx context.Context, p *process, c repairer.Case, events ...repairer.Event) {
	w.dirty = true
	w.onlyRead("an event " + string(events[0].Kind))
	if p.db.Epoch() < w.newest {
		w.violate("5", "a repairer of epoch %d wrote %q, the newest is %d", p.db.Epoch(), events[0].Kind, w.newest)
	}
	for _, e := range events {
		w.lastAt = later(w.lastAt, e.At)
		w.seen[string(e.Kind)]++
		switch e.Kind {
		case repairer.KindOpened:
			w.mayOpen(c)
			w.fuse.openings = append(w.fuse.openings, e.At)
		case repairer.KindHeld:
			for _, r := range e.Data.Refusals {
				w.seen["refused by "+r.Gate]++
			}
		case repairer.KindPlanned:
			if was := w.hashes[c.ID]; len(was) > 0 && was[len(was)-1] != c.Plan.Hash() {
				delete(w.consent, c.ID)
			}
			w.hashes[c.ID] = append(w.hashes[c.ID], c.Plan.Hash())
		case repairer.KindStarted:
			w.legit[c.ID] = w.mayStart(c)
			w.condemned[c.Serial()] = true
			w.fuse.starts = append(w.fuse.starts, e.At)
			w.budgets(ctx, p)
		case repairer.KindReleased:
			w.baseline[c.ID] = w.visible(c.Host())
		case repairer.KindUnparked:
			if len(e.Data.Present) > 0 {
				w.baseline[c.ID] = w.visible(c.Host())
			}
		case repairer.KindRemoved:
			if slices.Contains(w.visible(c.Host()), c.Serial()) {
				w.violate("10", "%s is said to be removed, and is there", c.Serial())
			}
			w.removed[c.Serial()] = true
		case repairer.KindRejected:
			w.rejected(c, *e.Data.Rejection)
		case repairer.KindAccepted:
			w.removed[c.Serial()] = true
		case repairer.KindOutcome:
			switch _, known := w.fuse.alarms[c.ID]; {
			case c.Outcome != repairer.OutcomeFalseAlarm:
				delete(w.fuse.alarms, c.ID)
			case !known:
				w.fuse.alarms[c.ID] = e.At
			}
		case repairer.KindEnded:
			w.past = append(w.past, c)
			w.seen["ended "+string(c.Phase)]++
			w.ended(c)
			if w.lit[c.ID] {
				w.violate("light", "case %s has ended, and nobody was asked to switch its light off", c.ID)
			}
		case repairer.KindDone:
			if e.Step == repairer.StepSettle {
				w.settled(c)
			}
		}
	}
}

// mayOpen checks that a new case rests on a disk that was seen to be bad.
func (w *world) mayOpen(c repairer.Case) {
	at, seen := w.badAt[c.Serial()]
	switch {
	case !seen || w.now.Sub(at) > maxViewAge+2*tick+w.slack():
		w.violate("3", "a case for %s, which is not seen to be bad (last at %s)", c.Serial(), at.UTC())
	case w.untimely(w.told(c.Serial())):
		w.violate("3", "a case for %s on the word of a clock that is ahead", c.Serial())
	case w.stopped:
		w.violate("9", "a case for %s in spite of the stop file", c.Serial())
	case w.storming[c.Host()] != "":
		w.violate("storm", "a case for %s in a storm: %s", c.Serial(), w.storming[c.Host()])
	}
	if ended, ok := w.cancelled[c.Serial()]; ok && w.clock().Before(ended.Add(coolDown)) {
		w.violate("cool-down", "a case for %s right after its last one was cancelled", c.Serial())
	}
}

// untimely says whether something was observed in the future, by the repairers' clock.
func (w *world) untimely(at time.Time) bool { return at.Sub(w.clock()) > maxViewAge }

// told is when the fleet view says that the disk was observed.
func (w *world) told(serial string) (at time.Time) {
	view, _ := w.View()
	for _, h := range view.Hosts {
		for _, d := range h.Disks {
			if d.Disk.Serial() == serial {
				at = later(at, d.Verdict.ObservedAt)
			}
		}
	}
	return at
}

// mayStart checks everything that the gates must have known, at the disk itself.
func (w *world) mayStart(c repairer.Case) bool {
	t := w.truth(c.Host(), c.Serial())
	agreed := w.consenting(c.ID, c.Plan.Hash()) >= w.persons
	mode := w.modeOf(c.Host(), t.disk.Witnesses)
	two := len(t.disk.Witnesses) >= 2
	view, _ := w.View()
	switch {
	case mode == repairer.ModeObserve:
		w.violate("8", "case %s started and %s with %v is only observed", c.ID, c.Host(), t.disk.Witnesses)
	case mode == repairer.ModePropose && !agreed:
		w.violate("8", "case %s started, and %d of %d persons approve its plan", c.ID, w.consenting(c.ID, c.Plan.Hash()), w.persons)
	case !t.bad():
		w.violate("3", "case %s started and %s is %s now (answers: %t, visible: %t, expired: %t)", c.ID, c.Serial(), t.disk.State, t.up, t.present, t.stale)
	case w.cut[c.Host()]:
		w.violate("12", "case %s started and nobody could ask %s", c.ID, c.Host())
	case !w.fresh(view):
		w.violate("12", "case %s started at %s on a fleet view of %s; the log knows of %s", c.ID, w.clock(), view.At, w.lastAt)
	case w.untimely(t.seen):
		w.violate("12", "case %s started at %s on what %s has observed at %s", c.ID, w.clock(), c.Host(), t.seen)
	case !two && !agreed:
		w.violate("4", "case %s started with the witnesses %v and without approval", c.ID, t.disk.Witnesses)
	case t.disk.Protected != "":
		w.violate("1", "case %s started and %s", c.ID, t.disk.Protected)
	case c.Plan.Obstacle != "":
		w.violate("12", "case %s started and %s", c.ID, c.Plan.Obstacle)
	case !slices.ContainsFunc(c.Plan.Disk.Mounts, func(m glia.Mount) bool { return m.Target == t.disk.Mounted }):
		w.violate("4", "case %s started with a plan for %v, the disk is mounted on %q", c.ID, c.Plan.Disk.Mounts, t.disk.Mounted)
	case w.paused(c):
		w.violate("9", "case %s started while it is paused", c.ID)
	case w.stopped:
		w.violate("9", "case %s started in spite of the stop file", c.ID)
	case w.fuse.blown || w.fuse.over(w.breakers, w.clock()) != "":
		w.violate("9", "case %s started after the breaker had to trip (%s)", c.ID, w.fuse.over(w.breakers, w.clock()))
	case w.sick:
		w.violate("2", "case %s started and the storage can not spare a disk", c.ID)
	case !w.windowOpen(c.Host()):
		w.violate("9", "case %s started at %s, outside of every maintenance window", c.ID, w.clock())
	case w.hook && !w.agreed[c.Plan.Hash()].Equal(w.clock()):
		w.violate("12", "case %s started and the site's hook did not agree to its plan", c.ID)
	default:
		return w.calmEnough(c, view, agreed)
	}
	return false
}

// calmEnough checks what speaks against the disk's being the one at fault.
func (w *world) calmEnough(c repairer.Case, view glia.FleetView, agreed bool) bool {
	if why := w.stormy(view)[c.Host()]; why != "" {
		w.violate("storm", "case %s started in a storm: %s", c.ID, why)
		return false
	}
	last, was := w.lastStorm[c.Host()]
	if since := w.clock().Sub(last); was && since < w.storms.CoolDown {
		w.violate("storm", "case %s started %s after a storm", c.ID, since)
		return false
	}
	if agreed {
		return true
	}
	if why := w.cohort(view, c.Serial()); why != "" {
		w.violate("cohort", "case %s started without approval: %s", c.ID, why)
		return false
	}
	if why := w.flapping(c); why != "" {
		w.violate("flap", "case %s started without approval: %s", c.ID, why)
		return false
	}
	return true
}

// rejected checks that only what was looked at is called unfit. A slow hand may tell of a burn-in when the disk is gone.
func (w *world) rejected(c repairer.Case, r repairer.Rejection) {
	if t := w.truth(c.Host(), r.Serial); r.Unfit && !r.Away && !t.present && !w.fleet.Unfit(c.Host(), r.Serial) {
		w.violate("3", "case %s calls %s unfit, which nobody can see: %v", c.ID, r.Serial, r.Findings)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// budgets checks the budgets, of which the case that has just started is part.
func (w *world) budgets(ctx context.Context, p *process) {
	open, err := ledger{p.db, p}.Cases(ctx, false)
	if err != nil {
		w.violate("12", "the open cases: %v", err)
		return
	}
	started := slices.DeleteFunc(slices.Clone(open), func(c repairer.Case) bool { return !c.Started })
	// Two cases of one place, whose new disk fails in turn, are one disk in repair.
	started = slices.DeleteFunc(started, func(c repairer.Case) bool {
		return !c.RejoinedAt.IsZero() && slices.ContainsFunc(open, func(o repairer.Case) bool { return o.Started && o.Serial() == c.Replacement.Serial() })
	})
	view, _ := w.View()
	if what := w.overdrawn(started, view); what != "" {
		w.violate("7", "%s", what)
	}
}

// settled checks the new disk when it is said to have proven itself.
func (w *world) settled(c repairer.Case) {
	if slices.ContainsFunc(w.past, func(o repairer.Case) bool {
		return o.Serial() == c.Replacement.Serial() && o.Phase == repairer.PhaseClosed
	}) {
		return // it was replaced in turn
	}
	t := w.truth(c.Host(), c.Replacement.Serial())
	at, ok := w.rejoined[c.ID]
	switch {
	case !ok || w.now.Sub(at) < settle && w.clock().Sub(c.RejoinedAt) < settle: // a clock may have been set on meanwhile
		w.violate("settle", "case %s settled at %s and its disk rejoined at %s", c.ID, w.now, at)
	case !t.present || t.stale || t.disk.State != glia.StateHealthy || t.disk.Mounted == "":
		w.violate("settle", "case %s settled and the new disk is %s, mounted on %q", c.ID, t.disk.State, t.disk.Mounted)
	}
}

// ended checks that the old disk of a cancelled case is in use again, unless the case says that it is not.
func (w *world) ended(c repairer.Case) {
	if c.Phase != repairer.PhaseCancelled {
		return
	}
	w.cancelled[c.Serial()] = w.clock()
	t := w.truth(c.Host(), c.Serial())
	if c.NotRestored == "" && t.present && t.disk.Mounted == "" && w.acts[c.ID+" UNMOUNT "+c.Serial()] > 0 && !w.pulled[c.Serial()] {
		w.violate("undo", "case %s was cancelled and %s is not mounted again", c.ID, c.Serial())
	}
}

// look checks every open case after each tick that has changed any.
func (w *world) look(ctx context.Context) error {
	if w.proc == nil || !w.dirty {
		return nil
	}
	w.dirty = false
	open, err := w.open(ctx)
	if err != nil {
		return err
	}
	for _, c := range open {
		if want := phaseBy(c); want != "" && c.Phase != want {
			w.violate("phase", "case %s is %s, its facts say %s", c.ID, c.Phase, want)
		}
		for _, name := range slices.Sorted(maps.Keys(c.Steps)) {
			if n := c.Step(name).Attempts; n > attempts && !isReminder(name) {
				w.violate("retries", "%s of case %s was tried %d times", name, c.ID, n)
			}
		}
	}
	return nil
}

// phaseBy is the phase that the facts of an open case speak for; empty where several do.
func phaseBy(c repairer.Case) repairer.Phase {
	facts := []struct {
		is    bool
		phase repairer.Phase
	}{
		{c.Parked != "", repairer.PhaseParked},
		{!c.Started && !c.Confirmed && !c.Step(repairer.StepConfirm).Begun, repairer.PhaseOpened},
		{!c.Started && !c.Confirmed, repairer.PhaseConfirming},
		{!c.Started, ""},
		{!c.Step("drain").Done, repairer.PhaseDraining},
		{!c.Step("unmount").Done, repairer.PhaseDrained},
		{!c.Step(repairer.StepTicket).Done, repairer.PhaseReleased},
		{c.Replacement == nil && c.Candidate == "", repairer.PhaseAwaitingReplacement},
		{c.Replacement == nil, repairer.PhaseInspecting},
		{c.RejoinedAt.IsZero(), repairer.PhaseRejoining},
	}
	for _, f := range facts {
		if f.is {
			return f.phase
		}
	}
	return repairer.PhaseSettling
}

// final checks the whole log and all tickets when every case has ended.
func (w *world) final(ctx context.Context) error {
	db, tracker := w.proc.db, w.proc.tickets
	cases, err := db.Cases(ctx, true)
	if err != nil {
		return err
	}
	for _, c := range cases {
		events, err := db.Events(ctx, c.ID, 0)
		if err != nil {
			return err
		}
		var folded repairer.Case
		for _, e := range events {
			if folded, err = repairer.Apply(folded, e); err != nil {
				w.violate("11", "the log of case %s: %v", c.ID, err)
				return nil
			}
		}
		a, errA := json.Marshal(folded)
		b, errB := json.Marshal(c)
		if errA != nil || errB != nil || string(a) != string(b) {
			w.violate("11", "the log of case %s does not lead to its row", c.ID)
		}
	}
	if err := w.audit(ctx, db); err != nil {
		return err
	}
	all, err := tracker.Tickets(ctx, true)
	if err != nil {
		return err
	}
	perCase := map[string]int{}
	for _, t := range all {
		if perCase[t.Case]++; perCase[t.Case] > 1 {
			w.violate("6", "case %s has two tickets", t.Case)
		}
		if t.Status != repairer.TicketClosed {
			w.violate("6", "ticket %s is %s and its case has ended", t.ID, t.Status)
		}
		t, err = tracker.Ticket(ctx, t.ID)
		if err != nil {
			return err
		}
		if err := w.saidOnce(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// isReminder names the steps that hold nothing up, and are tried for as long as the person is waited for.
func isReminder(step string) bool {
	return step == "escalate" || strings.HasPrefix(step, "remind-")
}

// saidOnce checks that the ticket tells each alarm and each end of one as often as it came, and each reminder
// at most once.
func (w *world) saidOnce(ctx context.Context, t repairer.Ticket) error {
	events, err := w.proc.db.Events(ctx, t.Case, 0)
	if err != nil {
		return err
	}
	came := map[string]int{}
	for _, e := range events {
		if e.Kind == repairer.KindAlarm {
			came[e.Text]++
		}
	}
	reminded := map[string]int{}
	for _, c := range t.Comments {
		if stage, _, ok := strings.Cut(c.Text, " ago, and its data"); ok && c.Author == ticket.Author {
			if reminded[stage]++; reminded[stage] > 1 {
				w.violate("6", "ticket %s is told twice: %s", t.ID, stage)
			}
			w.seen["reminders"]++
		}
		if _, alarm := came[c.Text]; alarm && c.Author == ticket.Author {
			if came[c.Text]--; came[c.Text] < 0 {
				w.violate("6", "ticket %s says more often than it came: %s", t.ID, c.Text)
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(came)) {
		if came[text] > 0 {
			w.violate("10", "ticket %s was never told: %s", t.ID, text)
		}
	}
	return nil
}
