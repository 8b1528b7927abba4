package ceph

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"glia/repairer"
)

// prepare has the hand make the OSD on the new disk. When that does not succeed, ceph-volume takes back
// what it has done by `osd purge-new`, and the id and its CRUSH place are gone; or it does not come that
// far, and the id is left claimed. Both are put right before the next attempt: the OSD is destroyed
// again, at its place. That another attempt is made goes to the log before the order for it, so that what the
// hand makes in it is never taken for what the attempt before has left.
func (s run) prepare(ctx context.Context) (repairer.Progress, error) {
	l, err := s.see(ctx)
	if err != nil {
		return repairer.Progress{}, err
	}
	failed := s.act.Case.Step(stepPrepare) // a new OSD may also be one that the hand makes at this moment
	for _, id := range s.ids {
		o := l.Map.OSDs[id]
		switch {
		case o.Up || o.Is("exists") && !o.Is("destroyed") && !o.Is("new"):
			return repairer.Progress{Refused: fmt.Sprintf("%s is in use (%s): somebody has used its id again", name(id), o.UUID)}, nil
		case !o.Is("exists"):
			return s.mending(ctx, name(id)+" lost its id by a preparation that did not succeed, and gets it back", s.claim(ctx, id))
		case o.Is("new") && !o.Is("destroyed") && (o.UUID == claimUUID(id) || leftClaimed(failed)):
			return s.mending(ctx, name(id)+" "+givenUp, s.destroyNew(ctx, id))
		case o.Is("destroyed"):
			if done, err := s.putBack(ctx, l, id); err != nil || !done {
				return s.mending(ctx, name(id)+" gets its CRUSH place back", err)
			}
		}
	}
	if leftClaimed(failed) {
		return repairer.Progress{Waits: madeAgain}, nil
	}
	return s.order(ctx)
}

// madeAgain is said before the order for another attempt.
const madeAgain = "nothing is left of the attempt before, and another one is made"

// givenUp is said of an id that is in the map for nothing.
const givenUp = "is left claimed by a preparation that did not succeed, and is given up"

// leftClaimed says that an id which is new was left so by an attempt that failed, and is not one that the hand
// makes at this moment. What the log says last of the step tells it: the failure, or that the id is given up,
// which may take several calls.
func leftClaimed(s repairer.StepState) bool {
	return s.Error != "" && (!s.Waits || strings.Contains(s.Error, givenUp))
}

// mending waits for what is put right after a failed preparation. Trouble with that is said behind it.
func (s run) mending(ctx context.Context, what string, err error) (repairer.Progress, error) {
	if err == nil {
		return repairer.Progress{Waits: what}, nil
	}
	if w := (*waitError)(nil); errors.As(waits(ctx, err), &w) {
		return repairer.Progress{Waits: what + ": " + w.Error()}, nil
	}
	return repairer.Progress{}, err
}

// claimUUID is the uuid of an OSD that only keeps an id until it is destroyed. No disk has it.
func claimUUID(id int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", id) }

// claim makes an OSD of that id again and destroys it. Others may have taken the id meanwhile; then the cluster
// refuses.
func (s run) claim(ctx context.Context, id int) error {
	if err := s.mon(ctx, Command{"prefix": "osd new", "uuid": claimUUID(id), "id": id}); err != nil {
		return fmt.Errorf("give %s its id back: %w", name(id), err)
	}
	return s.destroyNew(ctx, id)
}

// putBack gives a destroyed OSD that has none its noted CRUSH place.
func (s run) putBack(ctx context.Context, l Look, id int) (done bool, err error) {
	n, ok, err := noted(s.act.Case, id)
	if err != nil || !ok {
		return false, fmt.Errorf("give %s its place back: it was not noted: %w", name(id), err)
	}
	if at := l.Tree.Place(id); len(at) > 0 {
		return true, nil
	}
	if err := s.mon(ctx, Command{"prefix": "osd crush add", "id": id, "weight": n.Weight, "args": n.Place}); err != nil {
		return false, fmt.Errorf("give %s its place back: %w", name(id), err)
	}
	if n.Class == "" {
		return false, nil
	}
	if err := s.mon(ctx, Command{"prefix": "osd crush set-device-class", "class": n.Class, "ids": words([]int{id})}); err != nil {
		return false, fmt.Errorf("give %s its class back: %w", name(id), err)
	}
	return false, nil
}

// destroyNew destroys an OSD that has never been up. An id that was made anew is in: it is taken out first, whoever
// made it and whatever came between, because once it has its CRUSH place it would be given data all at once.
func (s run) destroyNew(ctx context.Context, id int) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	l, err := s.seeHeld(ctx, 0, s.now)
	if err != nil {
		return err
	}
	o := l.Map.OSDs[id]
	if !o.Is("new") || o.Up {
		return fmt.Errorf("%s is no new OSD any more", name(id))
	}
	if o.In {
		if err := s.mon(ctx, Command{"prefix": "osd out", "ids": words([]int{id})}); err != nil {
			return fmt.Errorf("take the new %s out: %w", name(id), err)
		}
	}
	if a := safe(ctx, s.Cluster, l.Map, []int{id}); a.Is != Yes {
		return fmt.Errorf("give up the new %s: %s", name(id), a.Why)
	}
	_, err = s.Cluster.Mgr(ctx, destroy(id))
	s.changed() // also when the answer was lost
	if err != nil {
		return fmt.Errorf("give up the new %s: %w", name(id), err)
	}
	return nil
}

