package trial

import (
	"context"
	"errors"
	"slices"
	"time"

	"glia"
	"glia/internal/sim"
	"glia/repairer"
)

// makeGood ends all trouble, lets everybody do the right thing, and waits for every case to end.
func (w *world) makeGood(ctx context.Context) error {
	w.calm, w.faults, w.cut, w.split, w.deposed, w.veto, w.sick = true, nil, map[string]bool{}, nil, nil, "", false
	if err := w.stopAll(false, false); err != nil {
		return err
	}
	w.now, w.skew = later(w.now, w.lastAt), 0
	w.forget()
	for i := range hosts {
		w.fleet.Do(name(i), func(h *sim.Host) {
			h.Down, h.Blind, h.Silent, h.Slow, h.Dies, h.Prober, h.Ahead = false, false, time.Time{}, 0, false, "1.0", 0
			for _, d := range h.Slots {
				d.Protected = ""
			}
		})
	}
	for _, x := range w.drawer {
		x.disk.Protected = ""
	}
	for n := range patience {
		if err := w.tick(ctx); err != nil {
			return err
		}
		if w.violation != nil || w.proc == nil {
			continue
		}
		open, err := w.open(ctx)
		if err != nil {
			return err
		}
		if len(open) == 0 && n > 0 {
			return w.final(ctx)
		}
		if err := w.doRight(ctx, open, n); err != nil {
			return err
		}
	}
	if w.violation == nil && w.proc != nil {
		open, err := w.open(ctx)
		if err != nil {
			return err
		}
		c := open[0]
		w.violate("liveness", "case %s of %s is still %s after %s of right doing, waiting for %q", c.ID, c.Serial(), c.Phase, patience*tick, c.WaitingFor())
	}
	return nil
}

// doRight is one round of everybody doing the right thing for the open cases.
func (w *world) doRight(ctx context.Context, open []repairer.Case, round int) error {
	if err := errors.Join(w.resumeAll(ctx), w.reset(ctx)); err != nil || w.proc == nil {
		return err
	}
	keep := 0 // more bad disks at a time would be a storm
	if w.carry {
		keep = 2
	}
	cased := map[string]bool{}
	for _, c := range open {
		cased[c.Serial()] = true
		if c.Replacement != nil {
			if slices.ContainsFunc(open, func(o repairer.Case) bool { return o.Serial() == c.Replacement.Serial() && (o.Started || w.carry) }) {
				continue // the new disk has a case of its own
			}
			if there := w.inSlot(c.Host(), c.Disk.Location.Slot); !c.Step("burn-in").Done && there != "" && there != c.Replacement.Serial() {
				continue // another one will do as well
			}
			w.returnTo(c, c.Replacement.Serial(), true)
			if c.Step("mount").Done { // what a person has pulled since, a person mounts again
				w.onSerial(c.Host(), c.Replacement.Serial(), func(d *sim.Disk) { d.Mounted = c.Plan.Disk.Mounts[0].Target })
			}
			continue
		}
		switch {
		case !c.Started && keep > 0 && w.carryable(c):
			keep--
			w.returnTo(c, c.Serial(), false)
			w.onSerial(c.Host(), c.Serial(), w.fail)
			if c.Plan != nil {
				for _, s := range signatures[:w.persons] {
					if err := w.approve(ctx, c, c.Plan.Hash(), s); err != nil {
						return err
					}
				}
			}
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
	if round%20 == 19 && !slices.ContainsFunc(open, func(c repairer.Case) bool { return c.Started }) {
		w.nextWindow()
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

// carryable says whether the case may be let go on: its disk is bad, and people agree that it is.
func (w *world) carryable(c repairer.Case) bool {
	d := w.truth(c.Host(), c.Serial())
	return w.modeOf(c.Host(), []glia.EvidenceClass{glia.Media, glia.Filesystem}) != repairer.ModeObserve && d.present && d.disk.Mounted != "" && d.disk.Protected == "" && (c.Plan == nil || c.Plan.Obstacle == "")
}

// nextWindow lets time go on until a maintenance window opens.
func (w *world) nextWindow() {
	closed := func(p repairer.Pool) bool { return !w.windowOpen(p.Name) }
	for n := 0; n < 8*24*60 && slices.ContainsFunc(w.pools, closed); n++ {
		w.now = w.now.Add(time.Minute)
	}
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
	letGo := func(serial string) bool {
		return slices.ContainsFunc(c.Unfit, func(r repairer.Rejection) bool { return r.Serial == serial })
	}
	w.fleet.Do(host, func(h *sim.Host) {
		d := h.Slots[slot]
		good = d != nil && !d.NoWrites && d.Content == "" && d.Size >= c.Disk.Identity.Size && !w.removed[d.Serial] && d.Serial != c.Serial() && d.State == glia.StateHealthy && !letGo(d.Serial)
	})
	if good {
		return nil
	}
	w.pull(host, slot)
	w.insert(host, slot, w.spare())
	return w.resolve(ctx, c, "done")
}
