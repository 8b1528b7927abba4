package disk

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"glia"
	"glia/nerve/disk/bluestore"
)

// unknownID is the id of an OSD that can not be told.
const unknownID = -1

// part is one device of an OSD on one disk.
type part struct {
	disk int // index of the candidate
	osd  glia.OSD
	lv   LV     // zero for a raw device
	name string // for others that refer to it: VG/LV or a stable path
}

// osds fills in which OSDs have a device on each disk: raw ones by BlueStore's label, those on LVs by
// ceph-volume's tags. What can not be read or does not fit together is said in Unknown.
func (s *Source) osds(ctx context.Context, t tree, ds devices, u *usage, found []candidate) {
	fronts := s.fronts.fronts(ctx, t, ds, u.worthReading(ds, found))
	parts := s.onLVs(ctx, t, ds, found, fronts)
	parts = append(parts, t.onRaw(ds, found, fronts)...)
	join(parts, found)
	for _, p := range parts {
		d := &found[p.disk].disk
		if !slices.Contains(d.OSDs, p.osd) {
			d.OSDs = append(d.OSDs, p.osd)
		}
	}
	for i := range found {
		slices.SortFunc(found[i].disk.OSDs, func(a, b glia.OSD) int {
			return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Device, b.Device))
		})
	}
}

// worthReading are the devices on the disks that may carry a label. Where udev has looked, it knows; else
// whatever nothing is mounted from, swapped to or built on but dm-crypt.
func (u *usage) worthReading(ds devices, found []candidate) []*device {
	var out []*device
	seen := map[string]bool{}
	for _, c := range found {
		for _, d := range ds.closure(c.device.name) {
			used := slices.Contains(u.swap, d.name) || slices.ContainsFunc(u.mounts, func(m mounted) bool { return slices.Contains(m.on, d.name) })
			for _, a := range d.above {
				used = used || ds[a] != nil && ds[a].number == 0 && ds[a].kind != "crypt" && ds[a].kind != "multipath"
			}
			switch kind := d.udev.Properties["ID_FS_TYPE"]; {
			case seen[d.name], d.hidden, d.size < bluestore.Size, used:
			case d.inUdev && kind != "ceph_bluestore" && !(kind == "" && d.kind == "crypt"):
			default:
				seen[d.name] = true
				out = append(out, d)
			}
		}
	}
	return out
}

// mapping is the name that ceph-volume gives to the open dm-crypt device of a raw OSD
// (prepare_dmcrypt in ceph_volume/devices/raw/prepare.py).
var mapping = regexp.MustCompile(`^ceph-([0-9a-f-]{36})-.+-(block|db|wal)-dmcrypt$`)

// onRaw are the parts that show a label themselves. On one disk a part is seen once, at the lowest device
// that shows it.
func (t tree) onRaw(ds devices, found []candidate, fronts map[string]front) []part {
	var out []part
	for i, c := range found {
		seen := map[string]bool{}
		onLV := map[string]bool{} // devices on LVs, which have tags
		for _, d := range ds.closure(c.device.name) {
			if d.kind == "lvm" || onLV[d.name] {
				for _, a := range d.above {
					onLV[a] = true
				}
				continue
			}
			f, read := fronts[d.name]
			if !read {
				continue
			}
			known := d.udev.Properties["ID_FS_TYPE"] == "ceph_bluestore" || mapping.MatchString(d.label)
			p := part{disk: i, osd: glia.OSD{ID: unknownID, Mode: glia.ModeRaw, Device: d.node(), Partition: ds.partition(d), Size: d.size, Encrypted: d.kind == "crypt"}, name: t.stable(d)}
			switch {
			case f.label != nil:
				p.osd = describeLabel(*f.label, p.osd)
			case f.err != nil && (known || !unreadable(f.err)):
				p.osd.Unknown = fmt.Sprintf("the label of /dev/%s: %v", d.node(), f.err)
			default:
				continue
			}
			key := p.osd.UUID + string(p.osd.Role)
			if p.osd.UUID != "" && seen[key] {
				continue
			}
			seen[key] = true
			out = append(out, p)
		}
	}
	return out
}

// describeLabel adds what a label tells.
func describeLabel(l bluestore.Label, o glia.OSD) glia.OSD {
	o.UUID = l.OSD
	switch l.Description {
	case bluestore.DB:
		o.Role = glia.RoleDB
		return o
	case bluestore.WAL:
		o.Role = glia.RoleWAL
		return o
	case bluestore.Main:
		o.Role = glia.RoleBlock
	default:
		o.Unknown = fmt.Sprintf("the label on %s describes it as %q, which is not known", o.Device, l.Description)
		return o
	}
	o.Cluster = l.Meta["ceph_fsid"]
	id, err := strconv.Atoi(l.Meta["whoami"])
	switch {
	case err != nil || id < 0:
		o.Unknown = fmt.Sprintf("the label on %s tells no OSD id: its making was not finished", o.Device)
	case !l.Finished():
		o.ID, o.Unknown = id, fmt.Sprintf("the label on %s says that its making was not finished", o.Device)
	default:
		o.ID = id
	}
	return o
}

