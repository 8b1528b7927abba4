package hand

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"glia"
	"glia/api"
	gliav1 "glia/api/glia/v1"
)

// Where Ceph keeps its things on a host. ceph-volume knows no other places.
const (
	osdRoot       = "/var/lib/ceph/osd"
	bootstrapRoot = "/var/lib/ceph/bootstrap-osd"
	cephConfRoot  = "/etc/ceph"
)

// Manager is what starts and stops the daemons of the OSDs.
type Manager string

// The managers. ManagerFound is for whichever is found to run a daemon, and to be there for one that does
// not run.
const (
	ManagerFound   Manager = ""
	ManagerSystemd Manager = "systemd"
	ManagerRunit   Manager = "runit"
	ManagerCommand Manager = "command"
)

// Ceph is how OSDs are run and made on this host. In Service, StartCommand and StopCommand the words {id}
// and {cluster} stand for those of the OSD.
type Ceph struct {
	Manager Manager

	// Service is the systemd unit or the directory of the runit service; empty: ceph-osd@{id}, or
	// /etc/service/ceph-osd-{id}.
	Service string

	StartCommand []string // of ManagerCommand; returns once the daemon is started
	StopCommand  []string // of ManagerCommand; empty: SIGTERM to the daemon

	// Conf is the configuration of the cluster, for ceph-volume; empty: /etc/ceph/CLUSTER.conf.
	Conf string
	// Prefix is put in front of every ceph-volume, where Ceph is not installed on the host itself but in
	// a container or another namespace that has the host's /dev and /var/lib/ceph.
	Prefix []string

	StopTimeout time.Duration // until a daemon is gone; 0: 5 minutes
	MakeTimeout time.Duration // of ceph-volume, and until a daemon runs; 0: 15 minutes
}

func (c *Ceph) resolve() {
	c.StopTimeout = cmp.Or(c.StopTimeout, 5*time.Minute)
	c.MakeTimeout = cmp.Or(c.MakeTimeout, 15*time.Minute)
}

// env is the environment of ceph-volume.
func (c *Ceph) env() []string {
	if c.Conf == "" {
		return toolEnv
	}
	return append(slices.Clone(toolEnv), "CEPH_CONF="+c.Conf)
}

// volume is a command of ceph-volume.
func (c *Ceph) volume(cluster string, args ...string) []string {
	return slices.Concat(c.Prefix, []string{"ceph-volume", "--cluster", cluster}, args)
}

func fill(words []string, cluster string, id int) []string {
	r := strings.NewReplacer("{id}", strconv.Itoa(id), "{cluster}", cluster)
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = r.Replace(w)
	}
	return out
}

// osdRef is one OSD of an order, with the name of its cluster on this host.
type osdRef struct {
	glia.OSD
	cluster string
}

func (r osdRef) String() string { return "osd." + strconv.Itoa(r.ID) }

// dir is the directory of the OSD, by ceph-volume's convention.
func (r osdRef) dir() string {
	return filepath.Join(osdRoot, r.cluster+"-"+strconv.Itoa(r.ID))
}

// osdsOf are the OSDs of an order, each id once, its block part first.
func osdsOf(o *gliav1.Order) []osdRef {
	return slices.CompactFunc(partsOf(o), func(a, b osdRef) bool { return a.ID == b.ID })
}

// partsOf are the parts of OSDs that an order is about, in the order of ids.
func partsOf(o *gliav1.Order) []osdRef {
	var out []osdRef
	for _, p := range o.GetOsds() {
		out = append(out, osdRef{api.OSDFromProto(p), cmp.Or(o.GetClusterName(), "ceph")})
	}
	slices.SortStableFunc(out, func(a, b osdRef) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Role, b.Role)) // "block" sorts first
	})
	return out
}

// osdWords is what of an order's OSDs makes it the order it is.
func osdWords(o *gliav1.Order) string {
	var out []string
	parts := partsOf(o)
	for _, r := range parts {
		words := fmt.Sprintf("%s %s of %s (%s), %s", r, r.UUID, r.Cluster, r.cluster, r.Mode)
		if shared(parts) {
			words += fmt.Sprintf(", %s %d, %d bytes", r.Role, r.Partition, r.Size)
		}
		if r.Encrypted {
			words += ", encrypted"
		}
		for _, p := range []struct{ name, value string }{{"class", r.Class}, {"block", r.Block}, {"db", r.DB}, {"wal", r.WAL}} {
			if p.value != "" {
				words += ", " + p.name + " " + p.value
			}
		}
		out = append(out, words)
	}
	return strings.Join(out, "; ")
}

