package ceph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"glia/repairer"
)

// Room says whether the data of the leaving OSDs fits on the others, by pool and by failure domain, and
// if not, why with figures. Nil means that it fits. It is careful rather than exact: it spreads data by
// weight, as CRUSH does on the average, and wants every OSD to stay below the backfillfull ratio of the
// map less the margin (a share of the OSD's size), because CRUSH's spread is not even.
//
// Leaving are all OSDs that are to be emptied; what is on them and the PGs that they serve say which
// pools have a say.
func Room(l Look, leaving []int, pgs []PG, margin float64) *repairer.Refusal {
	extra := map[int]float64{} // KiB, by OSD
	for _, id := range leaving {
		u, ok := l.Usage[id]
		if !ok {
			return unknownRoom(name(id) + " is not among the OSDs that the manager tells the usage of")
		}
		shares, r := poolShares(l, id, pgs)
		if r != nil {
			return r
		}
		kib := float64(u.Moves())
		if !l.Map.OSDs[id].Up { // nobody tells what was on it
			shares, kib = anyPool(l, id), max(kib, mean(l))
		}
		for _, pool := range slices.Sorted(maps.Keys(shares)) {
			if r := spread(l, pool, id, leaving, kib*shares[pool], extra); r != nil {
				return r
			}
		}
	}
	limit := l.Map.BackfillFull - margin
	for _, id := range slices.Sorted(maps.Keys(extra)) {
		u := l.Usage[id]
		if u.Total == 0 {
			return unknownRoom("the size of " + name(id) + " is not known")
		}
		after := (float64(u.Used) + extra[id]) / float64(u.Total)
		if after > limit {
			return &repairer.Refusal{
				Gate:  repairer.GateStorage,
				Value: fmt.Sprintf("%s would become %.0f%% full, it is %.0f%% full now", name(id), 100*after, 100*float64(u.Used)/float64(u.Total)),
				Limit: fmt.Sprintf("%.0f%% (backfillfull_ratio %.0f%% less a margin of %.0f%%)", 100*limit, 100*l.Map.BackfillFull, 100*margin),
				Until: "data is deleted or disks are added there",
			}
		}
	}
	return nil
}

func unknownRoom(why string) *repairer.Refusal {
	return &repairer.Refusal{Gate: repairer.GateStorage, Value: "whether the data fits elsewhere is not known: " + why, Limit: "known room", Until: "the cluster tells"}
}

// poolShares are the shares of the OSD's data that belong to each pool. An OSD without any PG has none.
func poolShares(l Look, id int, pgs []PG) (map[int]float64, *repairer.Refusal) {
	bytes, all := map[string]float64{}, 0.0
	for _, p := range pgs {
		if p.Touches([]int{id}) {
			bytes[p.Pool] += float64(p.Bytes) + 1 // so that a PG without data counts
			all += float64(p.Bytes) + 1
		}
	}
	out := map[int]float64{}
	for _, p := range l.Map.Pools {
		if b := bytes[fmt.Sprint(p.ID)]; b > 0 {
			out[p.ID] = b / all
			delete(bytes, fmt.Sprint(p.ID))
		}
	}
	if len(bytes) > 0 {
		return nil, unknownRoom("a PG of " + name(id) + " is of a pool that the OSD map does not have")
	}
	return out, nil
}

// anyPool gives an OSD that is down an equal share of each pool that may have used it.
func anyPool(l Look, id int) map[int]float64 {
	out := map[int]float64{}
	for _, p := range l.Map.Pools {
		r := l.Rules[p.Rule]
		if slices.ContainsFunc(l.Tree.Under(r.Root, r.Class), func(n Node) bool { return n.ID == id }) {
			out[p.ID] = 1
		}
	}
	for p := range out {
		out[p] = 1 / float64(len(out))
	}
	return out
}

// mean is the data of an OSD on the average, in KiB.
func mean(l Look) float64 {
	sum, n := 0.0, 0
	for id, u := range l.Usage {
		if l.Map.OSDs[id].Up {
			sum, n = sum+float64(u.Moves()), n+1
		}
	}
	return sum / float64(max(1, n))
}

// spread adds what the pool's part of one leaving OSD would bring to each other OSD.
func spread(l Look, poolID, from int, leaving []int, kib float64, extra map[int]float64) *repairer.Refusal {
	i := slices.IndexFunc(l.Map.Pools, func(p Pool) bool { return p.ID == poolID })
	pool := l.Map.Pools[i]
	rule, ok := l.Rules[pool.Rule]
	if !ok || !rule.Simple {
		return unknownRoom(fmt.Sprintf("rule %d of pool %s is not of the form that glia can compute with", pool.Rule, pool.Name))
	}
	home, ok := l.Tree.Domain(from, rule.Domain)
	if !ok {
		return unknownRoom(fmt.Sprintf("%s is in no %s", name(from), rule.Domain))
	}
	domains := map[int][]Node{} // of OSDs that can take data
	for _, n := range l.Tree.Under(rule.Root, rule.Class) {
		o := l.Map.OSDs[n.ID]
		d, ok := l.Tree.Domain(n.ID, rule.Domain)
		if ok && o.Up && o.In && n.Weight > 0 && !slices.Contains(leaving, n.ID) {
			domains[d] = append(domains[d], n)
		}
	}
	if len(domains) < pool.Size {
		return &repairer.Refusal{
			Gate:  repairer.GateStorage,
			Value: fmt.Sprintf("without %s only %d of type %s can take copies of pool %s", names(leaving), len(domains), rule.Domain, pool.Name),
			Limit: fmt.Sprintf("%d, one for each of its %d copies", pool.Size, pool.Size), Until: "there are more of them",
		}
	}
	// A copy may go to its own domain, or to one that has no copy of the same PG: of n-1 others, size-1
	// have one.
	free := 1.0
	others := len(domains)
	if _, ok := domains[home]; ok {
		others--
	}
	if others > 0 {
		free = max(0, 1-float64(pool.Size-1)/float64(others))
	}
	type target struct {
		id     int
		weight float64
	}
	var targets []target
	total := 0.0
	for d, nodes := range domains {
		for _, n := range nodes {
			w := float64(n.Weight) * float64(l.Map.OSDs[n.ID].Weight)
			if d != home {
				w *= free
			}
			if w > 0 {
				targets = append(targets, target{n.ID, w})
				total += w
			}
		}
	}
	if total == 0 {
		return &repairer.Refusal{
			Gate:  repairer.GateStorage,
			Value: fmt.Sprintf("nothing but %s itself can take its copies of pool %s: each other %s has one already", name(from), pool.Name, rule.Domain),
			Limit: "at least one other OSD", Until: "there are more of them",
		}
	}
	slices.SortFunc(targets, func(a, b target) int { return cmp.Compare(a.id, b.id) })
	for _, t := range targets {
		extra[t.id] += kib * t.weight / total
	}
	return nil
}
