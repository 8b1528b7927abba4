package ceph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// The steps of a plan. Their names stand in the log of cases and do not change.
const (
	stepNote       = "note"
	stepDrain      = "drain"
	stepStop       = "stop"
	stepDestroy    = "destroy"
	stepDeactivate = "deactivate"
	stepBurnIn     = "burn-in"
	stepPrepare    = "prepare"
	stepActivate   = "activate"
	stepRamp       = "ramp"
	stepRefill     = "refill"
	stepStartOld   = "start-old"
	stepRestore    = "restore-weights"
)

// Plan says how the OSD leaves its disk and comes back on a new one. It reads nothing but the disk.
func (dr *Driver) Plan(d glia.Disk) repairer.Plan {
	p := repairer.Plan{Driver: Name, Disk: d, Units: max(1, len(idsOf(d)))}
	c, obstacle := dr.clusterOf(d)
	if obstacle == "" {
		obstacle = unrepairable(d)
	}
	if obstacle != "" {
		p.Obstacle = obstacle
		return p
	}
	ids := idsOf(d)
	osd, place, host := names(ids), "the new disk in "+d.Location.Place(), d.Location.Host
	its := "its"
	if len(ids) > 1 {
		its = "their"
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d OSDs leave together, because all of them need this disk: %s", len(ids), osd))
	}
	for _, o := range d.OSDs {
		switch {
		case o.Role != glia.RoleBlock:
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is lost without its %s on this disk; it is emptied, and made again on disk %s, which is wiped for it", name(o.ID), o.Role, o.BlockSerial))
		case o.DBSerial != "" && o.DBSerial != d.Serial() || o.WALSerial != "" && o.WALSerial != d.Serial():
			p.Warnings = append(p.Warnings, name(o.ID)+" has its DB or WAL on another disk; what is there is used again")
		}
	}
	storage := func(name string, stage repairer.Stage, reversible bool, text string, commands ...Command) repairer.PlanStep {
		s := repairer.PlanStep{Name: name, Stage: stage, Owner: "storage", Reversible: reversible, Text: text}
		for _, cmd := range commands {
			s.Commands = append(s.Commands, cmd.String())
		}
		return s
	}
	hand := func(name string, stage repairer.Stage, reversible bool, verb gliav1.Verb, fresh bool, text string) repairer.PlanStep {
		order := &repairer.Order{Verb: verb, New: fresh, OSDs: d.OSDs, ClusterName: c.HostName}
		if fresh {
			order.MinSize = d.Identity.Size
		}
		if verb == gliav1.Verb_VERB_BURN_IN {
			order.OSDs, order.ClusterName = nil, ""
		}
		return repairer.PlanStep{Name: name, Stage: stage, Owner: "hand", Reversible: reversible, Text: text, Order: order}
	}
	p.Steps = []repairer.PlanStep{
		storage(stepNote, repairer.StageDrain, true, "note weight, reweight, class and CRUSH place of "+osd,
			Command{"prefix": "osd dump"}, Command{"prefix": "osd tree"}),
		storage(stepDrain, repairer.StageDrain, true, "lower the reweight of "+osd+" to 0, in steps, and wait until all "+its+" data is elsewhere and clean",
			append(each(ids, func(id int) Command { return reweight(id, 0) }), Command{"prefix": "osd safe-to-destroy", "ids": words(ids)})...),
		hand(stepStop, repairer.StageRelease, true, gliav1.Verb_VERB_OSD_STOP, false, "stop the daemons of "+osd+" on "+host),
		storage(stepDestroy, repairer.StageRelease, false, "ask again whether it is safe, and destroy "+osd+"; "+its+" id and "+its+" CRUSH place are kept",
			append([]Command{{"prefix": "osd safe-to-destroy", "ids": words(ids)}}, each(ids, destroy)...)...),
		hand(stepDeactivate, repairer.StageRelease, true, gliav1.Verb_VERB_OSD_DEACTIVATE, false, "let go of the disk: unmount, close, deactivate what "+osd+" had of it"),
		hand(stepBurnIn, repairer.StageRejoin, false, gliav1.Verb_VERB_BURN_IN, true, "prove that "+place+" is blank, write samples to it, read them back and make them zero again"),
		hand(stepPrepare, repairer.StageRejoin, false, gliav1.Verb_VERB_OSD_PREPARE, true, "make "+osd+" on "+place+", in mode "+string(d.OSDs[0].Mode)),
		hand(stepActivate, repairer.StageRejoin, true, gliav1.Verb_VERB_OSD_ACTIVATE, true, "start "+osd+", which take no data yet"),
		storage(stepRamp, repairer.StageRejoin, true, "raise the reweight of "+osd+" to what it was, in steps", each(ids, func(id int) Command { return reweight(id, 1) })...),
		storage(stepRefill, repairer.StageRejoin, true, "wait until all PGs of "+osd+" are active and clean", each(ids, func(id int) Command { return Command{"prefix": "pg ls-by-osd", "osd": id} })...),
		hand(stepStartOld, repairer.StageRestore, true, gliav1.Verb_VERB_OSD_START, false, "start "+osd+" on the old disk again"),
		storage(stepRestore, repairer.StageRestore, true, "give "+osd+" the weights of before", each(ids, func(id int) Command { return reweight(id, 1) })...),
	}
	// The hand tells the exact commands in a dry run; the plan names the one that an operator would type.
	for i := range p.Steps {
		if p.Steps[i].Name == stepPrepare {
			p.Steps[i].Commands = prepareWords(d, ids, place)
		}
	}
	return p
}

