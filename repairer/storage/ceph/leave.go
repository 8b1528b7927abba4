package ceph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"glia/repairer"
)

// run is one call for one step of one case.
type run struct {
	*Driver
	*cluster
	act repairer.Act
	ids []int // OSDs of the case
}

// see looks at the cluster for a step. No look is older than Fresh.
func (s run) see(ctx context.Context) (Look, error) {
	l, err := s.cluster.see(ctx, s.Fresh, s.now)
	return l, waits(ctx, err)
}

// mon sends a command that changes something.
func (s run) mon(ctx context.Context, cmd Command) error {
	s.log.Info("changing the cluster", "cluster", s.Settings.Name, "case", s.act.Case.ID, "command", cmd.String())
	_, err := s.Cluster.Mon(ctx, cmd, nil)
	s.changed()
	return err
}

// mine says that the ids still mean the OSDs of the case; if not, why.
func (s run) mine(l Look) string {
	for _, osd := range s.act.Case.Disk.OSDs {
		switch o := l.Map.OSDs[osd.ID]; {
		case !o.Is("exists"):
			return name(osd.ID) + " is gone from the OSD map: somebody has purged it; make the OSD again by hand, or give it its id back"
		case !o.Is("destroyed") && o.UUID != osd.UUID:
			return fmt.Sprintf("%s is another OSD now (%s, it was %s): somebody has used its id again", name(osd.ID), o.UUID, osd.UUID)
		}
	}
	return ""
}

// note keeps what is about to be changed.
func (s run) note(ctx context.Context) (repairer.Progress, error) {
	l, err := s.see(ctx)
	if err != nil {
		return repairer.Progress{}, err
	}
	if why := s.mine(l); why != "" {
		return repairer.Progress{Refused: why}, nil
	}
	facts := map[string]string{}
	var lines []string
	for _, id := range s.ids {
		n, err := noteOf(l, id)
		if err != nil {
			return repairer.Progress{Refused: err.Error()}, nil
		}
		maps.Copy(facts, n.facts(id))
		lines = append(lines, fmt.Sprintf("%s has CRUSH weight %s, reweight %s, class %s, %d PGs, at %s", name(id), n.Weight, n.Reweight, n.Class, n.PGs, strings.Join(n.Place, " ")))
	}
	return repairer.Progress{Done: true, Facts: facts, Output: strings.Join(lines, "\n")}, nil
}

// drain empties the OSDs, a part at a time, until the manager says that they may be destroyed.
func (s run) drain(ctx context.Context) (repairer.Progress, error) {
	l, err := s.see(ctx)
	if err != nil {
		return repairer.Progress{}, err
	}
	if why := s.mine(l); why != "" {
		return repairer.Progress{Refused: why}, nil
	}
	pgs, err := pgsOf(ctx, s.Cluster, l, s.ids)
	if err != nil {
		return repairer.Progress{}, waits(ctx, err)
	}
	c := s.course(s.act.Case.ID, stepDrain)
	v := c.see(l, s.ids, pgs, s.Pacing)
	suffering := c.allow(l, s.ids, s.Pacing)
	weight := highest(l, s.ids)
	p := repairer.Progress{Text: c.progress(names(s.ids), v, weight)}
	against := s.against(l, c)
	switch {
	case weight > 0 && len(against) > 0:
		p.Waits = "it is not emptied further: " + against[0].Value
	case weight > 0 && !suffering && (v.heard || c.begun() || s.untouched(l)):
		return p, s.lower(ctx, l, c, v)
	case weight > 0 && suffering:
		p.Text += "; slowed down, because the other OSDs are slow to commit"
	case len(against) > 0 && v.moving > 0:
		p.Waits = "its data does not move on: " + against[0].Value
	case len(v.stuck) > 0:
		p.Waits = "its data does not move on: PGs are " + strings.Join(v.stuck, ", ")
	case v.on > 0 || v.moving > 0:
		if l.At.Sub(c.moved) > stalled {
			p.Waits = "nothing has moved for " + stalled.String()
		}
	case weight == 0:
		if r := manager(l); r != nil {
			p.Waits = r.Value
			return p, nil
		}
		a := safe(ctx, s.Cluster, l.Map, alive(l.Map, s.ids))
		if a.Is == Yes || len(alive(l.Map, s.ids)) == 0 {
			return repairer.Progress{Done: true, Output: names(s.ids) + " holds nothing that is not elsewhere"}, nil
		}
		if l.At.Sub(c.moved) > 2*s.Pacing.Quiet {
			p.Waits = "no PG is left, and still it may not be destroyed: " + a.Why
		}
	}
	return p, nil
}

