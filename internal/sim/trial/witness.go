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
	dirty bool // a case has changed since all were looked at

	modes   map[string]repairer.Mode
	pauses  []repairer.Pause     // in force, or run out
	over    map[string]bool      // pauses of whose end by itself the log was told
	consent map[string][]consent // to the plan as it is, by case
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

	fuse      fuse
	tripping  string                // what trips the breaker at this look; empty: nothing
	storming  map[string]string     // what tells of a storm at this look, by host
	lastStorm map[string]time.Time  // by host, until its cool-down was seen to be over
	calmed    []string              // hosts whose cool-down is over at this look
	stopped   bool                  // the stop file is there, or can not be looked for
	lastAt    time.Time             // newest time in the log
	past      []repairer.Case       // cases that have ended
	lit       map[string]bool       // cases whose light was ordered on, and not off since
	spoken    map[repairer.Kind]int // events of no case that were written
	agreed    map[string]time.Time  // when the site's hook last agreed to a plan, by its hash
}

func newWitness() witness {
	return witness{
		modes: map[string]repairer.Mode{}, consent: map[string][]consent{}, hashes: map[string][]string{}, legit: map[string]bool{},
		badAt: map[string]time.Time{}, proven: map[string]bool{}, baseline: map[string][]string{}, condemned: map[string]bool{}, removed: map[string]bool{},
		epochs: map[string]uint64{}, acts: map[string]int{}, rejoined: map[string]time.Time{}, tickets: map[string]string{}, cancelled: map[string]time.Time{}, pulled: map[string]bool{},
		lit: map[string]bool{}, over: map[string]bool{}, spoken: map[repairer.Kind]int{}, fuse: fuse{alarms: map[string]time.Time{}}, agreed: map[string]time.Time{}, lastStorm: map[string]time.Time{},
	}
}

// truth is one disk as it really is.
type truth struct {
	disk    sim.Disk
	present bool      // its host shows it
	up      bool      // the host answers
	stale   bool      // nobody has looked for so long that nobody may know
	seen    time.Time // the newest look, by the clock of its host
}

func (w *world) truth(host, serial string) (t truth) {
	w.fleet.Do(host, func(h *sim.Host) {
		t.up, t.seen = !h.Down, w.now.Add(h.Ahead)
		if !h.Silent.IsZero() {
			t.seen = h.Silent.Add(h.Ahead)
			t.stale = w.now.Sub(t.seen) > expiry+w.slack()
		}
		for _, d := range h.Slots {
			if d.Serial == serial {
				t.disk, t.present = *d, !h.Blind
			}
		}
	})
	return t
}

// slack is how much a wrong clock of the repairer may hide, within what it can notice.
func (w *world) slack() time.Duration { return min(w.skew.Abs(), 2*maxViewAge) }

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