// prepareWords name the commands that an operator would type.
func prepareWords(d glia.Disk, ids []int, place string) []string {
	var out []string
	for _, id := range ids {
		data, more := "", ""
		for _, o := range d.OSDs {
			switch {
			case o.ID != id:
			case o.Role == glia.RoleBlock:
				data = place
			default:
				data = cmp.Or(data, o.Block)
				more += fmt.Sprintf(" --block.%s <a part of %s>", o.Role, place)
			}
		}
		out = append(out, fmt.Sprintf("ceph-volume %s prepare --osd-id %d --data <%s>%s", d.OSDs[0].Mode, id, data, more))
	}
	return out
}

func each(ids []int, command func(int) Command) []Command {
	var out []Command
	for _, id := range ids {
		out = append(out, command(id))
	}
	return out
}

// unrepairable says why the driver can not carry the disk through a repair; empty when it can.
func unrepairable(d glia.Disk) string {
	for _, o := range d.OSDs {
		switch {
		case o.Unknown != "":
			return fmt.Sprintf("not everything is known of %s: %s", name(o.ID), o.Unknown)
		case o.Mode != glia.ModeRaw && o.Mode != glia.ModeLVM:
			return fmt.Sprintf("how %s was made is not known: mode %q", name(o.ID), o.Mode)
		case o.Mode != d.OSDs[0].Mode:
			return fmt.Sprintf("%s is %s and %s is %s; glia makes OSDs of one mode on one disk", name(d.OSDs[0].ID), d.OSDs[0].Mode, name(o.ID), o.Mode)
		case o.Role != glia.RoleBlock && o.BlockSerial == "":
			return fmt.Sprintf("%s is lost without its %s on this disk, and where its block device is was not told; update the nerve of %s", name(o.ID), o.Role, d.Location.Host)
		case divided(d) && o.Size == 0:
			return fmt.Sprintf("how large the %s of %s is was not told; update the nerve of %s", o.Role, name(o.ID), d.Location.Host)
		case o.Encrypted && o.Mode == glia.ModeRaw:
			return fmt.Sprintf("%s is raw and encrypted, and only who made it has its secret: %s", name(o.ID), byHand(d))
		}
	}
	switch {
	case len(d.Mounts) > 0:
		return d.Mounts[0].Target + " is mounted from it, beside the OSD"
	case len(d.Swap) > 0:
		return "it carries swap, beside the OSD"
	}
	for _, h := range d.Holders {
		if !slices.ContainsFunc(d.OSDs, func(o glia.OSD) bool {
			return h.Kind == "lvm" && o.Mode == glia.ModeLVM || h.Kind == "crypt" && o.Encrypted
		}) {
			return fmt.Sprintf("%s (%s) is built on it, which is not a part of %s", h.Name, h.Kind, names(idsOf(d)))
		}
	}
	for _, p := range d.Partitions {
		if !slices.ContainsFunc(d.OSDs, func(o glia.OSD) bool { return o.Mode == glia.ModeRaw && o.Partition == p.Number }) {
			return fmt.Sprintf("its partition %d is no part of an OSD that glia makes again", p.Number)
		}
	}
	return ""
}

// divided says whether OSDs have parts of the disk only.
func divided(d glia.Disk) bool {
	return len(d.OSDs) != 1 || d.OSDs[0].Role != glia.RoleBlock || d.OSDs[0].Partition > 0
}

// byHand is how a person replaces a disk under OSDs: all of them leave together, because they go together, and
// the manager is asked about all of them at once.
func byHand(d glia.Disk) string {
	ids := strings.Join(words(idsOf(d)), " ")
	return fmt.Sprintf("by hand: ceph osd out %[1]s; wait until ceph osd safe-to-destroy %[1]s agrees and all PGs are clean; stop them; "+
		"ceph osd destroy ID --yes-i-really-mean-it, for each; swap the disk; ceph-volume … prepare --osd-id ID, for each", ids)
}

// idsOf are the ids of the OSDs that have a part on the disk, each once, in order.
func idsOf(d glia.Disk) []int {
	var out []int
	for _, o := range d.OSDs {
		out = append(out, o.ID)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// clusterOf finds the cluster that the disk's OSDs belong to.
func (dr *Driver) clusterOf(d glia.Disk) (*cluster, string) {
	if len(d.OSDs) == 0 {
		return nil, "no Ceph OSD is on it"
	}
	fsid := d.OSDs[0].Cluster
	for _, o := range d.OSDs {
		if o.Cluster != fsid {
			return nil, "OSDs of several clusters are on it"
		}
	}
	c := dr.clusters[fsid]
	if c == nil {
		return nil, fmt.Sprintf("its OSD belongs to the cluster %q, which the repairer's configuration does not name", fsid)
	}
	return c, ""
}

func reweight(id int, w Weight) Command {
	return Command{"prefix": "osd reweight", "id": id, "weight": w}
}

func destroy(id int) Command { return Command{"prefix": "osd destroy", "id": id} }