// activate has the hand start the new OSD. It is kept from taking part fully at once by the flag noin of
// its own, which ramp clears.
func (s run) activate(ctx context.Context) (repairer.Progress, error) {
	l, err := s.see(ctx)
	if err != nil {
		return repairer.Progress{}, err
	}
	for _, id := range s.ids {
		o := l.Map.OSDs[id]
		if !o.Is("exists") || o.Is("destroyed") {
			return repairer.Progress{Refused: name(id) + " is not prepared: it is destroyed, or gone from the OSD map"}, nil
		}
		if o.Weight > 0 || o.Is("noin") {
			continue
		}
		if err := s.mon(ctx, Command{"prefix": "osd set-group", "flags": "noin", "who": []string{name(id)}}); err != nil {
			return repairer.Progress{}, waits(ctx, err)
		}
	}
	return s.order(ctx)
}

// ramp lets the new OSD take its data, a part at a time.
func (s run) ramp(ctx context.Context) (repairer.Progress, error) {
	l, err := s.see(ctx)
	if err != nil {
		return repairer.Progress{}, err
	}
	pgs, err := pgsOf(ctx, s.Cluster, l, s.ids)
	if err != nil {
		return repairer.Progress{}, waits(ctx, err)
	}
	c := s.course(s.act.Case.ID, stepRamp)
	v := c.see(l, s.ids, pgs, s.Pacing)
	suffering := c.allow(l, s.ids, s.Pacing)
	p := repairer.Progress{Text: c.progress(names(s.ids), v, highest(l, s.ids))}
	full := true
	for _, id := range s.ids {
		n, ok, err := noted(s.act.Case, id)
		if err != nil || !ok {
			return repairer.Progress{Refused: fmt.Sprintf("the weight of %s was not noted", name(id))}, nil
		}
		o := l.Map.OSDs[id]
		if why := s.unready(l, id, n); why != "" {
			p.Waits = why
			return p, nil
		}
		if o.Weight == 0 {
			if done, err := s.place(ctx, l, id, n); err != nil || !done {
				return p, err
			}
		}
		if o.Weight > 0 && o.Is("noin") {
			if err := s.mon(ctx, Command{"prefix": "osd unset-group", "flags": "noin", "who": []string{name(id)}}); err != nil {
				return p, waits(ctx, err)
			}
		}
		if o.Weight >= n.Goal {
			full = full && !o.Is("noin")
			continue
		}
		full = false
		if against := s.against(l, c); len(against) > 0 {
			p.Waits = "it is not filled further: " + against[0].Value
			return p, nil
		}
		if suffering && o.Weight > 0 {
			p.Text += "; slowed down, because the other OSDs are slow to commit"
			return p, nil
		}
		if !v.heard && !c.begun() && o.Weight > 0 {
			return p, nil
		}
		moving := v.moving + c.unseen(v)
		if next := raise(o.Weight, n.Goal, n.PGs, moving, c.budget); next != o.Weight {
			if err := s.mon(ctx, reweight(id, next)); err != nil {
				c.lost()
				return p, waits(ctx, err)
			}
			c.began(s.now(), l.Map.Epoch+1, room(n.PGs, moving, c.budget), v)
		}
	}
	p.Done = full
	if full {
		p.Output = names(s.ids) + " takes part as before"
	}
	return p, nil
}

// unready says why the new OSD can not take data yet.
func (s run) unready(l Look, id int, n note) string {
	o := l.Map.OSDs[id]
	switch {
	case !o.Is("exists") || o.Is("destroyed"):
		return name(id) + " is not in the OSD map, or destroyed"
	case !o.Up:
		return name(id) + " is not up yet"
	}
	if at := l.Tree.Place(id); !slices.Equal(at, n.Place) {
		return fmt.Sprintf("%s is at %s, it was at %s: move it back, or let a person finish the repair", name(id), strings.Join(at, " "), strings.Join(n.Place, " "))
	}
	return ""
}