// osdProblems says what is wrong with the OSDs of an order as such.
func osdProblems(o *gliav1.Order) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(o.GetOsds()) == 0 {
		add("osds is empty: no OSD is named")
	}
	if n := o.GetClusterName(); n != "" && !keyPattern.MatchString(n) || strings.Contains(o.GetClusterName(), "/") {
		add("cluster_name %q must be letters, digits or ._:@+=-", n)
	}
	makes := o.GetVerb() == gliav1.Verb_VERB_OSD_PREPARE || o.GetVerb() == gliav1.Verb_VERB_OSD_ACTIVATE
	for _, p := range o.GetOsds() {
		r := api.OSDFromProto(p)
		if r.ID < 0 {
			add("osds: an id is %d, which is none", r.ID)
		}
		if !uuidPattern.MatchString(r.Cluster) {
			add("osds: the cluster of osd.%d is %q, not the fsid of a cluster", r.ID, r.Cluster)
		}
		if !uuidPattern.MatchString(r.UUID) {
			add("osds: the uuid of osd.%d is %q, not a uuid", r.ID, r.UUID)
		}
		if makes && r.Mode != glia.ModeRaw && r.Mode != glia.ModeLVM {
			add("osds: the mode of osd.%d is %q; OSDs are made in mode raw or lvm", r.ID, r.Mode)
		}
		for _, w := range []struct{ name, value string }{{"class", r.Class}, {"block", r.Block}, {"db", r.DB}, {"wal", r.WAL}} {
			if w.value != "" && (!bareWord.MatchString(w.value) || strings.HasPrefix(w.value, "-")) {
				add("osds: the %s of osd.%d is %q, which is no name", w.name, r.ID, w.value)
			}
		}
	}
	if parts := partsOf(o); makes && shared(parts) {
		out = append(out, sharingProblems(parts)...)
	}
	if o.GetVerb() == gliav1.Verb_VERB_OSD_PREPARE {
		out = append(out, sizeProblems(o.GetMinSize())...)
	}
	return out
}

// sharingProblems says why the parts of OSDs can not share a new disk.
func sharingProblems(parts []osdRef) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf("osds: "+format, args...)) }
	seen := map[string]bool{}
	for _, p := range parts {
		switch {
		case partitionTypes[p.Role] == uuid.Nil:
			add("%s has a part of the unknown role %q", p, p.Role)
		case p.Mode != parts[0].Mode:
			add("%s is %s and %s is %s; one disk has OSDs of one mode", parts[0], parts[0].Mode, p, p.Mode)
		case p.Size == 0:
			add("the size of the %s of %s is missing", p.Role, p)
		case p.Mode == glia.ModeRaw && p.Partition == 0 && len(parts) > 1:
			add("the %s of %s is on the whole disk, and other parts are on it too", p.Role, p)
		case seen[partName(p)]:
			add("the %s of %s is named twice", p.Role, p)
		}
		seen[partName(p)] = true
	}
	return out
}

var errNoCeph = errors.New("the OSDs of this host are not touched: see [hand.ceph] in the configuration of its nerve")

// standing proves that the OSDs of the order are those on the disk. What the disk can not tell any more is
// told by the OSD's directory, as long as its block device is a device of the disk: numbers are those of the
// disk and what is built on it.
func standing(d glia.Disk, refs []osdRef, numbers map[string]string) error {
	told := 0 // by their directories
	for _, r := range refs {
		i := slices.IndexFunc(d.OSDs, func(has glia.OSD) bool { return has.ID == r.ID })
		if i < 0 && slices.ContainsFunc(d.OSDs, func(has glia.OSD) bool { return has.ID < 0 }) && dirProves(r, numbers) {
			told++
			continue
		}
		if i < 0 {
			return fmt.Errorf("%w: %s is not on disk %s, which has %s", glia.ErrIdentityMismatch, r, d.Serial(), orNone(osdNames(d.OSDs)))
		}
		if has := d.OSDs[i]; has.UUID != r.UUID || has.Cluster != r.Cluster {
			return fmt.Errorf("%w: disk %s has %s %s of cluster %s, the order names %s of %s", glia.ErrIdentityMismatch, d.Serial(), r, has.UUID, has.Cluster, r.UUID, r.Cluster)
		}
	}
	for _, has := range d.OSDs {
		if has.ID < 0 && told > 0 {
			told--
			continue
		}
		if !slices.ContainsFunc(refs, func(r osdRef) bool { return r.ID == has.ID }) {
			return fmt.Errorf("%w: disk %s also has %s, which the order does not name", glia.ErrIdentityMismatch, d.Serial(), osdNames([]glia.OSD{has}))
		}
	}
	return nil
}

// dirProves says whether the OSD's directory is of that very OSD and of that disk.
func dirProves(r osdRef, numbers map[string]string) bool {
	for _, f := range []string{"whoami", "fsid", "ceph_fsid"} {
		if b, err := os.ReadFile(filepath.Join(r.dir(), f)); err != nil || strings.TrimSpace(string(b)) == "" {
			return false
		}
	}
	return dirBelongs("", r) == nil && leadsTo(filepath.Join(r.dir(), "block"), numbers)
}

func osdNames(osds []glia.OSD) string {
	var out []string
	for _, o := range osds {
		if o.ID < 0 {
			out = append(out, "an unknown OSD ("+o.Unknown+")")
			continue
		}
		out = append(out, "osd."+strconv.Itoa(o.ID))
	}
	return strings.Join(out, ", ")
}

// dirBelongs compares the directory of an OSD with the order, but for what the order leaves open. A
// directory that is not primed says nothing. root is the root directory of the process whose directory it is.
func dirBelongs(root string, r osdRef) error {
	for _, f := range []struct{ name, want string }{{"whoami", strconv.Itoa(r.ID)}, {"fsid", r.UUID}, {"ceph_fsid", r.Cluster}} {
		b, err := os.ReadFile(filepath.Join(root, r.dir(), f.name))
		if has := strings.TrimSpace(string(b)); err == nil && has != "" && f.want != "" && has != f.want {
			return fmt.Errorf("%w: %s of %s is %s, the order names %s", glia.ErrIdentityMismatch, f.name, r.dir(), has, f.want)
		}
	}
	return nil
}