// against is what forbids to move more data now. What the movement itself brings with it does not: PGs peer
// when the weight changes, and again when they have moved.
func (s run) against(l Look, c *course) []repairer.Refusal {
	settling := l.At.Sub(c.changed) < s.Pacing.Quiet || l.At.Sub(c.moved) < s.Pacing.Quiet
	return Unfitness(l, union(s.ids, s.flight(s.act.Case, s.act.Others)), s.Policy, settling)
}

// lower takes the next step down.
func (s run) lower(ctx context.Context, l Look, c *course, v sight) error {
	unseen := c.unseen(v)
	staying, moving := v.staying-unseen, v.moving+unseen
	if unseen > 0 && staying <= 0 {
		return nil // all that it holds was asked to go: how much that was shows by and by
	}
	changed := false
	for _, id := range s.ids {
		now := l.Map.OSDs[id].Weight
		next := lower(now, staying, moving, c.budget)
		if !l.Map.OSDs[id].Up { // it gives nothing away itself; the sooner copies are made elsewhere, the better
			next = 0
		}
		if next == now {
			continue
		}
		if err := s.mon(ctx, reweight(id, next)); err != nil {
			c.lost()
			return waits(ctx, err)
		}
		changed = true
	}
	if changed {
		c.began(s.now(), l.Map.Epoch+1, room(staying, moving, c.budget), v)
	}
	return nil
}

// untouched says that nothing was lowered yet, so that there is nothing to hear of.
func (s run) untouched(l Look) bool {
	for _, id := range s.ids {
		if n, ok, err := noted(s.act.Case, id); err != nil || !ok || l.Map.OSDs[id].Weight < n.Reweight {
			return false
		}
	}
	return true
}

// highest is the largest reweight of the OSDs.
func highest(l Look, ids []int) Weight {
	var w Weight
	for _, id := range ids {
		w = max(w, l.Map.OSDs[id].Weight)
	}
	return w
}

// stop has the daemons stopped, when nothing becomes inactive by it.
func (s run) stop(ctx context.Context) (repairer.Progress, error) {
	l, err := s.see(ctx)
	if err != nil {
		return repairer.Progress{}, err
	}
	if why := s.mine(l); why != "" {
		return repairer.Progress{Refused: why}, nil
	}
	up := slices.ContainsFunc(s.ids, func(id int) bool { return l.Map.OSDs[id].Up })
	if up {
		if highest(l, s.ids) > 0 {
			return repairer.Progress{Refused: names(s.ids) + " takes part again: somebody has raised its weight"}, nil
		}
		if a := stoppable(ctx, s.Cluster, l.Map, s.ids); a.Is != Yes {
			return repairer.Progress{Waits: "the cluster does not let it be stopped: " + a.Why}, nil
		}
	}
	return s.order(ctx)
}

