package ceph

import (
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
	o := d.OSDs[0]
	osd, place, host := name(o.ID), "the new disk in "+d.Location.Place(), d.Location.Host
	ids := []int{o.ID}
	if o.DB != "" || o.WAL != "" {
		p.Warnings = append(p.Warnings, osd+" has its DB or WAL on another disk; what is there is used again")
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
		storage(stepDrain, repairer.StageDrain, true, "lower the reweight of "+osd+" to 0, in steps, and wait until all its data is elsewhere and clean",
			reweight(o.ID, 0), Command{"prefix": "osd safe-to-destroy", "ids": words(ids)}),
		hand(stepStop, repairer.StageRelease, true, gliav1.Verb_VERB_OSD_STOP, false, "stop the daemon of "+osd+" on "+host),
		storage(stepDestroy, repairer.StageRelease, false, "ask again whether it is safe, and destroy "+osd+"; its id and its CRUSH place are kept",
			Command{"prefix": "osd safe-to-destroy", "ids": words(ids)}, destroy(o.ID)),
		hand(stepDeactivate, repairer.StageRelease, true, gliav1.Verb_VERB_OSD_DEACTIVATE, false, "let go of the disk: unmount, close, deactivate what "+osd+" had of it"),
		hand(stepBurnIn, repairer.StageRejoin, false, gliav1.Verb_VERB_BURN_IN, true, "prove that "+place+" is blank, write samples to it, read them back and make them zero again"),
		hand(stepPrepare, repairer.StageRejoin, false, gliav1.Verb_VERB_OSD_PREPARE, true, "make "+osd+" on "+place+", in mode "+string(o.Mode)),
		hand(stepActivate, repairer.StageRejoin, true, gliav1.Verb_VERB_OSD_ACTIVATE, true, "start "+osd+"; it takes no data yet"),
		storage(stepRamp, repairer.StageRejoin, true, "raise the reweight of "+osd+" to what it was, in steps", reweight(o.ID, 1)),
		storage(stepRefill, repairer.StageRejoin, true, "wait until all PGs of "+osd+" are active and clean", Command{"prefix": "pg ls-by-osd", "osd": o.ID}),
		hand(stepStartOld, repairer.StageRestore, true, gliav1.Verb_VERB_OSD_START, false, "start "+osd+" on the old disk again"),
		storage(stepRestore, repairer.StageRestore, true, "give "+osd+" the weights that it had", reweight(o.ID, 1)),
	}
	// The hand tells the exact commands in a dry run; the plan names the one that an operator would type.
	for i := range p.Steps {
		if p.Steps[i].Name == stepPrepare {
			p.Steps[i].Commands = []string{fmt.Sprintf("ceph-volume %s prepare --osd-id %d --data <%s>", o.Mode, o.ID, place)}
		}
	}
	return p
}

// unrepairable says why the driver can not carry the disk through a repair; empty when it can.
func unrepairable(d glia.Disk) string {
	var dbs []string
	blocks := 0
	for _, o := range d.OSDs {
		switch {
		case o.Unknown != "":
			return fmt.Sprintf("not everything is known of %s: %s", name(o.ID), o.Unknown)
		case o.Role == glia.RoleBlock:
			blocks++
		default:
			dbs = append(dbs, fmt.Sprintf("%s (%s)", name(o.ID), o.Role))
		}
	}
	switch {
	case len(dbs) > 0:
		return "without it all of these OSDs are lost, whose data is on other disks: " + strings.Join(dbs, ", ") + "; glia does not make them all again by itself; " + byHand(d)
	case blocks > 1:
		return fmt.Sprintf("%d OSDs are on it (%s); glia makes one OSD on one disk; %s", blocks, names(idsOf(d)), byHand(d))
	case len(d.Mounts) > 0:
		return d.Mounts[0].Target + " is mounted from it, beside the OSD"
	case len(d.Swap) > 0:
		return "it carries swap, beside the OSD"
	}
	o := d.OSDs[0]
	for _, h := range d.Holders {
		if !(h.Kind == "lvm" && o.Mode == glia.ModeLVM || h.Kind == "crypt" && o.Encrypted) {
			return fmt.Sprintf("%s (%s) is built on it, which is not a part of %s", h.Name, h.Kind, name(o.ID))
		}
	}
	switch o.Mode {
	case glia.ModeRaw:
		if len(d.Partitions) > 0 {
			return fmt.Sprintf("%s is on a disk with partitions; glia makes an OSD on a whole disk", name(o.ID))
		}
	case glia.ModeLVM:
		if len(d.Partitions) > 0 {
			return fmt.Sprintf("the volume group of %s is on a disk with partitions; glia makes an OSD on a whole disk", name(o.ID))
		}
	default:
		return fmt.Sprintf("how %s was made is not known: mode %q", name(o.ID), o.Mode)
	}
	return ""
}

// byHand is how a person replaces a disk under several OSDs: all of them leave together, because they go
// together, and the manager is asked about all of them at once.
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
