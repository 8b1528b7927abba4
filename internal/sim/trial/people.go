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

// happen makes one event happen.
func (w *world) happen(ctx context.Context, e Event) error {
	host, slot := w.aim(ctx, e)
	onDisk := func(change func(*sim.Disk)) {
		w.fleet.Do(host, func(h *sim.Host) {
			if d := h.Slots[slot]; d != nil {
				change(d)
			}
		})
	}
	onHost := func(change func(*sim.Host)) { w.fleet.Do(host, change) }
	switch e.Op {
	case OpFail:
		onDisk((*sim.Disk).Fail)
	case OpFailHalf:
		onDisk(func(d *sim.Disk) { d.State, d.Witnesses = glia.StateFailed, []glia.EvidenceClass{glia.Media} })
	case OpHeal:
		onDisk(heal)
	case OpVague:
		onDisk(func(d *sim.Disk) { d.State = glia.StateUnknown })
	case OpFlap:
		for range 1 + e.N%4 {
			onDisk((*sim.Disk).Fail)
			if err := w.tick(ctx); err != nil {
				return err
			}
			onDisk(heal)
			if err := w.tick(ctx); err != nil {
				return err
			}
		}
	case OpProtect:
		onDisk(func(d *sim.Disk) { d.Protected = "it carries swap" })
	case OpRemount:
		onDisk(func(d *sim.Disk) { remount(d, e.N) })
	case OpPower:
		onHost(func(h *sim.Host) { h.Down = !h.Down })
	case OpRack:
		for i := range hosts {
			if i/2 == e.Host/2 {
				w.fleet.Do(name(i), func(h *sim.Host) { h.Down = e.N%2 == 0 })
			}
		}
	case OpBlind:
		onHost(func(h *sim.Host) { h.Blind = !h.Blind })
	case OpSilent:
		onHost(func(h *sim.Host) {
			if h.Silent.IsZero() {
				h.Silent = w.now
			} else {
				h.Silent = time.Time{}
			}
		})
	case OpCut:
		w.cut[host] = !w.cut[host]
	case OpSplit:
		if w.split != nil {
			w.split = nil
			return nil
		}
		v, err := w.fleet.View()
		if err != nil {
			return err
		}
		w.split, w.apart = &v, !e.After
	case OpWait:
		w.now = w.now.Add(time.Duration(1+e.N%500) * time.Hour)
	case OpTick:
	case OpKill, OpDepose, OpStoreErr:
		w.faults = append(w.faults, &fault{op: e.Op, skip: e.N % 12, count: 1, after: e.After, ticks: 1 + e.N%3})
	case OpTicketErr:
		w.faults = append(w.faults, &fault{op: e.Op, skip: e.N % 2, count: 1 + e.N%3, after: e.After})
	case OpOrderErr:
		w.faults = append(w.faults, &fault{op: e.Op, skip: e.N % 4, count: 1 + e.N%5, after: e.After})
	case OpRevenant:
		return w.comeBack(ctx)
	default:
		return w.person(ctx, e, host, slot)
	}
	return nil
}

// aim is where a fault of one disk hits. Half of those that only matter until a case has started hit a
// disk whose case has not.
func (w *world) aim(ctx context.Context, e Event) (host, slot string) {
	host, slot = name(e.Host), fmt.Sprint(e.Slot)
	if w.proc == nil || !e.After || !slices.Contains([]Op{OpFailHalf, OpVague, OpProtect, OpRemount}, e.Op) {
		return host, slot
	}
	open, err := w.open(ctx)
	if err != nil {
		return host, slot // whoever needs the store next says so
	}
	for _, c := range open {
		if !c.Started {
			return c.Host(), c.Disk.Location.Slot
		}
	}
	return host, slot
}

func heal(d *sim.Disk) { d.State, d.Witnesses = glia.StateHealthy, nil }

// remount is an operator who mounts a filesystem elsewhere, which changes every plan for its disk.
func remount(d *sim.Disk, n int) {
	if d.Mounted != "" {
		d.Mounted = fmt.Sprintf("/data/moved-%d", n)
	}
}

// comeBack lets a deposed repairer go on where it stood, as if nothing had happened.
func (w *world) comeBack(ctx context.Context) error {
	if w.deposed == nil {
		return nil
	}
	w.note()
	return w.drive(ctx, w.deposed)
}

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
		scope := []string{"fleet", "host:" + host, "disk:" + fmt.Sprintf("N%dS%s", e.Host+1, slot)}[e.N%3]
		until := int64(0)
		if e.After {
			until = 1
		}
		return w.pause(ctx, scope, until)
	case OpResume:
		return w.resumeAll(ctx)
	case OpCancel:
		if c, ok := pick(anyCase); ok {
			return w.said(w.proc.service.Cancel(ctx, connect.NewRequest(&gliav1.CancelRequest{CaseId: c.ID, Person: "operator", Reason: "changed my mind"})))
		}
	case OpApprove, OpShift:
		c, ok := pick(func(c repairer.Case) bool { return !c.Started && c.Plan != nil })
		if !ok {
			return nil
		}
		if err := w.approve(ctx, c, c.Plan.Hash()); err != nil {
			return err
		}
		if e.Op == OpShift {
			w.onSerial(c.Host(), c.Serial(), func(d *sim.Disk) { remount(d, e.N) })
		}
	case OpStale:
		if c, ok := pick(func(c repairer.Case) bool { return !c.Started && len(w.hashes[c.ID]) > 1 }); ok {
			return w.approve(ctx, c, w.hashes[c.ID][0])
		}
	case OpUnpark:
		if c, ok := pick(func(c repairer.Case) bool { return c.Parked != "" || c.Alarm != "" }); ok {
			return w.unpark(ctx, c)
		}
	case OpClaim, OpWont:
		if c, ok := pick(out); ok {
			return w.resolve(ctx, c, map[Op]string{OpClaim: "done", OpWont: "wont-do"}[e.Op])
		}
	case OpPull:
		w.pull(host, slot)
	case OpPutBack:
		w.putBack()
	case OpSwap, OpWrong, OpOld, OpSmall, OpUsed, OpBad, OpRetired:
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
		d.Fail()
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

