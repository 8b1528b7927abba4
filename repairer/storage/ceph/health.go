package ceph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"glia/repairer"
)

// Policy says which health checks of a cluster hold repairs back.
type Policy struct {
	Deny  []string // names of checks, beside DefaultDeny
	Allow []string // names of checks that hold nothing back, whatever else says so
}

// DefaultDeny are the health checks that hold repairs back unless they are allowed. A check that is not
// named here holds them back only if the cluster calls it an error. What the driver looks at by itself
// (flags, OSDs that are down, PGs that are degraded) has no place here.
var DefaultDeny = []string{
	"CEPHADM_PAUSED", "MGR_DOWN", "MON_CLOCK_SKEW", "MON_DISK_CRIT", "MON_DOWN", "OBJECT_UNFOUND", "OSD_BACKFILLFULL", "OSD_FULL",
	"OSD_NEARFULL", "OSD_OUT_OF_ORDER_FULL", "OSD_SCRUB_ERRORS", "PG_AVAILABILITY", "PG_BACKFILL_FULL", "PG_DAMAGED", "PG_RECOVERY_FULL", "POOL_FULL",
}

// own are checks that only repeat what the driver reads exactly from the maps.
var own = []string{"OSDMAP_FLAGS", "OSD_FLAGS", "OSD_DOWN", "OSD_HOST_DOWN", "PG_DEGRADED", "OBJECT_MISPLACED"}

// operatorFlags are the flags of a cluster that stop data from moving, or OSDs from being judged. People
// set them; glia waits until they are gone and never touches them.
var operatorFlags = []string{"nobackfill", "nodown", "noin", "noout", "norebalance", "norecover", "noup", "pauserd", "pausewr", "pauserec", "full"}

func refusal(value, limit, until string) repairer.Refusal {
	return repairer.Refusal{Gate: repairer.GateStorage, Value: value, Limit: limit, Until: until}
}

// Unfitness lists what is against moving any data in the cluster now, for a repair of these OSDs. It is
// asked before a case starts, before data is moved and before an OSD is destroyed. Each change of weight
// makes PGs peer for a moment; settling says that there was one just now, and that this is no trouble.
func Unfitness(l Look, ids []int, p Policy, settling bool) []repairer.Refusal {
	var out []repairer.Refusal
	add := func(r *repairer.Refusal) {
		if r != nil {
			out = append(out, *r)
		}
	}
	add(manager(l))
	add(quorum(l, p))
	add(managed(l))
	add(flagged(l, ids))
	add(inactive(l, settling))
	add(down(l, ids))
	add(upgrading(l))
	return append(out, checks(l, p)...)
}

// manager refuses statistics that may be old: with no active manager, status shows the last ones.
func manager(l Look) *repairer.Refusal {
	pgs := 0
	for _, p := range l.Map.Pools {
		pgs += p.PGs
	}
	known := 0
	for _, n := range l.Status.States {
		known += n
	}
	var r repairer.Refusal
	switch {
	case !l.Status.MgrAvailable:
		r = refusal("there is no active manager, so that the state of the PGs is not known", "an active manager", "one is started")
	case l.Status.PGs != known || known < pgs:
		r = refusal("the manager does not know the state of all PGs", "the state of all PGs", "it has heard of them")
	default:
		return nil
	}
	return &r
}

func quorum(l Look, p Policy) *repairer.Refusal {
	if len(l.Status.Quorum) >= l.Status.Mons || slices.Contains(p.Allow, "MON_DOWN") {
		return nil
	}
	r := refusal(fmt.Sprintf("%d of %d monitors are in quorum", len(l.Status.Quorum), l.Status.Mons), "all of them", "the others are back")
	return &r
}

