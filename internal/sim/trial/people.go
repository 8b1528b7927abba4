package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/internal/sim"
	"glia/repairer"
)

// person is an operator or a technician, who can do nothing while the repairer is down.
func (w *world) person(ctx context.Context, e Event, host, slot string) error {
	if w.proc == nil {
		return nil
	}
	open, err := w.open(ctx)
	if err != nil {
		return err
	}
	pick := func(which func(repairer.Case) bool) (repairer.Case, bool) {
		some := slices.DeleteFunc(slices.Clone(open), func(c repairer.Case) bool { return !which(c) })
		if len(some) == 0 {
			return repairer.Case{}, false
		}
		return some[e.N%len(some)], true
	}
	anyCase := func(repairer.Case) bool { return true }
	out := func(c repairer.Case) bool { return c.Ticket != "" && c.Replacement == nil }
	switch e.Op {
	case OpPause:
		scope := []string{"fleet", "host:" + host, "disk:" + fmt.Sprintf("N%dS%s", e.Host+1, slot), "domain:" + rackOf(host)}[e.N%4]
		length := time.Duration(0)
		if e.After {
			length = []time.Duration{time.Minute, time.Hour}[e.N/4%2]
		}
		return w.pause(ctx, scope, length)
	case OpResume:
		return w.resumeAll(ctx)
	case OpCancel:
		if c, ok := pick(anyCase); ok {
			return w.ask(func(s *repairer.Service) error {
				_, err := s.Cancel(ctx, connect.NewRequest(&gliav1.CancelRequest{CaseId: c.ID, Person: "operator", Reason: "changed my mind"}))
				return err
			})
		}
	case OpApprove, OpShift, OpReturn:
		c, ok := pick(func(c repairer.Case) bool { return !c.Started && c.Plan != nil })
		if !ok {
			return nil
		}
		for i := range 1 + e.N%2 { // the same human, perhaps, once more under the other name
			if err := w.approve(ctx, c, c.Plan.Hash(), signatures[(e.N/5+2*i)%len(signatures)]); err != nil || w.proc == nil {
				return err
			}
		}
		if e.Op != OpApprove {
			return w.shift(ctx, c, e)
		}
	case OpStale:
		if c, ok := pick(func(c repairer.Case) bool { return !c.Started && len(w.hashes[c.ID]) > 1 }); ok {
			return w.approve(ctx, c, w.hashes[c.ID][0], signatures[0])
		}
	case OpWithdraw:
		return w.withdrawAll(ctx)
	case OpUnpark:
		if c, ok := pick(func(c repairer.Case) bool { return c.Parked != "" || c.Alarm != "" }); ok {
			return w.unpark(ctx, c)
		}
	case OpClaim, OpWont:
		if c, ok := pick(out); ok {
			return w.resolve(ctx, c, map[Op]string{OpClaim: "done", OpWont: "wont-do"}[e.Op])
		}
	case OpRead:
		return w.read(ctx, fmt.Sprintf("N%dS%s", e.Host+1, slot))
	case OpReset:
		return w.reset(ctx)
	case OpOutcome:
		return w.outcome(ctx, repairer.Outcomes[e.N/7%len(repairer.Outcomes)], e.N)
	case OpNeedless: // of all that trips a breaker, that alone
		if err := errors.Join(w.reset(ctx), w.tick(ctx)); err != nil || w.proc == nil {
			return err
		}
		return w.outcome(ctx, repairer.OutcomeFalseAlarm, e.N)
	case OpForgive:
		return w.forgive(ctx)
	case OpPull:
		w.pull(host, slot)
	case OpPutBack:
		w.putBack()
	case OpSwap, OpWrong, OpOld, OpSmall, OpUsed, OpBad, OpNoWrites, OpRetired:
		if c, ok := pick(out); ok {
			w.work(c, e)
			if e.After || e.Op == OpWrong {
				return w.resolve(ctx, c, "done")
			}
		}
	}
	return nil
}

// work is a technician at the place of the case.
func (w *world) work(c repairer.Case, e Event) {
	host, slot := c.Host(), c.Disk.Location.Slot
	if e.Op == OpWrong {
		w.pull(host, fmt.Sprint(e.N%slots+1))
	}
	w.pull(host, slot)
	d := w.spare()
	switch e.Op {
	case OpOld:
		d = w.takeOut(func(x drawn) bool { return x.disk.Serial == c.Serial() })
	case OpSmall:
		d.Size = 10
	case OpUsed:
		d.Content = "somebody's data"
	case OpBad:
		w.fail(d)
	case OpNoWrites:
		d.NoWrites = true
	case OpRetired:
		if d = w.takeOut(func(x drawn) bool { return w.removed[x.disk.Serial] && x.disk.Serial != c.Serial() }); d != nil {
			d.Content, d.Mounted = "", ""
			heal(d)
		}
	}
	w.insert(host, slot, d)
}

// spare is a new, blank, healthy disk.
func (w *world) spare() *sim.Disk {
	w.serial++
	return &sim.Disk{Serial: fmt.Sprintf("NEW%d", w.serial), Size: 1000, State: glia.StateHealthy}
}

func (w *world) pull(host, slot string) {
	w.fleet.Do(host, func(h *sim.Host) {
		if d := h.Slots[slot]; d != nil {
			d.Mounted, w.pulled[d.Serial] = "", true
			w.drawer = append(w.drawer, drawn{d, host, slot})
			delete(h.Slots, slot)
		}
	})
}

// insert fills an empty slot.
func (w *world) insert(host, slot string, d *sim.Disk) bool {
	done := false
	w.fleet.Do(host, func(h *sim.Host) {
		if d != nil && h.Slots[slot] == nil {
			h.Slots[slot], done = d, true
			w.inserted(d)
		}
	})
	return done
}

