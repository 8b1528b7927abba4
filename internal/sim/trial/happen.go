package trial

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"glia"
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
	case OpFail, OpAgain:
		onDisk(w.fail)
	case OpFailHalf:
		onDisk(func(d *sim.Disk) { w.fail(d); d.Witnesses = d.Witnesses[:1] })
	case OpStorm, OpBatch, OpRelease:
		w.many(e)
		return w.read(ctx, fmt.Sprintf("N%dS%s", e.Host+1, slot)) // at such times people look
	case OpHeal:
		onDisk(heal)
	case OpVague:
		onDisk(func(d *sim.Disk) { d.State = glia.StateUnknown })
	case OpFlap, OpFlicker:
		for range 1 + e.N%4 {
			onDisk(w.fail)
			if err := w.tick(ctx); err != nil {
				return err
			}
			onDisk(heal)
			if err := w.tick(ctx); err != nil {
				return err
			}
		}
		if e.Op == OpFlicker {
			onDisk(w.fail)
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
	case OpStop, OpGo:
		return w.stopAll(e.Op == OpStop, e.After)
	case OpVeto:
		w.veto = []string{"", "the cluster rebalances", "hook: exit status 1"}[e.N%3]
	case OpSick:
		w.sick = !w.sick
	case OpClock:
		w.setClock([]time.Duration{0, -30 * time.Second, -10 * time.Minute, -24 * time.Hour, 90 * time.Second}[e.N%5])
		if e.After && w.skew < -maxViewAge {
			w.killSoon(e)
		}
	case OpAhead:
		dies := e.N/15%2 == 0
		if dies {
			onDisk(w.fail) // its case begins before the clock is set right, and goes on after it
		} else if w.proc != nil && e.N/30%2 == 0 { // nothing may happen for longer than that
			if err := w.pause(ctx, "fleet", 5*time.Minute); err != nil {
				return err
			}
		}
		w.setClock(10 * time.Minute)
		for range 1 + e.N/5%3 {
			if err := w.tick(ctx); err != nil {
				return err
			}
		}
		w.setClock(0)
		if dies {
			w.killSoon(e)
		}
	case OpHostClock:
		onHost(func(h *sim.Host) { h.Ahead = 24*time.Hour - h.Ahead })
		onDisk(w.fail)
	case OpDies:
		onHost(func(h *sim.Host) { h.Dies = true })
	case OpSlow:
		onHost(func(h *sim.Host) { h.Slow = e.N % 4 })
	case OpUnplug:
		return w.unplug(ctx, e)
	case OpWait:
		w.now = w.now.Add(time.Duration(1+e.N%500) * time.Hour)
	case OpTick:
	case OpKill, OpDepose, OpStoreErr:
		w.faults = append(w.faults, &fault{op: e.Op, skip: e.N % 12, count: 1, after: e.After, ticks: 1 + e.N%3, says: e.N / 12 % 4})
	case OpLate:
		w.faults = append(w.faults, &fault{op: OpDepose, at: begin + repairer.StepTicket, count: 1, after: true, ticks: 1 + e.N%3})
	case OpFar:
		at := map[bool][2]string{false: {"order", untold}, true: {"tracker", untold}}[e.After][e.N/144%2]
		w.faults = append(w.faults, &fault{op: OpDepose, at: at, count: 1, ticks: 1 + e.N%3, says: 1 + e.N/12%3})
	case OpMeddle:
		w.faults = append(w.faults, &fault{op: e.Op, count: 1})
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

// setClock sets the repairers' clock.
func (w *world) setClock(skew time.Duration) {
	w.skew = skew
	w.forget() // what has run out may be in force again
}

// killSoon lets the repairer die after it has written down a little of what it met.
func (w *world) killSoon(e Event) {
	w.faults = append(w.faults, &fault{op: OpKill, skip: 1 + e.N/5%4, count: 1, after: true})
}

// aim is where a fault of one disk hits. Half of those that only matter until a case has started hit a
// disk whose case has not.
func (w *world) aim(ctx context.Context, e Event) (host, slot string) {
	host, slot = name(e.Host), fmt.Sprint(e.Slot)
	if n := len(w.past); e.Op == OpAgain && n > 0 {
		return w.past[n-1].Host(), w.past[n-1].Disk.Location.Slot
	}
	if w.proc == nil || !e.After || !slices.Contains([]Op{OpFailHalf, OpVague, OpProtect, OpRemount, OpHeal}, e.Op) {
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

func (w *world) fail(d *sim.Disk) {
	if d.State != glia.StateFailed {
		d.Since = w.now
	}
	d.Fail()
}

func heal(d *sim.Disk) { d.State, d.Since, d.Witnesses = glia.StateHealthy, time.Time{}, nil }

// many are disks that fail for one reason which is not theirs.
func (w *world) many(e Event) {
	for i := range hosts {
		w.fleet.Do(name(i), func(h *sim.Host) {
			if e.Op == OpRelease && i == e.Host {
				h.Prober = map[bool]string{false: "1.0", true: "2.0"}[e.After]
			}
			for _, d := range h.Slots {
				switch {
				case e.Op == OpStorm && (i+e.N)%3 > 0 && d.Firmware == "A", e.Op == OpBatch && d.Firmware == "B", e.Op == OpRelease && i == e.Host:
					w.fail(d)
				}
			}
		})
	}
}

// stopAll makes or removes the stop file. One that can not be looked for stops as well.
func (w *world) stopAll(stop, unreadable bool) error {
	dir := filepath.Dir(w.stop)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	w.stopped = stop
	if !stop {
		return nil
	}
	if unreadable {
		return os.WriteFile(dir, nil, 0o600) // a file where a folder should be
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(w.stop, nil, 0o600)
}

// unplug takes an accepted disk away right before its burn-in, or later, or only unmounts it.
func (w *world) unplug(ctx context.Context, e Event) error {
	if w.proc == nil {
		return nil
	}
	open, err := w.open(ctx)
	if err != nil {
		return err
	}
	for _, c := range open {
		switch {
		case c.Replacement == nil:
		case e.N%3 == 0 && c.Step("mount").Done: // by a person, who will have reasons
			w.onSerial(c.Host(), c.Replacement.Serial(), func(d *sim.Disk) { d.Mounted = "" })
		case !e.After || !c.Step("burn-in").Done:
			w.pull(c.Host(), c.Disk.Location.Slot)
			if e.N%3 == 1 { // and puts another one there
				w.insert(c.Host(), c.Disk.Location.Slot, w.spare())
			}
		}
	}
	return nil
}

// remount is an operator who mounts a filesystem elsewhere, which changes every plan for its disk.
func remount(d *sim.Disk, n int) {
	if d.Mounted != "" {
		d.Mounted = fmt.Sprintf("/data/moved-%d", n%3) // or back to where it was
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