// place gives the new OSD its class and the CRUSH weight for its true size, before it takes any data: the
// noted weight for a disk of nearly the same size, and in proportion for another one.
func (s run) place(ctx context.Context, l Look, id int, n note) (done bool, err error) {
	node, _ := l.Tree.OSD(id)
	if n.Class != "" && node.Class != n.Class {
		if node.Class != "" { // it must be taken away before another one can be given
			if err := s.mon(ctx, Command{"prefix": "osd crush rm-device-class", "ids": words([]int{id})}); err != nil {
				return false, waits(ctx, err)
			}
		}
		return false, waits(ctx, s.mon(ctx, Command{"prefix": "osd crush set-device-class", "class": n.Class, "ids": words([]int{id})}))
	}
	want := trueWeight(n, l.Usage[id].Total)
	if math.Abs(float64(want-node.Weight)) < 2.0/0x10000 { // the resolution of CRUSH weights
		return true, nil
	}
	return false, waits(ctx, s.mon(ctx, Command{"prefix": "osd crush reweight", "name": name(id), "weight": want}))
}

// trueWeight is the CRUSH weight of a new OSD of that size.
func trueWeight(n note, kib uint64) Weight {
	const alike = 0.02 // share by which disks of one size differ, by vendor and by what the OSD keeps for itself
	if n.KiB == 0 || kib == 0 || math.Abs(float64(kib)/float64(n.KiB)-1) <= alike {
		return n.Weight
	}
	return Weight(math.Round(float64(n.Weight)*float64(kib)/float64(n.KiB)*0x10000) / 0x10000)
}

// refill waits until all PGs that the OSD is to have are clean, and it has data.
func (s run) refill(ctx context.Context) (repairer.Progress, error) {
	l, err := s.see(ctx)
	if err != nil {
		return repairer.Progress{}, err
	}
	pgs, err := pgsOf(ctx, s.Cluster, l, s.ids)
	if err != nil {
		return repairer.Progress{}, waits(ctx, err)
	}
	c := s.course(s.act.Case.ID, stepRefill)
	v := c.see(l, s.ids, pgs, s.Pacing)
	p := repairer.Progress{Text: c.progress(names(s.ids), v, highest(l, s.ids))}
	for _, id := range s.ids {
		n, _, err := noted(s.act.Case, id)
		o := l.Map.OSDs[id]
		switch {
		case err != nil:
			return repairer.Progress{Refused: err.Error()}, nil
		case !o.Is("exists") || o.Is("destroyed"):
			return repairer.Progress{Refused: name(id) + " is gone from the OSD map, or destroyed"}, nil
		case !o.Up || !o.In:
			p.Waits = name(id) + " is not up and in"
			return p, nil
		}
		none := !slices.ContainsFunc(pgs, func(pg PG) bool { return pg.Touches([]int{id}) })
		switch {
		case n.PGs > 0 && none && v.heard && l.At.Sub(c.changed) > s.Pacing.Quiet:
			p.Waits = fmt.Sprintf("no PG has come to %s, it had %d", name(id), n.PGs)
			return p, nil
		case n.PGs > 0 && none:
			return p, nil
		}
	}
	against := Flags(l, s.ids)
	switch {
	case len(v.stuck) > 0:
		p.Waits = "its data does not come: PGs are " + strings.Join(v.stuck, ", ")
	case v.moving > 0 && len(against) > 0:
		p.Waits = "its data does not come: an operator has set " + strings.Join(against, ", ")
	case v.moving > 0 && l.At.Sub(c.moved) > stalled:
		p.Waits = "nothing has moved for " + stalled.String()
	case v.moving == 0 && l.At.Sub(c.changed) > s.Pacing.Quiet: // PGs that are to come, and have not reported, are not seen
		ops, over := c.serving.look(l.At, Served(pgs, s.ids), s.Pacing.Quiet)
		if ops == 0 && v.on > 0 && !over {
			p.Text = fmt.Sprintf("all %d PGs of %s are active and clean; it is to serve a client yet", v.on, names(s.ids))
			return p, nil
		}
		p.Done, p.Text = true, ""
		p.Output = fmt.Sprintf("all %d PGs of %s are active and clean, and it has served %d reads and writes of clients since", v.on, names(s.ids), ops)
		if ops == 0 {
			p.Output = fmt.Sprintf("all %d PGs of %s are active and clean; no client has asked it for anything since", v.on, names(s.ids))
		}
	}
	return p, nil
}
