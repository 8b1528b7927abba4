// Package filesystem is the storage driver for disks that are mounted one by one, as Cassandra, HDFS
// and other systems have them that keep their copies on other hosts.
//
// Draining is the operator's hook (nodetool, hdfs dfsadmin), run by the hand on the host; without one
// the disk is taken as it is. The filesystem is then unmounted, and made anew on the replacement with
// the old label, at the old mount point, with the old options. All acts are the hand's; this package
// only says which.
package filesystem

import (
	"context"
	"crypto/sha1"
	"fmt"
	"slices"
	"strings"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/repairer"
)

// Name is the driver's name in the configuration.
const Name = "filesystem"

// Types are the filesystems that the driver can make.
var Types = []string{"ext4", "xfs"}

// Driver is the driver. It is safe for concurrent use.
type Driver struct {
	hosts repairer.Hosts
}

var _ repairer.Driver = (*Driver)(nil)

// New makes the driver, which gives its orders through hosts.
func New(hosts repairer.Hosts) *Driver { return &Driver{hosts: hosts} }

// Name is the driver's name.
func (*Driver) Name() string { return Name }

// Plan says how the disk is taken out and a new one put in.
func (*Driver) Plan(d glia.Disk) repairer.Plan {
	p := repairer.Plan{Driver: Name, Disk: d}
	m, obstacle := filesystemOf(d)
	if obstacle != "" {
		p.Obstacle = obstacle
		return p
	}
	if m.Source != d.Location.Device && m.Source != "" {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s is on a partition (%s); on the new disk it will take the whole disk", m.Target, m.Source))
	}
	if m.Label == "" {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s has no label; if /etc/fstab names it by UUID, change that line to UUID=%s", m.Target, newUUID(d, m)))
	}
	old := &repairer.Filesystem{Type: m.FSType, Label: m.Label, UUID: m.UUID, Target: m.Target, Options: m.Options}
	made := &repairer.Filesystem{Type: m.FSType, Label: m.Label, UUID: newUUID(d, m), Target: m.Target, Options: m.Options}
	place := "the new disk in " + d.Location.Place()
	p.Steps = []repairer.PlanStep{
		{Name: "drain", Stage: repairer.StageDrain, Owner: "hand", Reversible: true, Text: "run the drain hook of " + d.Location.Host + " for " + m.Target,
			Order: &repairer.Order{Verb: gliav1.Verb_VERB_DRAIN, Filesystem: old}},
		{Name: "unmount", Stage: repairer.StageRelease, Owner: "hand", Reversible: true, Text: "unmount " + m.Target,
			Commands: []string{"umount " + m.Target}, Order: &repairer.Order{Verb: gliav1.Verb_VERB_UNMOUNT, Filesystem: old}},
		{Name: "burn-in", Stage: repairer.StageRejoin, Owner: "hand", Text: "prove that " + place + " is blank, write samples to it, read them back and make them zero again",
			Order: &repairer.Order{Verb: gliav1.Verb_VERB_BURN_IN, New: true, MinSize: d.Identity.Size}},
		{Name: "format", Stage: repairer.StageRejoin, Owner: "hand", Text: "prove that " + place + " is blank and make " + m.FSType + " on it",
			Commands: []string{mkfs(made) + " <" + place + ">"}, Order: &repairer.Order{Verb: gliav1.Verb_VERB_FORMAT, New: true, Filesystem: made, MinSize: d.Identity.Size}},
		{Name: "mount", Stage: repairer.StageRejoin, Owner: "hand", Reversible: true, Text: "mount it on " + m.Target,
			Commands: []string{"mount -t " + m.FSType + " UUID=" + made.UUID + " " + m.Target}, Order: &repairer.Order{Verb: gliav1.Verb_VERB_MOUNT, New: true, Filesystem: made}},
		{Name: "rejoin", Stage: repairer.StageRejoin, Owner: "hand", Text: "run the rejoin hook of " + d.Location.Host + " for " + m.Target,
			Order: &repairer.Order{Verb: gliav1.Verb_VERB_REJOIN, New: true, Filesystem: made}},
		{Name: "remount-old", Stage: repairer.StageRestore, Owner: "hand", Reversible: true, Text: "mount the old disk on " + m.Target + " again",
			Order: &repairer.Order{Verb: gliav1.Verb_VERB_MOUNT, Filesystem: old}},
		{Name: "rejoin-old", Stage: repairer.StageRestore, Owner: "hand", Reversible: true, Text: "run the rejoin hook for the old disk",
			Order: &repairer.Order{Verb: gliav1.Verb_VERB_REJOIN, Filesystem: old}},
	}
	return p
}

