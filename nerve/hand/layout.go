package hand

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"glia"
)

// Partition is one partition of a new table.
type Partition struct {
	GUID uuid.UUID
	Type uuid.UUID
	Name string // at most 36 characters
	Size uint64 // bytes, whole MiB
}

// The types by which Ceph's tools and udev rules know the partitions of an OSD (src/common/blkdev and the
// former ceph-disk of Ceph).
var partitionTypes = map[glia.OSDRole]uuid.UUID{
	glia.RoleBlock: uuid.MustParse("cafecafe-9b03-4f30-b4c6-b4b80ceff106"),
	glia.RoleDB:    uuid.MustParse("30cd0809-c2b2-499c-8879-2d6b78529876"),
	glia.RoleWAL:   uuid.MustParse("5ce17fce-4087-4169-b7ff-056cc58473f9"),
}

const mib = 1 << 20

// spare is what of a disk no partition takes: the table at both ends, and the alignment to one MiB.
const spare = 2 * mib

// partName is how a part of an OSD is called, such as "osd.3 db".
func partName(p osdRef) string { return fmt.Sprintf("%s %s", p, p.Role) }

// own is a uuid that nobody else gives away: of a part of one OSD, for one new disk. What carries it was made
// by an order for that disk.
func own(p osdRef, serial string) uuid.UUID {
	return uuid.NewSHA1(uuid.MustParse(p.UUID), []byte(string(p.Role)+" on "+serial))
}

// layout is how the parts of several OSDs share a new disk: in the order that they had on the old one, each
// with the same share of it. It is pure: the same order for the same disk gives the same layout.
func layout(parts []osdRef, oldSize uint64, d glia.Disk) ([]Partition, error) {
	sorted := slices.Clone(parts)
	slices.SortFunc(sorted, func(a, b osdRef) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Role, b.Role))
	})
	var out []Partition
	left := d.Identity.Size - min(spare, d.Identity.Size)
	for _, p := range sorted {
		size := p.Size
		if d.Identity.Size > oldSize {
			size = uint64(float64(p.Size) * (float64(d.Identity.Size) / float64(oldSize)))
		}
		size = min(size, left) / mib * mib // the last one may have begun before the first MiB
		if size < p.Size-min(p.Size, spare) || size == 0 {
			return nil, fmt.Errorf("disk %s has no room for the %s of %s, after those of the others: %s", d.Serial(), p.Role, p, bytesInWords(p.Size))
		}
		left -= size
		out = append(out, Partition{GUID: own(p, d.Serial()), Type: partitionTypes[p.Role], Name: partName(p), Size: size})
	}
	return out, nil
}

// partitionWords is how a person would make the table.
func partitionWords(device string, parts []Partition) string {
	words := []string{"sgdisk"}
	for i, p := range parts {
		n := strconv.Itoa(i + 1)
		words = append(words, "--new="+n+":0:+"+strconv.FormatUint(p.Size/mib, 10)+"M", "--typecode="+n+":"+p.Type.String(), "--partition-guid="+n+":"+p.GUID.String(), "--change-name="+n+":"+p.Name)
	}
	return commandLine(append(words, device)...)
}

// partitionPath is the path of the n-th partition of a disk, counted from 1, as the kernel names them.
func partitionPath(device string, n int) string {
	sep := ""
	if strings.ContainsAny(device[len(device)-1:], "0123456789") { // loop7p1, nvme0n1p1, but sda1
		sep = "p"
	}
	return device + sep + strconv.Itoa(n)
}
