// Package smart decodes what disks say about themselves: the SMART pages and logs of ATA, the log pages
// of NVMe, the sense data and log pages of SCSI.
//
// Decoders are pure: they take bytes and give values, hold on to nothing, and allocate nothing, so that
// a value can be used again for the next page. A page that is too short, that fails its checksum or is
// another page than the one asked for is an error and leaves the value as it was; it is never half a
// result. Bytes that a standard leaves to the maker are not interpreted.
//
// Reading is in the same package where the system has the means (Linux: SG_IO and the NVMe admin
// command). It opens disks for reading only and sends no command that changes a disk or wakes it.
package smart

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var (
	// ErrShort says that a page ends before the last byte that its standard gives it.
	ErrShort = errors.New("page is too short")
	// ErrChecksum says that the bytes of an ATA structure do not add up to zero.
	ErrChecksum = errors.New("checksum is wrong")
	// ErrOtherPage says that the answer is not the page that was asked for.
	ErrOtherPage = errors.New("answer is another page")
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// sectorSize is the size of an ATA log page and of a SMART data structure.
const sectorSize = 512

// sector checks the length of an ATA structure of 512 bytes.
func sector(what string, b []byte) error {
	if len(b) < sectorSize {
		return fmt.Errorf("%s: %w: %d of %d bytes", what, ErrShort, len(b), sectorSize)
	}
	return nil
}

// summed checks the length and the checksum of an ATA structure: its 512 bytes add up to zero, modulo
// 256 (ATA8-ACS, 7.52.6.12).
func summed(what string, b []byte) error {
	if err := sector(what, b); err != nil {
		return err
	}
	var sum byte
	for _, v := range b[:sectorSize] {
		sum += v
	}
	if sum != 0 {
		return fmt.Errorf("%s: %w", what, ErrChecksum)
	}
	return nil
}

// Count is an unsigned number of 128 bits, as NVMe counts with.
type Count struct{ Lo, Hi uint64 }

func count128(b []byte) Count { return Count{Lo: le.Uint64(b), Hi: le.Uint64(b[8:])} }

// Float is the count as a number; beyond 2^53 it is rounded.
func (c Count) Float() float64 { return float64(c.Hi)*(1<<64) + float64(c.Lo) }

// Uint64 is the count, or the largest number when it does not fit.
func (c Count) Uint64() uint64 {
	if c.Hi > 0 {
		return math.MaxUint64
	}
	return c.Lo
}