// filesystemOf finds the one filesystem of the disk, or says why the driver can not repair it.
func filesystemOf(d glia.Disk) (glia.Mount, string) {
	switch {
	case len(d.Holders) > 0:
		return glia.Mount{}, fmt.Sprintf("%s (%s) is built on it; this driver repairs disks that are mounted one by one", d.Holders[0].Name, d.Holders[0].Kind)
	case len(d.Swap) > 0:
		return glia.Mount{}, "it carries swap"
	case len(d.Mounts) == 0:
		return glia.Mount{}, "no filesystem of it is mounted, so nothing says what to put on a new one"
	case len(d.Mounts) > 1:
		var targets []string
		for _, m := range d.Mounts {
			targets = append(targets, m.Target)
		}
		return glia.Mount{}, "it is mounted in several places: " + strings.Join(targets, ", ")
	case len(d.Partitions) > 1:
		return glia.Mount{}, fmt.Sprintf("it has %d partitions; this driver repairs disks with one filesystem", len(d.Partitions))
	}
	m := d.Mounts[0]
	switch {
	case !slices.Contains(Types, m.FSType):
		return m, fmt.Sprintf("its filesystem is %s; this driver makes %s", m.FSType, strings.Join(Types, " and "))
	case m.UUID == "":
		return m, "the UUID of the filesystem on " + m.Target + " is not known, so it could not be recognised again"
	}
	return m, ""
}

// newUUID is the UUID of the filesystem to be made. It is computed (RFC 9562, version 5) from what is
// replaced, so that a repeated plan is the same plan, and a half-made filesystem is recognised.
func newUUID(d glia.Disk, m glia.Mount) string {
	h := sha1.Sum([]byte("glia filesystem\x00" + d.Serial() + "\x00" + d.Location.Host + "\x00" + m.UUID + "\x00" + m.Target))
	b := h[:16]
	b[6] = b[6]&0x0f | 0x50
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func mkfs(f *repairer.Filesystem) string {
	label := ""
	if f.Label != "" {
		label = " -L " + f.Label
	}
	if f.Type == "xfs" {
		return "mkfs.xfs -q" + label + " -m uuid=" + f.UUID
	}
	return "mkfs." + f.Type + " -q" + label + " -U " + f.UUID
}

// Do sends the step's order to the hand of the host.
func (dr *Driver) Do(ctx context.Context, a repairer.Act) (repairer.Progress, error) {
	c, o := a.Case, a.Step.Order
	if o == nil {
		return repairer.Progress{}, fmt.Errorf("step %s has no order for the hand", a.Step.Name)
	}
	disk := c.Disk
	if o.New {
		if c.Replacement == nil {
			return repairer.Progress{}, fmt.Errorf("step %s needs the new disk, which is not accepted yet", a.Step.Name)
		}
		disk = *c.Replacement
	}
	order := &gliav1.Order{
		Epoch: a.Epoch, CaseId: c.ID, Key: c.Key(a.Step.Name), Verb: o.Verb, Serial: disk.Serial(), Place: disk.Location.Place(), MinSize: o.MinSize,
	}
	if o.New {
		order.Key += "/" + disk.Serial()
		order.Retired = []string{c.Serial()}
	}
	if f := o.Filesystem; f != nil {
		order.Filesystem = &gliav1.Filesystem{Type: f.Type, Label: f.Label, Uuid: f.UUID, Target: f.Target, Options: f.Options}
	}
	r, err := dr.hosts.Execute(ctx, c.Host(), order)
	if err != nil {
		return repairer.Progress{}, err
	}
	p := repairer.Progress{Commands: r.GetCommands(), Output: r.GetOutput()}
	if o.Verb == gliav1.Verb_VERB_BURN_IN {
		if err := repairer.BurnInError(r); err != nil {
			return p, err
		}
	}
	switch r.GetState() {
	case gliav1.OrderState_ORDER_STATE_DONE:
		p.Done = true
	case gliav1.OrderState_ORDER_STATE_RUNNING:
		p.Waits = r.GetReason()
	case gliav1.OrderState_ORDER_STATE_REFUSED:
		p.Refused = r.GetReason()
	case gliav1.OrderState_ORDER_STATE_FAILED:
		return p, fmt.Errorf("%s on %s: %s", a.Step.Name, c.Host(), r.GetReason())
	default:
		return p, fmt.Errorf("%s on %s: the hand answered %s", a.Step.Name, c.Host(), r.GetState())
	}
	return p, nil
}
