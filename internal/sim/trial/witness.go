package trial

import (
	"context"
	"slices"
	"strings"
	"time"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
)

// witness is what the checks remember. All of it was seen at the disks, the people, or the borders of
// the repairer.
type witness struct {
	cases []repairer.Case // the open ones; nil when they have changed since they were read

	modes   map[string]repairer.Mode
	pauses  []repairer.Pause     // in force, or run out
	consent map[string][]string  // hashes that a person approved, by case
	hashes  map[string][]string  // of the plans that were shown, by case
	legit   map[string]bool      // cases that were right to start
	badAt   map[string]time.Time // when the disk was last seen to be bad, by serial
	proven  map[string]bool      // serials that were healthy once

	baseline  map[string][]string // serials that were there when the person was sent, by case
	condemned map[string]bool     // serials of started cases
	removed   map[string]bool     // condemned serials that left their hosts
	epochs    map[string]uint64   // newest that each hand has heard of
	acts      map[string]int      // by case, verb and serial
	rejoined  map[string]time.Time
	tickets   map[string]string    // by case
	cancelled map[string]time.Time // by serial
	pulled    map[string]bool      // serials that a person took out
}

func newWitness() witness {
	return witness{
		modes: map[string]repairer.Mode{}, consent: map[string][]string{}, hashes: map[string][]string{}, legit: map[string]bool{},
		badAt: map[string]time.Time{}, proven: map[string]bool{}, baseline: map[string][]string{}, condemned: map[string]bool{}, removed: map[string]bool{},
		epochs: map[string]uint64{}, acts: map[string]int{}, rejoined: map[string]time.Time{}, tickets: map[string]string{}, cancelled: map[string]time.Time{}, pulled: map[string]bool{},
	}
}

// truth is one disk as it really is.
type truth struct {
	disk    sim.Disk
	present bool // its host shows it
	up      bool // the host answers
	stale   bool // nobody has looked for so long that nobody may know
}

func (w *world) truth(host, serial string) (t truth) {
	w.fleet.Do(host, func(h *sim.Host) {
		t.up, t.stale = !h.Down, !h.Silent.IsZero() && w.now.Sub(h.Silent) > expiry
		for _, d := range h.Slots {
			if d.Serial == serial {
				t.disk, t.present = *d, !h.Blind
			}
		}
	})
	return t
}

func (t truth) bad() bool {
	return t.present && t.up && !t.stale && (t.disk.State == glia.StateFailing || t.disk.State == glia.StateFailed)
}

// visible are the serials that a host shows.
func (w *world) visible(host string) (out []string) {
	w.fleet.Do(host, func(h *sim.Host) {
		for _, d := range h.Slots {
			if !h.Blind {
				out = append(out, d.Serial)
			}
		}
	})
	return out
}

// note remembers how the disks are at this moment.
func (w *world) note() {
	for i := range hosts {
		for _, serial := range w.visible(name(i)) {
			t := w.truth(name(i), serial)
			if t.bad() {
				w.badAt[serial] = w.now
			}
			w.proven[serial] = w.proven[serial] || t.disk.State == glia.StateHealthy
		}
	}
}

func (w *world) inserted(d *sim.Disk) {
	w.proven[d.Serial] = w.proven[d.Serial] || d.State == glia.StateHealthy
}

func (w *world) resumed(scope string) {
	w.pauses = slices.DeleteFunc(w.pauses, func(p repairer.Pause) bool { return p.Scope == scope })
}

// paused says whether a pause is in force for the disk of the case.
func (w *world) paused(c repairer.Case) bool {
	return slices.ContainsFunc(w.pauses, func(p repairer.Pause) bool {
		return (p.Until.IsZero() || w.now.Before(p.Until)) && slices.Contains([]string{"fleet", "host:" + c.Host(), "disk:" + c.Serial()}, p.Scope)
	})
}

