package hand

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// The measures of a burn-in, in bytes.
const (
	burnInBlock   = 1 << 20 // written at one place
	burnInSector  = 512     // carries its own place and checksum
	burnInAlign   = 4096    // the largest logical sector of any disk, for O_DIRECT
	burnInSpacing = 16 << 20

	defaultBurnIn = 64 << 20
)

// burnInPlaces are the bytes at which blocks are written: the first, the last, and others evenly
// between, as many as total allows, but no more than one in 16 MiB of the disk. They depend on nothing
// else. A disk smaller than one block has none.
func burnInPlaces(size, total int64) []int64 {
	if size < burnInBlock {
		return nil
	}
	last := (size - burnInBlock) &^ (burnInAlign - 1)
	n := min(max(size/burnInSpacing, 2), max(total/burnInBlock, 1))
	if n == 1 || last < burnInBlock {
		return []int64{0}
	}
	var out []int64
	for i := range n {
		// Divided first: the product would overflow on the largest disks.
		at := (last/(n-1)*i + last%(n-1)*i/(n-1)) &^ (burnInAlign - 1)
		out = append(out, at)
	}
	out[n-1] = last
	return slices.Compact(out)
}

// pattern is what one burn-in order writes to one disk. Each sector is different from every other one
// of every disk and order: it carries the mark, its own place, the name of the order and disk, a
// CRC-32C, and filling. Bytes 56 to 59 and the last four are zero, so that no sector is ever taken for a
// boot sector or an ext superblock.
type pattern struct{ name [sha256.Size]byte }

const (
	burnInMark = "glia burn-in 1\n\x00"

	placeAt, nameAt, checksumAt, fillingAt, fillingEnd = 16, 24, 60, 64, 508
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newPattern(key, serial string) pattern {
	return pattern{sha256.Sum256([]byte("glia burn-in\x00" + key + "\x00" + serial))}
}

// sector is the content of the sector that begins at a byte of the disk.
func (p pattern) sector(at int64) []byte {
	s := make([]byte, burnInSector)
	copy(s, burnInMark)
	binary.LittleEndian.PutUint64(s[placeAt:], uint64(at))
	copy(s[nameAt:], p.name[:])
	// Filling without long runs, from the place (SplitMix64).
	x := uint64(at) ^ binary.LittleEndian.Uint64(p.name[:])
	for i := fillingAt; i+8 <= fillingEnd; i += 8 {
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(s[i:], z^z>>31)
	}
	binary.LittleEndian.PutUint32(s[checksumAt:], checksum(s))
	return s
}

// checksum is that of a sector, its own four bytes left out.
func checksum(s []byte) uint32 {
	return crc32.Update(crc32.Checksum(s[:checksumAt], castagnoli), castagnoli, s[checksumAt+4:])
}

// placeIn is the place for which a sector was made by any burn-in, if it is whole.
func placeIn(s []byte) (at int64, whole bool) {
	if len(s) != burnInSector || !bytes.HasPrefix(s, []byte(burnInMark)) || binary.LittleEndian.Uint32(s[checksumAt:]) != checksum(s) {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(s[placeAt:])), true
}

func (p pattern) block(at int64) []byte {
	out := make([]byte, 0, burnInBlock)
	for off := int64(0); off < burnInBlock; off += burnInSector {
		out = append(out, p.sector(at+off)...)
	}
	return out
}

// foreign is the place of the first sector that is neither zero nor exactly what this pattern has
// there; -1 without one. A block that a crash cut short has sectors of both kinds.
func (p pattern) foreign(block []byte, at int64) int64 {
	for off := 0; off < len(block); off += burnInSector {
		s := block[off:min(off+burnInSector, len(block))]
		if firstByte(s) >= 0 && !bytes.Equal(s, p.sector(at+int64(off))) {
			return at + int64(off)
		}
	}
	return -1
}

// difference tells in words how the block that was read differs from the one that was written. Both
// begin at a byte of the disk.
func difference(got, want []byte, at int64) string {
	if len(got) != len(want) {
		return fmt.Sprintf("at byte %d came %d bytes, not %d", at, len(got), len(want))
	}
	for off := 0; off < len(got); off += burnInSector {
		g, w := got[off:min(off+burnInSector, len(got))], want[off:min(off+burnInSector, len(want))]
		if bytes.Equal(g, w) {
			continue
		}
		pos := at + int64(off)
		meant, whole := placeIn(g)
		switch {
		case whole && firstByte(w) < 0:
			return fmt.Sprintf("the sector at byte %d still has what was there before the last write", pos)
		case whole:
			return fmt.Sprintf("the sector at byte %d holds what was written to byte %d: the disk mixes up its sectors", pos, meant)
		case firstByte(g) < 0:
			return fmt.Sprintf("the sector at byte %d is zero: the write was lost", pos)
		}
		return fmt.Sprintf("the sector at byte %d does not hold what was written to it", pos)
	}
	return "no difference"
}
