package hand

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// What is read of a disk to recognise what it carries, in bytes. The front covers VMFS, which lies
// furthest in (2 MiB); the end covers the last two ZFS labels, MD 0.90 and 1.0, DDF and the second
// GPT. Both must be zero on a blank disk.
const (
	frontSize = 4 << 20
	endSize   = 1 << 20
)

// btrfsMirror is the second superblock of btrfs: the only one that survives when the front is wiped.
const (
	btrfsMirror = 64 << 20
	mirrorSize  = 4096
)

// signature is one thing recognised on a disk.
type signature struct {
	Kind  string // ext2, ext3, ext4, ext, xfs, gpt, md, …
	UUID  string // of a filesystem; lower case
	Label string
}

func (s signature) String() string {
	var facts []string
	if s.Label != "" {
		facts = append(facts, fmt.Sprintf("label %q", s.Label))
	}
	if s.UUID != "" {
		facts = append(facts, "UUID "+s.UUID)
	}
	if len(facts) == 0 {
		return s.Kind
	}
	return s.Kind + " (" + strings.Join(facts, ", ") + ")"
}

// is says whether it is the filesystem with this type and UUID. A damaged or half-made ext4 is only
// known to be some ext.
func (s signature) is(fsType, uuid string) bool {
	return s.UUID == uuid && (s.Kind == fsType || fsType == "ext4" && s.Kind == "ext")
}

// edges are the parts of a disk that are looked at.
type edges struct {
	front  []byte // from byte 0; frontSize bytes, or the whole of a smaller disk
	end    []byte // up to the last byte; endSize bytes, or the whole of a smaller disk
	mirror []byte // from byte btrfsMirror; empty on a smaller disk
	size   int64  // of the disk
}

// at returns n bytes from a position, counted from the end if it is negative; nil if they were not read.
func (e edges) at(pos int64, n int) []byte {
	if pos < 0 {
		pos += e.size
	}
	for _, part := range []struct {
		start int64
		data  []byte
	}{{0, e.front}, {e.size - int64(len(e.end)), e.end}, {btrfsMirror, e.mirror}} {
		from := pos - part.start
		if pos >= 0 && from >= 0 && from+int64(n) <= int64(len(part.data)) {
			return part.data[from : from+int64(n)]
		}
	}
	return nil
}

const bootSector = "boot sector or MBR partition table"