// note remembers how the disks are at this moment, and what a look at the fleet must find.
func (w *world) note() {
	w.tripping = w.fuse.over(w.breakers, w.clock())
	w.storming, w.calmed = nil, nil
	if view, _ := w.View(); w.fresh(view) {
		w.storming = w.stormy(view)
		for host, last := range w.lastStorm {
			if w.storming[host] == "" && w.clock().Sub(last) >= w.storms.CoolDown {
				w.calmed = append(w.calmed, host)
			}
		}
	}
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

// looked is called after each look of a repairer, which may have failed. Only what a whole look has met
// must be remembered by the repairer as well.
func (w *world) looked(whole bool) {
	if whole {
		w.fuse.blown = w.fuse.blown || w.tripping != ""
		for host := range w.storming {
			w.lastStorm[host] = w.clock()
		}
		for _, host := range w.calmed { // for good, also should the clock be set back
			delete(w.lastStorm, host)
		}
	}
	w.tripping, w.storming, w.calmed = "", nil, nil
}

// kept sees a value of the fleet that is in the store now.
func (w *world) kept(key string) {
	w.seen["kept "+key]++
	if key == "breaker" && w.asked {
		w.fuse.blown, w.fuse.resetAt = false, w.clock()
	}
}

// forgiven sees that a person trusts a disk again. Whoever was sent to put in another one may take it.
func (w *world) forgiven(serial string) {
	w.seen["forgiven"]++
	delete(w.removed, serial)
}

// heard sees an answer of the site's hook.
func (w *world) heard(plan repairer.Plan, veto string) {
	delete(w.agreed, plan.Hash())
	if veto == "" {
		w.agreed[plan.Hash()] = w.clock()
	}
}

func (w *world) inserted(d *sim.Disk) {
	w.proven[d.Serial] = w.proven[d.Serial] || d.State == glia.StateHealthy
}

// resumed sees pauses that a person has ended.
func (w *world) resumed(ended []repairer.Pause) {
	w.pauses = slices.DeleteFunc(w.pauses, func(p repairer.Pause) bool {
		return slices.ContainsFunc(ended, func(e repairer.Pause) bool { return e.ID == p.ID })
	})
}

// lapsed sees that the log was told of the end of a pause whose time is over. It is told once, and not of one that a
// person had ended before.
func (w *world) lapsed(id string) {
	if !w.over[id] && slices.ContainsFunc(w.pauses, func(p repairer.Pause) bool { return p.ID == id }) {
		w.over[id] = true
		w.spoke(repairer.KindResumed, 1)
	}
}

// paused says whether a pause is in force for the disk of the case.
func (w *world) paused(c repairer.Case) bool {
	return slices.ContainsFunc(w.pauses, func(p repairer.Pause) bool {
		return (p.Until.IsZero() || w.clock().Before(p.Until)) && slices.Contains([]string{"fleet", "domain:" + rackOf(c.Host()), "host:" + c.Host(), "disk:" + c.Serial()}, p.Scope)
	})
}

// ordered sees an order on its way to a hand.
func (w *world) ordered(ctx context.Context, p *process, host string, o *gliav1.Order) {
	p.sure = false
	w.seen["order "+strings.TrimPrefix(o.GetVerb().String(), "VERB_")]++
	c, err := ledger{p.db, p}.Case(ctx, o.GetCaseId())
	if err != nil {
		w.violate("11", "order %s is of no case: %v", o.GetKey(), err)
		return
	}
	w.effect(p, c, "order "+o.GetKey())
	if o.GetVerb() == gliav1.Verb_VERB_LOCATE {
		w.lit[c.ID] = o.GetOn()
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
	if w.sick && p == w.proc && slices.Contains([]gliav1.Verb{gliav1.Verb_VERB_BURN_IN, gliav1.Verb_VERB_FORMAT, gliav1.Verb_VERB_REJOIN}, o.GetVerb()) && c.Cancel == "" {
		w.violate("2", "order %s can not be taken back, and the storage did not agree", o.GetKey())
	}
	parts := strings.Split(o.GetKey(), "/")
	events, err := ledger{p.db, p}.Events(ctx, c.ID, 0)
	if err != nil || len(parts) < 3 || !slices.ContainsFunc(events, func(e repairer.Event) bool { return e.Kind == repairer.KindBegun && e.Step == parts[2] }) {
		w.violate("11", "order %s is not in the log before it happens (%v)", o.GetKey(), err)
	}
}

// arrived sees an order at the hand, which hears its epoch.
func (w *world) arrived(host string, o *gliav1.Order) {
	if w.truth(host, o.GetSerial()).up {
		w.epochs[host] = max(w.epochs[host], o.GetEpoch())
	}
}

// effect sees anything that leaves the repairer on behalf of a case. What a repairer began before another
// one took over can not know what came since; then the epochs decide.
func (w *world) effect(p *process, c repairer.Case, what string) {
	w.onlyRead(what)
	switch now := p == w.proc; {
	case w.leased && !now:
		w.violate("5", "%s, and the term of epoch %d is over", what, p.db.Epoch())
	case w.modes[c.Host()] == repairer.ModeObserve && len(w.rules) == 0:
		w.violate("8", "%s, and %s is only observed", what, c.Host())
	case !w.legit[c.ID]:
		w.violate("4", "%s of case %s, which had no right to start", what, c.ID)
	case w.paused(c):
		w.violate("9", "%s while it is paused", what)
	case w.stopped:
		w.violate("9", "%s in spite of the stop file", what)
	case now && (w.fuse.blown || w.tripping != ""):
		w.violate("9", "%s after the breaker had to trip", what)
	}
}

// onlyRead checks that nothing comes of a question.
func (w *world) onlyRead(what string) {
	if w.reading {
		w.violate("8", "%s, when somebody asked for the status or a plan", what)
	}
}

// mustHear are the hosts whose hands a new repairer has to tell its epoch at its first look: those that it reaches and to
// which something of an earlier one may be on the way.
func (w *world) mustHear(ctx context.Context, p *process) (out []string) {
	open, err := ledger{p.db, p}.Cases(ctx, false)
	if err != nil {
		return nil // whoever needs the store next says so
	}
	for _, c := range open {
		if c.Started && (wire{p}).reach(c.Host()) == nil && w.truth(c.Host(), "").up {
			out = append(out, c.Host())
		}
	}
	return out
}

// telling sees what the ticket of a case is told on the repairer's own account. The key names the case.
func (w *world) telling(ctx context.Context, p *process, key string) {
	if w.asked || p.dead {
		return // who unparks, reopens the ticket
	}
	if p != w.proc && !p.sure && strings.Contains(key, "/notice/") {
		w.violate("5", "a repairer of epoch %d tells a ticket under %s, the newest is %d", p.db.Epoch(), key, w.newest)
	}
	p.sure = false
	parts := strings.Split(key, "/")
	if len(parts) < 3 {
		w.violate("6", "the ticket is told something under the key %q, which names no case", key)
		return
	}
	c, err := ledger{p.db, p}.Case(ctx, parts[1])
	if err != nil {
		w.violate("11", "a ticket of no case is told something: %v", err)
		return
	}
	w.effect(p, c, "what the ticket is told under "+key)
}

// noneMissing checks that no disk but the ordered one is gone when another one is looked at in its
// place. Disks with cases of their own may go, and those that such a case has replaced since this one was started.
func (w *world) noneMissing(ctx context.Context, p *process, c repairer.Case) {
	all, err := ledger{p.db, p}.Cases(ctx, true)
	if err != nil {
		w.violate("12", "the cases: %v", err)
		return
	}
	mayGo := func(serial string) bool {
		return slices.ContainsFunc(all, func(o repairer.Case) bool {
			replaced := o.Phase == repairer.PhaseClosed && o.Host() == c.Host() && o.ClosedAt.After(c.StartedAt)
			return o.Serial() == serial && (replaced || !o.Phase.Ended())
		})
	}
	here := w.visible(c.Host())
	for _, s := range w.baseline[c.ID] {
		if s != c.Serial() && !slices.Contains(here, s) && !mayGo(s) {
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
	c, err := ledger{p.db, p}.Case(ctx, t.Case)
	if err != nil {
		w.violate("11", "a ticket of no case: %v", err)
		return
	}
	w.effect(p, c, "the ticket")
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
