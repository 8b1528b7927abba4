package history

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"glia"
)

// A file is a row of frames: the length of the body as a uvarint, the body, and its CRC-32C in four bytes. The
// first byte of a body tells its kind:
//
//	0  head:   the version, then the serial of the disk. The first frame of a file, and no other
//	1  define: class and quantity, each with its length before it. The first one is number 0, and so on
//	2  points: seconds since the points before, or since 1970 for the first (varint), and then, until the end,
//	           number of the quantity (uvarint) and value
//
// A value is a uvarint: 1 for unknown, 3 for the eight bytes of a float64 that follow, else an even number, half
// of which is the value, a whole number.
const (
	kindHead   = 0
	kindDefine = 1
	kindPoints = 2

	version = 1

	maxBody = 64 << 10
	maxText = 1 << 10
)

const (
	tagUnknown = 1
	tagFloat   = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type point struct {
	id int
	cell
}

func frame(b, body []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(body)))
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
}

func frameHead(b []byte, serial string) []byte {
	return frame(b, append([]byte{kindHead, version}, serial...))
}

func frameDefine(b []byte, k key) []byte {
	return frame(b, appendText(appendText([]byte{kindDefine}, string(k.class)), k.what))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func framePoints(b []byte, delta int64, points []point) []byte {
	body := binary.AppendVarint([]byte{kindPoints}, delta)
	for _, p := range points {
		body = binary.AppendUvarint(body, uint64(p.id))
		// Beyond 2^53 a float64 has no exact whole numbers, and 2^62 is where doubling ends.
		switch whole := int64(p.value); {
		case p.unknown:
			body = binary.AppendUvarint(body, tagUnknown)
		case math.Abs(p.value) < 1<<53 && float64(whole) == p.value && !math.Signbit(p.value):
			body = binary.AppendUvarint(body, uint64(whole)<<1)
		default:
			body = binary.AppendUvarint(body, tagFloat)
			body = binary.LittleEndian.AppendUint64(body, math.Float64bits(p.value))
		}
	}
	return frame(b, body)
}

// decoded is what a file says, as far as it can be read.
type decoded struct {
	good   int // bytes up to the end of the last good frame
	last   int64
	series []known
}

// decode reads the file of a disk up to its first bad frame and gives each point to tell, unless it is nil.
func decode(b []byte, serial string, tell func(key, int64, cell)) decoded {
	var d decoded
	for first := true; d.good < len(b); first = false {
		rest := b[d.good:]
		n, w := binary.Uvarint(rest)
		if w <= 0 || n == 0 || n > maxBody || uint64(len(rest)-w) < n+4 {
			return d
		}
		body := rest[w : w+int(n)]
		if binary.LittleEndian.Uint32(rest[w+int(n):]) != crc32.Checksum(body, castagnoli) || first != (body[0] == kindHead) {
			return d
		}
		if !d.body(body, serial, tell) {
			return d
		}
		d.good += w + int(n) + 4
	}
	return d
}

func (d *decoded) body(body []byte, serial string, tell func(key, int64, cell)) bool {
	switch kind, r := body[0], (&reader{b: body[1:]}); kind {
	case kindHead:
		return len(r.b) > 0 && r.b[0] == version && string(r.b[1:]) == serial
	case kindDefine:
		k := key{class: glia.EvidenceClass(r.text()), what: r.text()}
		if r.bad || len(r.b) > 0 || len(d.series) >= maxSeries {
			return false
		}
		d.series = append(d.series, known{k, cell{unknown: true}})
	case kindPoints:
		at := d.last + r.varint()
		var points []point
		for len(r.b) > 0 && !r.bad {
			points = append(points, point{int(min(r.uvarint(), maxSeries)), r.cell()})
		}
		for _, p := range points {
			if r.bad || p.id >= len(d.series) {
				return false
			}
		}
		if r.bad || at < 0 || at > maxTime {
			return false
		}
		for _, p := range points {
			d.series[p.id].now = p.cell
			if tell != nil {
				tell(d.series[p.id].key, at, p.cell)
			}
		}
		d.last = at
	default:
		return false
	}
	return true
}

// maxTime is the year 9999, the last that JSON and protobuf can tell.
const maxTime = 253402300799

// reader takes numbers and texts from a body. Once one is bad all are.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, w := binary.Uvarint(r.b)
	return v * r.took(w)
}

func (r *reader) varint() int64 {
	v, w := binary.Varint(r.b)
	return v * int64(r.took(w))
}

// took moves on by w bytes and returns 1, or 0 when there are none.
func (r *reader) took(w int) uint64 {
	if r.bad || w <= 0 || w > len(r.b) {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return 1
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > maxText || n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) cell() cell {
	switch tag := r.uvarint(); {
	case tag == tagUnknown:
		return cell{unknown: true}
	case tag&1 == 0:
		return cell{value: float64(tag >> 1)}
	case tag == tagFloat && len(r.b) >= 8:
		v := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
		r.b = r.b[8:]
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return cell{value: v}
		}
	}
	r.bad, r.b = true, nil
	return cell{}
}