// managed refuses clusters whose OSDs belong to an orchestrator, which would fight with glia over them.
func managed(l Look) *repairer.Refusal {
	var r repairer.Refusal
	switch {
	case slices.Contains(l.Status.Modules, "rook"):
		r = refusal("Rook manages the OSDs of this cluster and would make them again on its own", "OSDs made by ceph-volume", "they are replaced as Rook's documentation tells; glia does not")
	case slices.Contains(l.Status.Modules, "cephadm"):
		r = refusal("cephadm manages the OSDs of this cluster and may make them again on the old disk", "OSDs made by ceph-volume", "they are replaced with: ceph orch osd rm ID --replace; glia does not")
	default:
		return nil
	}
	return &r
}

// Flags are the operators' flags in force for any of the OSDs, in words: of the cluster, of the CRUSH
// nodes above them, of their device classes.
func Flags(l Look, ids []int) []string {
	var out []string
	for _, f := range l.Map.Flags {
		if slices.Contains(operatorFlags, f) {
			out = append(out, f)
		}
	}
	for _, id := range ids {
		for _, n := range l.Tree.Above(id) {
			for _, f := range l.Map.NodeFlags[n.Name] {
				out = append(out, f+" of "+n.Name)
			}
		}
		if n, ok := l.Tree.OSD(id); ok {
			for _, f := range l.Map.ClassFlags[n.Class] {
				out = append(out, f+" of class "+n.Class)
			}
		}
		for _, f := range []string{"noout", "noup", "nodown"} { // noin is the driver's own
			if l.Map.OSDs[id].Is(f) {
				out = append(out, f+" of "+name(id))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func flagged(l Look, ids []int) *repairer.Refusal {
	f := Flags(l, ids)
	if len(f) == 0 {
		return nil
	}
	r := refusal("an operator has set "+strings.Join(f, ", "), "no such flag", "an operator clears it; glia does not")
	return &r
}

// inactive refuses to move anything while data can not be read or written, or is lost, and while nobody tells of
// a PG any more, whose last state may be an active one.
func inactive(l Look, settling bool) *repairer.Refusal {
	bad := map[string]bool{}
	for state, n := range l.Status.States {
		parts := strings.Split(state, "+")
		passing := settling && (slices.Contains(parts, "peering") || slices.Contains(parts, "activating"))
		if n > 0 && !passing && (!slices.Contains(parts, "active") || slices.Contains(parts, "stale")) {
			bad[state] = true
		}
	}
	var r repairer.Refusal
	switch {
	case l.Status.Unfound > 0:
		r = refusal("objects are unfound", "none", "they are found, or given up by a person")
	case len(bad) > 0:
		r = refusal("PGs are "+strings.Join(slices.Sorted(maps.Keys(bad)), ", "), "every PG active", "they are active again")
	default:
		return nil
	}
	return &r
}

// down refuses while other OSDs are down and still in: their copies are missing, and nobody knows yet
// whether they come back.
func down(l Look, ids []int) *repairer.Refusal {
	var out []int
	for _, o := range l.Map.OSDs {
		if !o.Up && o.In && o.Is("exists") && !o.Is("destroyed") && !o.Is("new") && !slices.Contains(ids, o.ID) {
			out = append(out, o.ID)
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.Sort(out)
	value := names(out) + " down"
	if len(out) > 3 {
		value = fmt.Sprintf("%d OSDs are down", len(out))
	}
	r := refusal(value, "no other OSD is down", "they are up again, or out and their copies made anew")
	return &r
}

func upgrading(l Look) *repairer.Refusal {
	if len(l.Versions) <= 1 {
		return nil
	}
	r := refusal(fmt.Sprintf("the daemons run %d different versions: an upgrade is in progress", len(l.Versions)), "one version", "the upgrade is done")
	return &r
}

func checks(l Look, p Policy) []repairer.Refusal {
	var out []repairer.Refusal
	for _, id := range slices.Sorted(maps.Keys(l.Status.Checks)) {
		c := l.Status.Checks[id]
		denied := slices.Contains(p.Deny, id) || !slices.Contains(own, id) && (slices.Contains(DefaultDeny, id) || c.Severity == "HEALTH_ERR")
		if denied && !slices.Contains(p.Allow, id) {
			out = append(out, refusal("health check "+id, "checks that are allowed", "the cluster raises it no more, or it is added to allow"))
		}
	}
	return out
}