// ordered sees an order on its way to a hand.
func (w *world) ordered(ctx context.Context, p *process, host string, o *gliav1.Order) {
	c, err := p.db.Case(ctx, o.GetCaseId())
	if err != nil {
		w.violate("11", "order %s is of no case: %v", o.GetKey(), err)
		return
	}
	w.effect(c, "order "+o.GetKey())
	if w.truth(host, o.GetSerial()).up {
		w.epochs[host] = max(w.epochs[host], o.GetEpoch())
	}
	if c.Alarm != "" && c.Cancel == "" {
		w.violate("10", "order %s during the alarm %q", o.GetKey(), c.Alarm)
	}
	switch o.GetVerb() {
	case gliav1.Verb_VERB_INSPECT:
		w.noneMissing(ctx, p, c)
		return
	case gliav1.Verb_VERB_FORMAT:
		w.formattable(c, host, o)
	}
	parts := strings.Split(o.GetKey(), "/")
	events, err := p.db.Events(ctx, c.ID, 0)
	if err != nil || len(parts) < 3 || !slices.ContainsFunc(events, func(e repairer.Event) bool { return e.Kind == repairer.KindBegun && e.Step == parts[2] }) {
		w.violate("11", "order %s is not in the log before it happens (%v)", o.GetKey(), err)
	}
}

// effect sees anything that leaves the repairer on behalf of a case.
func (w *world) effect(c repairer.Case, what string) {
	switch {
	case w.modes[c.Host()] == repairer.ModeObserve:
		w.violate("8", "%s, and %s is only observed", what, c.Host())
	case !w.legit[c.ID]:
		w.violate("4", "%s of case %s, which had no right to start", what, c.ID)
	case w.paused(c):
		w.violate("9", "%s while it is paused", what)
	}
}

// noneMissing checks that no disk but the ordered one is gone when another one is looked at in its
// place. Disks with cases of their own may go.
func (w *world) noneMissing(ctx context.Context, p *process, c repairer.Case) {
	open, err := p.db.Cases(ctx, false)
	if err != nil {
		w.violate("12", "the open cases: %v", err)
		return
	}
	here := w.visible(c.Host())
	for _, s := range w.baseline[c.ID] {
		if s != c.Serial() && !slices.Contains(here, s) && !slices.ContainsFunc(open, func(o repairer.Case) bool { return o.Serial() == s }) {
			w.violate("10", "case %s goes on although %s is gone; ordered was %s", c.ID, s, c.Serial())
		}
	}
}

// formattable checks a disk that is to be written.
func (w *world) formattable(c repairer.Case, host string, o *gliav1.Order) {
	t := w.truth(host, o.GetSerial())
	if t.disk.Serial == "" {
		return // the hand will not find it
	}
	switch {
	case t.disk.Content != "" && t.disk.Content != o.GetFilesystem().GetUuid():
		w.violate("1", "format of %s, which carries %s", o.GetSerial(), t.disk.Content)
	case w.removed[o.GetSerial()] || o.GetSerial() == c.Serial():
		w.violate("1", "format of %s, which was taken out as a bad disk", o.GetSerial())
	case !w.proven[o.GetSerial()]:
		w.violate("3", "format of %s, which was never seen healthy", o.GetSerial())
	case t.disk.Size < c.Disk.Identity.Size:
		w.violate("10", "format of %s, which is too small", o.GetSerial())
	}
}

// acted sees what a hand has changed. The fleet is locked.
func (w *world) acted(host string, o *gliav1.Order, before sim.Disk) {
	verb := strings.TrimPrefix(o.GetVerb().String(), "VERB_")
	if o.GetEpoch() < w.epochs[host] {
		w.violate("5", "%s of %s under epoch %d, the hand has heard of %d", verb, o.GetSerial(), o.GetEpoch(), w.epochs[host])
	}
	if o.GetVerb() == gliav1.Verb_VERB_FORMAT && before.Content != "" {
		w.violate("1", "%s was formatted and carried %s", o.GetSerial(), before.Content)
	}
	if o.GetVerb() == gliav1.Verb_VERB_REJOIN {
		w.rejoined[o.GetCaseId()] = w.now
	}
	key := o.GetCaseId() + " " + verb + " " + o.GetSerial()
	if w.acts[key]++; w.acts[key] > 1 {
		w.violate("6", "%s happened twice", key)
	}
}

// filing sees a ticket on its way, and filed its number.
func (w *world) filing(ctx context.Context, p *process, t repairer.Ticket) {
	c, err := p.db.Case(ctx, t.Case)
	if err != nil {
		w.violate("11", "a ticket of no case: %v", err)
		return
	}
	w.effect(c, "the ticket")
	if !c.Step(repairer.StepTicket).Begun {
		w.violate("11", "the ticket of case %s is not in the log before it is filed", c.ID)
	}
}

func (w *world) filed(t repairer.Ticket, id string) {
	if was := w.tickets[t.Case]; was != "" && was != id {
		w.violate("6", "case %s has the tickets %s and %s", t.Case, was, id)
	}
	w.tickets[t.Case] = id
}