// magics are fixed bytes at fixed places. Sources: the on-disk format headers of the Linux kernel
// (include/uapi/linux/magic.h, fs/*/, drivers/md/), the SNIA DDF and UEFI specifications, and the
// tables in libblkid's documentation. A negative place counts from the end of the disk.
var magics = []struct {
	kind   string
	places []int64
	bytes  string
}{
	{bootSector, []int64{510}, "\x55\xaa"},
	{"gpt", []int64{512, 4096, -512, -4096}, "EFI PART"},
	{"lvm2-pv", []int64{0, 512, 1024, 1536}, "LABELONE"},
	{"luks", []int64{0}, "LUKS\xba\xbe"},
	{"luks", []int64{0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000}, "SKUL\xba\xbe"},
	{"md", []int64{0, 4096}, "\xfc\x4e\x2b\xa9"},
	{"ddf", []int64{-512, -131584}, "\xde\x11\xde\x11"},
	{"imsm", []int64{-1024, -8192}, "Intel Raid ISM Cfg Sig. "},
	{"bluestore", []int64{0}, "bluestore block device\n"},
	{"Ceph disk that is being replaced", []int64{0}, "CEPH_DEVICE_BEING_REPLACED"}, // ceph_volume/api/lvm.py
	{"bcache", []int64{4096 + 24}, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf7\x7f\x48\xba\x6d\x81"},
	{"btrfs", []int64{64<<10 + 64, btrfsMirror + 64}, "_BHRfS_M"},
	{"f2fs", []int64{1024}, "\x10\x20\xf5\xf2"},
	{"swap", []int64{4086, 8182, 16374, 32758, 65526}, "SWAPSPACE2"},
	{"swap", []int64{4086, 8182, 16374, 32758, 65526}, "SWAP-SPACE"},
	{"ntfs", []int64{3}, "NTFS    "},
	{"exfat", []int64{3}, "EXFAT   "},
	{"reiserfs", []int64{64<<10 + 52}, "ReIsEr"},
	{"jfs", []int64{32 << 10}, "JFS1"},
	{"gfs2", []int64{64 << 10}, "\x01\x16\x19\x70"},
	{"iso9660", []int64{32<<10 + 1}, "CD001"},
	{"udf", []int64{32<<10 + 1}, "BEA01"},
	{"vmfs", []int64{1 << 20, 2 << 20}, "\x0d\xd0\x01\xc0"},
	{"dm-integrity", []int64{0}, "integrt\x00"},
	{"vdo", []int64{0}, "dmvdo001"},
	{"stratis", []int64{512, 4608}, "!Stra0tis\x86\xff\x02^\x41rh"},
	{"drbd", []int64{-4068}, "\x83\x74\x02\x6b"},
}

// recognise tells what the edges of a disk show, one signature a kind. It is pure. It goes by magic
// bytes alone, so that what is damaged or half-made is recognised too.
func recognise(e edges) []signature {
	var out []signature
	add := func(s signature) {
		for _, known := range out {
			if known.Kind == s.Kind {
				return
			}
		}
		out = append(out, s)
	}
	if sb := e.at(1024, 1024); sb != nil && sb[56] == 0x53 && sb[57] == 0xef {
		add(signature{Kind: "ext", UUID: uuidText(sb[104:120]), Label: cString(sb[120:136])})
	}
	if sb := e.at(0, 512); sb != nil && string(sb[:4]) == "XFSB" {
		add(signature{Kind: "xfs", UUID: uuidText(sb[32:48]), Label: cString(sb[108:120])})
	}
	for _, m := range magics {
		for _, pos := range m.places {
			if string(e.at(pos, len(m.bytes))) == m.bytes {
				add(signature{Kind: m.kind})
			}
		}
	}
	for _, pos := range mdPlaces(e.size) {
		if string(e.at(pos, 4)) == "\xfc\x4e\x2b\xa9" || string(e.at(pos, 4)) == "\xa9\x2b\x4e\xfc" {
			add(signature{Kind: "md"})
		}
	}
	if hasUberblock(e) {
		add(signature{Kind: "zfs"})
	}
	return out
}

// mdPlaces are where MD keeps its superblock near the end: version 1.0 at least 8 KiB before it on
// a 4 KiB border, version 0.90 in the last whole 64 KiB block but one.
func mdPlaces(size int64) []int64 {
	var out []int64
	for _, p := range []int64{(size - 8<<10) &^ (4<<10 - 1), size&^(64<<10-1) - 64<<10} {
		if p > 0 {
			out = append(out, p)
		}
	}
	return out
}

// hasUberblock looks for one ZFS uberblock in any of the four labels of 256 KiB: two in front, two at
// the end. Uberblocks fill the second half of a label, at least 1 KiB each, in either byte order.
func hasUberblock(e edges) bool {
	const label, magic = 256 << 10, 0x00bab10c
	whole := e.size &^ (label - 1)
	for _, start := range []int64{0, label, whole - 2*label, whole - label} {
		for pos := start + label/2; start >= 0 && pos < start+label; pos += 1 << 10 {
			if b := e.at(pos, 8); b != nil && (binary.LittleEndian.Uint64(b) == magic || binary.BigEndian.Uint64(b) == magic) {
				return true
			}
		}
	}
	return false
}

// firstByte tells the place of the first byte that is not zero, -1 if all are.
func firstByte(b []byte) int {
	if rest := bytes.TrimLeft(b, "\x00"); len(rest) > 0 {
		return len(b) - len(rest)
	}
	return -1
}

func uuidText(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func cString(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return text(string(b))
}
