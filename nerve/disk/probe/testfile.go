package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// TestFileSize is the size in bytes of the file that Write keeps on a filesystem.
const TestFileSize = 4096

// Layout, little endian: magic, sequence number, length of the serial, serial, filling, checksum.
const (
	testFileMagic  = "gliaprb1"
	seqAt          = len(testFileMagic)
	serialLengthAt = seqAt + 8
	serialAt       = serialLengthAt + 2
	sumAt          = TestFileSize - 4

	// maxSerial bounds the serial that is written. The longest ones that disks have (VPD page 80h) fit.
	maxSerial = 256
)

// errTestFile says that a block is not a whole test file.
var errTestFile = errors.New("the test file is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// TestFile is the content of the file that Write keeps on a filesystem. Sequence numbers grow by one with
// each writing, so that no two writings have the same bytes anywhere but in the serial.
type TestFile struct {
	Seq    uint64
	Serial string // of the disk; cut to 256 bytes
}

// Encode returns the TestFileSize bytes of the file.
func (t TestFile) Encode() []byte {
	b := make([]byte, TestFileSize)
	serial := t.Serial[:min(len(t.Serial), maxSerial)]
	copy(b, testFileMagic)
	binary.LittleEndian.PutUint64(b[seqAt:], t.Seq)
	binary.LittleEndian.PutUint16(b[serialLengthAt:], uint16(len(serial)))
	fill := b[serialAt+copy(b[serialAt:], serial) : sumAt]
	x := t.Seq
	for i := range fill { // xorshift over a Weyl sequence; any filling does that differs between writings
		x += golden
		y := x ^ x>>32
		fill[i] = byte(y ^ y>>16 ^ y>>8)
	}
	binary.LittleEndian.PutUint32(b[sumAt:], crc32.Checksum(b[:sumAt], castagnoli))
	return b
}

// DecodeTestFile reads what Encode wrote. Any other bytes are an error that wraps the reason.
func DecodeTestFile(b []byte) (TestFile, error) {
	if len(b) != TestFileSize {
		return TestFile{}, fmt.Errorf("%w: %d bytes instead of %d", errTestFile, len(b), TestFileSize)
	}
	if string(b[:seqAt]) != testFileMagic {
		return TestFile{}, fmt.Errorf("%w: it begins with %q", errTestFile, b[:seqAt])
	}
	have, want := crc32.Checksum(b[:sumAt], castagnoli), binary.LittleEndian.Uint32(b[sumAt:])
	if have != want {
		return TestFile{}, fmt.Errorf("%w: checksum %08x instead of %08x", errTestFile, have, want)
	}
	n := int(binary.LittleEndian.Uint16(b[serialLengthAt:]))
	if n > maxSerial {
		return TestFile{}, fmt.Errorf("%w: a serial of %d bytes", errTestFile, n)
	}
	t := TestFile{Seq: binary.LittleEndian.Uint64(b[seqAt:]), Serial: string(b[serialAt : serialAt+n])}
	if !bytes.Equal(t.Encode(), b) {
		return TestFile{}, fmt.Errorf("%w: its filling is not that of number %d", errTestFile, t.Seq)
	}
	return t, nil
}