// destroy gives the ids back to the cluster, for the new disk. It asks about all OSDs in repair together,
// right before each act, and nobody else of this repairer acts in between.
func (s run) destroy(ctx context.Context) (repairer.Progress, error) {
	if err := s.take(ctx); err != nil {
		return repairer.Progress{}, err
	}
	defer s.give()
	l, err := s.seeHeld(ctx, 0, s.now)
	if err != nil {
		return repairer.Progress{}, waits(ctx, err)
	}
	if why := s.mine(l); why != "" {
		return repairer.Progress{Refused: why}, nil
	}
	p := repairer.Progress{}
	for _, id := range s.ids {
		o := l.Map.OSDs[id]
		if o.Is("destroyed") {
			continue
		}
		if len(p.Commands) > 0 { // the map before is of before the last one was destroyed
			if l, err = s.seeHeld(ctx, 0, s.now); err != nil {
				return repairer.Progress{}, waits(ctx, err)
			}
			o = l.Map.OSDs[id]
		}
		if o.Up {
			return repairer.Progress{Waits: name(id) + " is up: its daemon was started again, or the cluster has not noticed yet that it is gone"}, nil
		}
		if o.Weight > 0 {
			return repairer.Progress{Refused: name(id) + " takes part again: somebody has raised its weight"}, nil
		}
		if a := safe(ctx, s.Cluster, l.Map, s.inFlight(l)); a.Is != Yes {
			return repairer.Progress{Waits: "whether it is safe to destroy: " + a.Is.String() + ", " + a.Why}, nil
		}
		cmd := destroy(id)
		s.log.Info("changing the cluster", "cluster", s.Settings.Name, "case", s.act.Case.ID, "command", cmd.String())
		_, err := s.Cluster.Mgr(ctx, cmd)
		s.changed()
		var said *CommandError
		if errors.As(err, &said) {
			return repairer.Progress{Waits: said.Error()}, nil
		}
		if err != nil {
			return repairer.Progress{}, waits(ctx, err)
		}
		p.Commands = append(p.Commands, cmd.String())
	}
	if l, err = s.seeHeld(ctx, 0, s.now); err != nil {
		return repairer.Progress{}, waits(ctx, err)
	}
	if left := alive(l.Map, s.ids); len(left) > 0 {
		return repairer.Progress{Waits: names(left) + " is not destroyed yet in the OSD map"}, nil
	}
	p.Done, p.Output = true, names(s.ids)+" destroyed; id and CRUSH place are kept"
	return p, nil
}

// inFlight are the OSDs that must be safe to destroy together: those of this case, and those of all
// others that are empty, or being emptied, and not destroyed yet.
func (s run) inFlight(l Look) []int {
	out := slices.Clone(s.ids)
	for _, o := range s.act.Others {
		if o.Step(stepDrain).Done {
			out = union(out, s.flight(o, nil))
		}
	}
	return alive(l.Map, out)
}

// startOld starts the daemons on the old disk again, if they were stopped.
func (s run) startOld(ctx context.Context) (repairer.Progress, error) {
	if !s.act.Case.Step(stepStop).Begun {
		return repairer.Progress{Done: true, Output: "it was not stopped"}, nil
	}
	if why, err := s.destroyed(ctx); why != "" || err != nil {
		return repairer.Progress{Refused: why}, err
	}
	return s.order(ctx)
}

// destroyed says that there is no way back.
func (s run) destroyed(ctx context.Context) (string, error) {
	l, err := s.cluster.see(ctx, 0, s.now)
	if err != nil {
		return "", waits(ctx, err)
	}
	if why := s.mine(l); why != "" {
		return why, nil
	}
	if len(alive(l.Map, s.ids)) < len(s.ids) {
		return names(s.ids) + " is destroyed in the cluster already: make it again by hand, on this disk or another one", nil
	}
	return "", nil
}

// restore gives the OSDs exactly the weights that they had.
func (s run) restore(ctx context.Context) (repairer.Progress, error) {
	if why, err := s.destroyed(ctx); why != "" || err != nil {
		return repairer.Progress{Refused: why}, err
	}
	l, err := s.cluster.see(ctx, 0, s.now)
	if err != nil {
		return repairer.Progress{}, waits(ctx, err)
	}
	p := repairer.Progress{Done: true}
	for _, id := range s.ids {
		n, ok, err := noted(s.act.Case, id)
		if err != nil {
			return repairer.Progress{Refused: err.Error()}, nil
		}
		if !ok { // nothing was changed before that
			continue
		}
		if l.Map.OSDs[id].Weight != n.Reweight {
			cmd := reweight(id, n.Reweight)
			if err := s.mon(ctx, cmd); err != nil {
				return repairer.Progress{}, waits(ctx, err)
			}
			p.Commands = append(p.Commands, cmd.String())
			p.Done = false // until it is seen to be so
		}
		p.Output += fmt.Sprintf("%s has reweight %s, as before\n", name(id), n.Reweight)
	}
	return p, nil
}
