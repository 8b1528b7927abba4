package selftest

import (
	"time"

	"glia/nerve/disk/smart"
)

// port sends commands to one disk.
type port interface {
	// SCSI sends a command block and reads the answer into data, which may be empty.
	SCSI(command, data []byte) error
	// NVMe sends an admin command; dword10 as in the specification.
	NVMe(opcode uint8, namespace, dword10 uint32, data []byte) error
	Close() error
}

// The commands of ATA, in an ATA PASS-THROUGH (16) block (SAT-3, 12.2.2).
const (
	passThrough   = 0x85
	nonData       = 3 << 1
	dataIn        = 4 << 1
	oneBlockIn    = 0x0e // T_LENGTH in the count, BYT_BLOK, T_DIR
	ataSMART      = 0xb0
	smartReadData = 0xd0 // SMART READ DATA (ATA8-ACS, 7.52.6)
	smartExecute  = 0xd4 // SMART EXECUTE OFF-LINE IMMEDIATE (ATA8-ACS, 7.52.5)
	smartReadLog  = 0xd5 // SMART READ LOG (ATA8-ACS, 7.52.7)
	selfTestLog   = 0x06 // its address
	shortTest     = 0x01 // short self-test in off-line mode: the disk goes on with its work meanwhile
)

// ata is a SATA disk of libata.
type ata struct {
	port
	data smart.Data
	log  smart.SelfTestLog
}

var _ Device = (*ata)(nil)

func ataCommand(protocol, flags, feature, low byte) []byte {
	c := make([]byte, 16)
	c[0], c[1], c[2], c[4], c[8], c[10], c[12], c[14] = passThrough, protocol, flags, feature, low, 0x4f, 0xc2, ataSMART
	if protocol == dataIn {
		c[6] = 1
	}
	return c
}

// ataCounts are the attributes whose raw values count sectors: the lowest 32 bits, because some makers keep
// something else above them.
var ataCounts = []struct {
	id   uint8
	name string
}{{5, "reallocated sectors"}, {197, "pending sectors"}, {198, "uncorrectable sectors"}, {187, "reported uncorrectable errors"}}

func (a *ata) Look() (Report, error) {
	page := make([]byte, 512)
	if err := a.SCSI(ataCommand(dataIn, oneBlockIn, smartReadData, 0), page); err != nil {
		return Report{}, err
	}
	if err := a.data.Decode(page); err != nil {
		return Report{}, err
	}
	r := Report{Offers: a.data.CanSelfTest, Expect: time.Duration(a.data.ShortMinutes) * time.Minute, Running: a.data.SelfTest.Result() == smart.SelfTestRunning}
	for _, c := range ataCounts {
		if at, ok := a.data.Attribute(c.id); ok {
			r.Counts = append(r.Counts, Count{c.name, uint64(at.Low32())})
		}
	}
	if !r.Offers {
		return r, nil
	}
	if err := a.SCSI(ataCommand(dataIn, oneBlockIn, smartReadLog, selfTestLog), page); err != nil {
		return Report{}, err
	}
	if err := a.log.DecodeATA(page); err != nil {
		return Report{}, err
	}
	if r.Tests = len(a.log.Entries); r.Tests > 0 {
		r.Last = a.log.Entries[0]
	}
	return r, nil
}

func (a *ata) Start() error { return a.SCSI(ataCommand(nonData, 0, smartExecute, shortTest), nil) }
