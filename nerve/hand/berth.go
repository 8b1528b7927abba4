package hand

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/siderolabs/go-blockdevice/v2/block"
	"github.com/siderolabs/go-blockdevice/v2/partitioning/gpt"

	"glia"
	gliav1 "glia/api/glia/v1"
	"glia/nerve/disk"
)

// berths are the devices on a new disk that several OSDs share.
type berths struct {
	devices map[string]string // partitions, or VG/LV, by partName
	make    []act             // what makes those that are not there yet
	used    []string          // devices that were there before
	number  string            // major:minor of the disk
}

// berths finds or plans the division of the new disk. A disk that is not blank is refused, unless what is on it
// can only come from this very order, which must have begun before on that disk.
func (h *Hand) berths(ctx context.Context, o *gliav1.Order, d glia.Disk, known bool) (berths, error) {
	parts := partsOf(o)
	table, err := layout(parts, o.GetMinSize(), d)
	if err != nil {
		return berths{}, err
	}
	if known { // what the attempt before has left running claims the disk, which then seems to be nobody's own
		if err := openForWriting(d); err != nil {
			return berths{}, err
		}
	}
	p := prove(ctx, d)
	blank := p.blank()
	b := berths{devices: map[string]string{}, number: p.number}
	var ours bool
	if parts[0].Mode == glia.ModeLVM {
		ours, err = h.volumes(ctx, d, p, table, &b)
	} else {
		ours = h.partitions(d, p, table, &b)
	}
	if err != nil {
		return berths{}, err
	}
	ours = ours && known && !blank
	candidate := d
	if ours {
		candidate.Partitions, candidate.Holders = nil, nil
	}
	if findings := candidateFindings(candidate, o.GetMinSize(), o.GetRetired()); len(findings) > 0 {
		return berths{}, fmt.Errorf("disk %s: %s", d.Serial(), inWords(append(findings, p.obstacles...))) // they may be why it is not ours
	}
	if !blank && !ours {
		return berths{}, fmt.Errorf("%w: %s: %s", glia.ErrNotBlank, d, inWords(p.findings()))
	}
	if err := openForWriting(d); err != nil {
		return berths{}, err
	}
	return b, nil
}

// partitions are for OSDs on raw devices. The table is ours when it has exactly the partitions of this order,
// by their GUIDs; one that can not be read, on a disk that was blank when this order began, was torn.
func (h *Hand) partitions(d glia.Disk, p proof, table []Partition, b *berths) (ours bool) {
	for i, t := range table {
		b.devices[t.Name] = partitionPath(d.DevicePath(), i+1)
	}
	if len(p.obstacles) > 0 || slices.ContainsFunc(p.signatures, func(s signature) bool { return s.Kind != "gpt" && s.Kind != bootSector }) {
		return false
	}
	there, whole := tableOn(d.DevicePath())
	same := func(a Partition, id uuid.UUID) bool { return a.GUID == id }
	if ours = !whole || slices.EqualFunc(table, there, same); ours && (!whole || len(d.Partitions) != len(table)) {
		b.make = []act{{partitionWords(d.DevicePath(), table), func(context.Context) (string, error) {
			return "", h.opts.System.Partition(d.DevicePath(), table)
		}}}
	}
	return ours
}

// tableOn reads the GUIDs of the partitions of a disk; whole is false when there is no table, or none that can
// be read.
func tableOn(path string) (guids []uuid.UUID, whole bool) {
	dev, err := block.NewFromPath(path)
	if err != nil {
		return nil, false
	}
	defer dev.Close()
	wrapped, err := gpt.DeviceFromBlockDevice(dev)
	if err != nil {
		return nil, false
	}
	t, err := gpt.Read(wrapped)
	if err != nil {
		return nil, false
	}
	for _, p := range t.Partitions() {
		if p != nil {
			guids = append(guids, p.PartGUID)
		}
	}
	return guids, true
}

// volumes are for OSDs on logical volumes, in a volume group of their own. The disk is ours when nothing is on
// it but a physical volume of that group, or of none yet.
func (h *Hand) volumes(ctx context.Context, d glia.Disk, p proof, table []Partition, b *berths) (ours bool, err error) {
	group := "ceph-" + table[0].GUID.String()
	there := map[string]bool{}
	grouped := false
	if !p.blank() {
		if p.number == "" || slices.ContainsFunc(p.signatures, func(s signature) bool { return s.Kind != "lvm2-pv" }) || len(d.Partitions) > 0 {
			return false, nil
		}
		if ours, grouped = inGroup(d.Location, group); !ours {
			return false, nil
		}
		list := h.opts.LVs
		if list == nil {
			list = disk.ListLVs
		}
		report, err := list(ctx)
		if err != nil {
			return false, err
		}
		lvs, err := disk.DecodeLVs(report)
		if err != nil {
			return false, err
		}
		for _, lv := range lvs {
			there[lv.Name] = true
		}
	}
	c := h.opts.Ceph
	add := func(argv ...string) { b.make = append(b.make, h.tool(append(slices.Clone(c.Prefix), argv...))) }
	if !grouped {
		add("vgcreate", "--yes", group, d.DevicePath())
	}
	for _, t := range table {
		name := "osd-" + strings.ReplaceAll(strings.TrimPrefix(t.Name, "osd."), " ", "-") + "-" + t.GUID.String()
		b.devices[t.Name] = group + "/" + name
		if there[group+"/"+name] {
			b.used = append(b.used, group+"/"+name)
			continue
		}
		add("lvcreate", "--yes", "--name", name, "--size", strconv.FormatUint(t.Size, 10)+"b", group)
	}
	return true, nil
}

// inGroup reads the metadata of a physical volume, which is text: the first thing that it says of a group is
// the group's name (lib/format_text of LVM2).
func inGroup(l glia.Location, group string) (ours, grouped bool) {
	dev, err := openDevice(l, false)
	if err != nil {
		return false, false
	}
	defer dev.Close()
	e, err := dev.edges()
	if err != nil {
		return false, false
	}
	front := string(e.front)
	if strings.Contains(front, "\n"+group+" {") || strings.Contains(front, "\x00"+group+" {") {
		return true, true
	}
	return !strings.Contains(front, "seqno = "), false
}