// onLVs are the parts on logical volumes. lvs is asked only where something shows that LVM is in use.
func (s *Source) onLVs(ctx context.Context, t tree, ds devices, found []candidate, fronts map[string]front) []part {
	var sign strings.Builder
	var in []int // candidates with a physical volume
	for i, c := range found {
		used := false
		for _, d := range ds.closure(c.device.name) {
			if d.kind == "lvm" || fronts[d.name].lvm || d.udev.Properties["ID_FS_TYPE"] == "LVM2_member" {
				used = true
				fmt.Fprintln(&sign, identityOf(ds, d), d.label, d.above, fronts[d.name].lvm)
			}
		}
		if used {
			in = append(in, i)
		}
	}
	if len(in) == 0 {
		return nil
	}
	lvs, err := s.lvs(ctx, sign.String())
	if err != nil {
		var out []part
		for _, i := range in {
			out = append(out, part{disk: i, osd: glia.OSD{ID: unknownID, Mode: glia.ModeLVM, Unknown: fmt.Sprintf("whether its logical volumes are of an OSD: %v", err)}})
		}
		return out
	}
	r := t.resolver(ds)
	var out []part
	for _, v := range lvs {
		if v.role() == "" {
			continue
		}
		for _, i := range in {
			on := ds.closure(found[i].device.name)
			if slices.ContainsFunc(v.PVs, func(pv string) bool {
				name, ok := r.device("/dev/" + pv)
				return ok && slices.ContainsFunc(on, func(d *device) bool { return d.name == name })
			}) {
				out = append(out, part{disk: i, osd: describeLV(v), lv: v, name: v.Name})
			}
		}
	}
	return out
}

// describeLV tells what the tags of an LV tell.
func describeLV(v LV) glia.OSD {
	o := glia.OSD{ID: unknownID, UUID: v.Tags["osd_fsid"], Cluster: v.Tags["cluster_fsid"], Role: v.role(), Mode: glia.ModeLVM, Device: v.Name, Size: v.Size, Encrypted: v.Tags["encrypted"] == "1"}
	if class := v.Tags["crush_device_class"]; class != "None" {
		o.Class = class
	}
	id, err := strconv.Atoi(v.Tags["osd_id"])
	switch {
	case err != nil || id < 0:
		o.Unknown = fmt.Sprintf("the tags of %s tell no OSD id", v.Name)
	case o.UUID == "" || o.Cluster == "":
		o.ID, o.Unknown = id, fmt.Sprintf("the tags of %s lack ceph.osd_fsid or ceph.cluster_fsid", v.Name)
	default:
		o.ID = id
	}
	return o
}

// partition is the number of the partition that a device is, or is built on; 0 for none.
func (ds devices) partition(d *device) int {
	if d.number != 0 {
		return d.number
	}
	for _, below := range ds {
		if below.number != 0 && slices.Contains(below.above, d.name) {
			return below.number
		}
	}
	return 0
}

// join tells the parts of each OSD of each other, and says where that does not work out.
func join(parts []part, found []candidate) {
	serial := func(p part) string { return found[p.disk].disk.Serial() }
	for i := range parts {
		p := &parts[i]
		for j, q := range parts {
			same := q.osd.UUID == p.osd.UUID && p.osd.UUID != "" && i != j
			switch {
			case !same:
			case q.osd.Role == p.osd.Role && serial(q) != serial(*p) && (p.lv.UUID == "" || q.lv.UUID != p.lv.UUID):
				p.osd.Unknown = fmt.Sprintf("the %s of the same OSD is on disk %s too", p.osd.Role, serial(q))
			case q.osd.Role == p.osd.Role:
			case q.osd.Role == glia.RoleDB:
				p.osd.DB, p.osd.DBSerial = q.name, cmp.Or(p.osd.DBSerial, serial(q))
			case q.osd.Role == glia.RoleWAL:
				p.osd.WAL, p.osd.WALSerial = q.name, cmp.Or(p.osd.WALSerial, serial(q))
			case q.osd.Role == glia.RoleBlock:
				p.osd.Block, p.osd.BlockSerial = q.name, cmp.Or(p.osd.BlockSerial, serial(q))
				if p.osd.Mode == glia.ModeRaw && p.osd.ID == unknownID {
					p.osd.ID, p.osd.Cluster = q.osd.ID, q.osd.Cluster
				}
			}
		}
	}
	for i := range parts {
		o, tags := &parts[i].osd, parts[i].lv.Tags
		if o.Unknown != "" {
			continue
		}
		switch {
		case o.Role != glia.RoleBlock && o.ID == unknownID:
			o.Unknown = fmt.Sprintf("the block device of the OSD %s was not found on this host", o.UUID)
		case o.Role == glia.RoleBlock && tags["db_device"] != "" && o.DB == "":
			o.DB, o.Unknown = tags["db_device"], fmt.Sprintf("its DB %s was not found on a disk of this host", tags["db_device"])
		case o.Role == glia.RoleBlock && tags["wal_device"] != "" && o.WAL == "":
			o.WAL, o.Unknown = tags["wal_device"], fmt.Sprintf("its WAL %s was not found on a disk of this host", tags["wal_device"])
		}
	}
}