// takeOut takes a disk out of the drawer.
func (w *world) takeOut(which func(drawn) bool) *sim.Disk {
	i := slices.IndexFunc(w.drawer, which)
	if i < 0 {
		return nil
	}
	d := w.drawer[i].disk
	w.drawer = slices.Delete(w.drawer, i, i+1)
	return d
}

// putBack puts every disk back to where it was pulled, the disks of cases excepted, where there is room.
func (w *world) putBack() {
	for _, x := range slices.Clone(w.drawer) {
		if !w.removed[x.disk.Serial] && !w.condemned[x.disk.Serial] && w.insert(x.host, x.slot, x.disk) {
			w.takeOut(func(y drawn) bool { return y.disk == x.disk })
		}
	}
}

func (w *world) onSerial(host, serial string, change func(*sim.Disk)) {
	w.fleet.Do(host, func(h *sim.Host) {
		for _, d := range h.Slots {
			if d.Serial == serial {
				change(d)
			}
		}
	})
}

// ask lets a person ask the repairer for something. Its no is its right; only what is none of its answers
// counts.
func (w *world) ask(do func(*repairer.Service) error) error {
	p := w.proc
	if p == nil {
		return nil
	}
	w.asked = true
	err := do(p.service)
	w.asked = false
	if p.dead {
		w.bury(p)
		return nil
	}
	var c *connect.Error
	if err == nil || errors.As(err, &c) || errors.Is(err, errLost) || errors.Is(err, glia.ErrStaleEpoch) {
		return nil
	}
	return err
}

// pause is somebody who pauses a scope, for that long, or until it is resumed when length is zero.
func (w *world) pause(ctx context.Context, scope string, length time.Duration) error {
	p := repairer.Pause{Scope: scope, Owner: "operator", Reason: "wait", Since: w.clock()}
	if length > 0 {
		p.Until = w.clock().Add(length)
	}
	store := w.proc.engine.Store
	return w.ask(func(*repairer.Service) error { // the service would refuse what ends in the past, by its clock
		_, err := store.AddPause(ctx, p)
		return err
	})
}

// reset closes the breaker.
func (w *world) reset(ctx context.Context) error {
	return w.ask(func(s *repairer.Service) error {
		_, err := s.ResetBreaker(ctx, connect.NewRequest(&gliav1.ResetBreakerRequest{Person: "operator", Reason: "looked into it"}))
		return err
	})
}

// outcome is the workshop, which has looked at the disk of a case.
func (w *world) outcome(ctx context.Context, says repairer.Outcome, n int) error {
	all, err := ledger{w.proc.db, w.proc}.Cases(ctx, true)
	if err != nil || len(all) == 0 {
		return err
	}
	if out := slices.DeleteFunc(slices.Clone(all), func(c repairer.Case) bool { return repairer.MayHaveOutcome(c) != "" }); len(out) > 0 {
		all = out // else it is refused
	}
	c := all[n%len(all)]
	return w.ask(func(s *repairer.Service) error {
		_, err := s.RecordOutcome(ctx, connect.NewRequest(&gliav1.RecordOutcomeRequest{CaseId: c.ID, Outcome: string(says), Person: "workshop"}))
		return err
	})
}

// forgive is a person who trusts the disk that was taken out last.
func (w *world) forgive(ctx context.Context) error {
	i := slices.IndexFunc(w.drawer, func(x drawn) bool { return w.removed[x.disk.Serial] })
	if i < 0 {
		return nil
	}
	serial := w.drawer[i].disk.Serial
	return w.ask(func(s *repairer.Service) error {
		_, err := s.ForgiveDisk(ctx, connect.NewRequest(&gliav1.ForgiveDiskRequest{Serial: serial, Person: "operator", Reason: "the cable it was"}))
		return err
	})
}

// read is somebody who only asks, which must change nothing.
func (w *world) read(ctx context.Context, serial string) error {
	w.reading = true
	defer func() { w.reading = false }()
	return w.ask(func(s *repairer.Service) error {
		_, statusErr := s.GetStatus(ctx, connect.NewRequest(&gliav1.GetStatusRequest{}))
		_, planErr := s.PlanRepair(ctx, connect.NewRequest(&gliav1.PlanRepairRequest{Serial: serial}))
		_, whyErr := s.Explain(ctx, connect.NewRequest(&gliav1.ExplainRequest{Serial: serial}))
		return errors.Join(statusErr, planErr, whyErr)
	})
}

func (w *world) unpark(ctx context.Context, c repairer.Case) error {
	return w.ask(func(s *repairer.Service) error {
		_, err := s.Unpark(ctx, connect.NewRequest(&gliav1.UnparkRequest{CaseId: c.ID, Person: "operator", Reason: "try again"}))
		return err
	})
}

// resolve is a technician at the tracker, which does not pass through the repairer.
func (w *world) resolve(ctx context.Context, c repairer.Case, resolution string) error {
	if w.proc == nil {
		return nil
	}
	defer w.forget()
	t, err := w.proc.tickets.Ticket(ctx, c.Ticket)
	if err != nil || t.Status == repairer.TicketClosed {
		return err
	}
	_, err = w.proc.tickets.Resolve(ctx, c.Ticket, resolution, "technician", "")
	return err
}

// resumeAll ends every pause, or as many as it can before the repairer dies of it.
func (w *world) resumeAll(ctx context.Context) error {
	for _, p := range slices.Clone(w.pauses) {
		if w.proc == nil {
			return nil
		}
		err := w.ask(func(s *repairer.Service) error {
			_, err := s.Resume(ctx, connect.NewRequest(&gliav1.ResumeRequest{Scope: p.Scope, Person: "operator", Reason: "done"}))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
