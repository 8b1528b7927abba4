package ceph

import (
	"fmt"
	"strconv"
	"strings"

	"glia/repairer"
)

// note is what is kept of one OSD before anything is changed, in the facts of the case.
type note struct {
	Weight   Weight // CRUSH weight
	Reweight Weight // as it was
	Goal     Weight // reweight that the new OSD gets: what it was, or was before the cluster marked it out
	Class    string
	Place    []string // CRUSH location
	PGs      int      // that it had; 0: not known
	KiB      uint64   // size; 0: not known
}

func noteOf(l Look, id int) (note, error) {
	o, known := l.Map.OSDs[id]
	n, placed := l.Tree.OSD(id)
	if !known || !placed {
		return note{}, fmt.Errorf("%s has no place in the CRUSH tree", name(id))
	}
	out := note{Weight: n.Weight, Reweight: o.Weight, Goal: o.Weight, Class: n.Class, Place: l.Tree.Place(id), PGs: l.Usage[id].PGs, KiB: l.Usage[id].Total}
	if out.Goal == 0 {
		out.Goal = o.Before
	}
	if out.Goal == 0 {
		out.Goal = 1
	}
	return out, nil
}

// The facts of a case are strings; each OSD has its own.
func (n note) facts(id int) map[string]string {
	p := name(id) + "."
	return map[string]string{
		p + "crush_weight": n.Weight.String(), p + "reweight": n.Reweight.String(), p + "goal": n.Goal.String(), p + "class": n.Class,
		p + "place": strings.Join(n.Place, " "), p + "pgs": strconv.Itoa(n.PGs), p + "kib": strconv.FormatUint(n.KiB, 10),
	}
}

// noted reads the note of an OSD back. ok is false when nothing was noted: then nothing was changed.
func noted(c repairer.Case, id int) (n note, ok bool, err error) {
	p := name(id) + "."
	if _, ok := c.Facts[p+"crush_weight"]; !ok {
		return note{}, false, nil
	}
	for key, to := range map[string]*Weight{"crush_weight": &n.Weight, "reweight": &n.Reweight, "goal": &n.Goal} {
		if *to, err = parseWeight(c.Facts[p+key]); err != nil {
			return note{}, false, fmt.Errorf("fact %s of case %s: %w", p+key, c.ID, err)
		}
	}
	n.Class, n.Place = c.Facts[p+"class"], strings.Fields(c.Facts[p+"place"])
	n.PGs, _ = strconv.Atoi(c.Facts[p+"pgs"]) // only used to pace
	n.KiB, _ = strconv.ParseUint(c.Facts[p+"kib"], 10, 64)
	return n, true, nil
}