// said drops an answer of the repairer. Its no is its right; only what is none of its answers counts.
func (w *world) said(_ any, err error) error {
	if p := w.proc; p != nil && p.dead {
		w.bury(p)
		return nil
	}
	var c *connect.Error
	if err == nil || errors.As(err, &c) || errors.Is(err, errLost) {
		return nil
	}
	return err
}

func (w *world) pause(ctx context.Context, scope string, until int64) error {
	p := repairer.Pause{Scope: scope, Owner: "operator", Reason: "wait", Since: w.now}
	if until > 0 {
		p.Until = w.now.Add(time.Hour)
	}
	asked := w.proc
	_, err := asked.engine.Store.AddPause(ctx, p)
	switch {
	case asked.dead:
		w.bury(asked)
		return nil
	case errors.Is(err, errLost), errors.Is(err, glia.ErrStaleEpoch):
		return nil
	}
	return err
}

// approve notes the consent before it is given, because a crash may hide that it was taken.
func (w *world) approve(ctx context.Context, c repairer.Case, hash string) error {
	w.consent[c.ID] = append(w.consent[c.ID], hash)
	return w.said(w.proc.service.Approve(ctx, connect.NewRequest(&gliav1.ApproveRequest{CaseId: c.ID, Person: "operator", PlanHash: hash})))
}

func (w *world) unpark(ctx context.Context, c repairer.Case) error {
	return w.said(w.proc.service.Unpark(ctx, connect.NewRequest(&gliav1.UnparkRequest{CaseId: c.ID, Person: "operator", Reason: "try again"})))
}

// resolve is a technician at the tracker, which does not pass through the repairer.
func (w *world) resolve(ctx context.Context, c repairer.Case, resolution string) error {
	if w.proc == nil {
		return nil
	}
	t, err := w.proc.tickets.Ticket(ctx, c.Ticket)
	if err != nil || t.Status == repairer.TicketClosed {
		return err
	}
	_, err = w.proc.tickets.Resolve(ctx, c.Ticket, resolution, "technician", "")
	return err
}

// doRight is one round of everybody doing the right thing for the open cases.
func (w *world) doRight(ctx context.Context, open []repairer.Case, round int) error {
	if err := w.resumeAll(ctx); err != nil {
		return err
	}
	cased := map[string]bool{}
	for _, c := range open {
		cased[c.Serial()] = true
		if c.Replacement != nil {
			w.returnTo(c, c.Replacement.Serial(), true)
			if c.Step("mount").Done { // what a person has pulled since, a person mounts again
				w.onSerial(c.Host(), c.Replacement.Serial(), func(d *sim.Disk) { d.Mounted = c.Plan.Disk.Mounts[0].Target })
			}
			continue
		}
		switch {
		case !c.Started || c.Cancel != "":
			w.returnTo(c, c.Serial(), !c.Started)
		case c.Ticket != "":
			if err := w.swapRight(ctx, c); err != nil {
				return err
			}
		}
	}
	w.putBack()
	for i := range hosts {
		w.fleet.Do(name(i), func(h *sim.Host) {
			for _, d := range h.Slots {
				if !cased[d.Serial] {
					heal(d)
				}
			}
		})
	}
	if round%5 != 4 {
		return nil
	}
	for _, c := range open {
		if c.Parked != "" || c.Alarm != "" {
			if err := w.unpark(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// returnTo puts the disk with that serial into the place of the case, in good health when asked.
func (w *world) returnTo(c repairer.Case, serial string, healthy bool) {
	host, slot := c.Host(), c.Disk.Location.Slot
	there := w.inSlot(host, slot)
	if there != serial {
		if d := w.takeOut(func(x drawn) bool { return x.disk.Serial == serial }); d != nil {
			w.pull(host, slot)
			w.insert(host, slot, d)
		}
	}
	if healthy {
		w.onSerial(host, serial, heal)
	}
}

func (w *world) inSlot(host, slot string) (serial string) {
	w.fleet.Do(host, func(h *sim.Host) {
		if d := h.Slots[slot]; d != nil {
			serial = d.Serial
		}
	})
	return serial
}

// swapRight puts a good disk into the place of the case, unless one is there, and says so once.
func (w *world) swapRight(ctx context.Context, c repairer.Case) error {
	host, slot := c.Host(), c.Disk.Location.Slot
	good := false
	w.fleet.Do(host, func(h *sim.Host) {
		d := h.Slots[slot]
		good = d != nil && d.Content == "" && d.Size >= c.Disk.Identity.Size && !w.removed[d.Serial] && d.Serial != c.Serial() && d.State == glia.StateHealthy
	})
	if good {
		return nil
	}
	w.pull(host, slot)
	w.insert(host, slot, w.spare())
	return w.resolve(ctx, c, "done")
}

// resumeAll ends every pause, or as many as it can before the repairer dies of it.
func (w *world) resumeAll(ctx context.Context) error {
	for _, p := range slices.Clone(w.pauses) {
		if w.proc == nil {
			return nil
		}
		if err := w.said(w.proc.service.Resume(ctx, connect.NewRequest(&gliav1.ResumeRequest{Scope: p.Scope, Person: "operator", Reason: "done"}))); err != nil {
			return err
		}
	}
	return nil
}
