// Package bluestore reads the label that Ceph's BlueStore keeps in the first block of each of its devices.
// It is pure: it works on bytes. It guarantees that a label it returns has a right checksum; anything else
// is an error, and ErrNoLabel only where nothing looks like a label at all.
package bluestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// Size is how much of a device the label takes, in bytes, from its very beginning
// (BDEV_LABEL_BLOCK_SIZE in Ceph's src/os/bluestore/BlueStore.cc).
const Size = 4096

// What a device is to its OSD, as Label.Description tells it.
const (
	Main = "main"
	DB   = "bluefs db"
	WAL  = "bluefs wal"
)

// ErrNoLabel means that the bytes do not begin as a label does.
var ErrNoLabel = errors.New("no BlueStore label")

// Label is what a device tells about the OSD that it belongs to.
type Label struct {
	OSD         string            // uuid of the OSD
	Size        uint64            // of the device when it was made, in bytes
	Born        time.Time         // when it was made
	Description string            // Main, DB or WAL
	Meta        map[string]string // only Main has whoami, ceph_fsid, ready, mkfs_done; never osd_key
	HasKey      bool              // the OSD's cephx key is there; it is a secret and not handed on
}

// magic begins the block; behind it come the uuid in words and a newline, for people who look at the disk.
const magic = "bluestore block device\n"

// preamble is the length of the part for people: 36 bytes of uuid and a newline behind the magic.
const preamble = len(magic) + 36 + 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Decode reads the first Size bytes of a device; fewer do if the label ends before.
//
// The format is bluestore_bdev_label_t of src/os/bluestore/bluestore_types.cc (releases Luminous to
// Squid): the preamble, then little endian version, compatible version and length as ENCODE_START writes
// them, the uuid in 16 bytes, size, birth in seconds and nanoseconds, description, from version 2 on the
// meta data, and last the CRC-32C (seed -1, not inverted) of all that is before it.
func Decode(block []byte) (Label, error) {
	if len(block) < len(magic) || string(block[:len(magic)]) != magic {
		return Label{}, ErrNoLabel
	}
	r := &reader{rest: block}
	r.take(preamble)
	version, compatible := r.byte(), r.byte()
	body := int(r.uint32())
	if r.short || body > len(r.rest) {
		return Label{}, errors.New("BlueStore label: cut off")
	}
	if compatible > 2 {
		return Label{}, fmt.Errorf("BlueStore label: version %d, which only readers of version %d understand", version, compatible)
	}
	end := len(block) - len(r.rest) + body
	if len(block) < end+4 {
		return Label{}, errors.New("BlueStore label: cut off")
	}
	sum, want := ^crc32.Checksum(block[:end], castagnoli), binary.LittleEndian.Uint32(block[end:])
	if sum != want {
		return Label{}, fmt.Errorf("BlueStore label: checksum is %08x, should be %08x", sum, want)
	}
	r.rest = r.rest[:body]
	l := Label{OSD: uuidText(r.take(16)), Size: r.uint64(), Meta: map[string]string{}}
	l.Born = time.Unix(int64(r.uint32()), int64(r.uint32())).UTC()
	l.Description = r.text()
	if version >= 2 {
		for n := r.uint32(); n > 0 && !r.short; n-- {
			key, value := r.text(), r.text()
			if key == "osd_key" {
				l.HasKey = value != ""
				continue
			}
			l.Meta[key] = value
		}
	}
	if r.short {
		return Label{}, errors.New("BlueStore label: a field reaches over its end")
	}
	if said := string(block[len(magic) : preamble-1]); said != l.OSD {
		return Label{}, fmt.Errorf("BlueStore label: uuid is %s, but %q in the words before", l.OSD, said)
	}
	return l, nil
}

// Finished says whether ceph-osd --mkfs came to its end on the device: it writes ready last of all. It
// says nothing of a DB or WAL.
func (l Label) Finished() bool { return l.Meta["ready"] == "ready" && l.Meta["mkfs_done"] == "yes" }

// reader takes fields from the front of rest; short is set when they are longer than that.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.rest, r.short = nil, true
		return make([]byte, min(n, 16))
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) text() string {
	n := r.uint32()
	if uint64(n) > uint64(len(r.rest)) {
		r.short = true
		return ""
	}
	return string(bytes.ToValidUTF8(r.take(int(n)), []byte("\uFFFD")))
}

func uuidText(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
