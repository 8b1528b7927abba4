package smart

import "fmt"

// SelfTestStatus is the self-test execution status byte of ATA (ATA8-ACS, 7.52.6.3, table 64): the
// result in the upper four bits, the remaining tenths in the lower.
type SelfTestStatus uint8

// SelfTestResult is how a self-test ended, in the words that ATA, NVMe and SCSI share.
type SelfTestResult int

// The results. Unknown is a value that its standard reserves.
const (
	SelfTestUnknown SelfTestResult = iota
	SelfTestPassed
	SelfTestAborted // by the host, a reset or another command: it says nothing about the disk
	SelfTestRunning
	SelfTestFailed
)

var selfTestWords = [...]string{"ended in an unknown way", "passed", "was aborted", "is running", "failed"}

func (r SelfTestResult) String() string {
	if r < 0 || int(r) >= len(selfTestWords) {
		return fmt.Sprintf("SelfTestResult(%d)", int(r))
	}
	return selfTestWords[r]
}

// Result tells how the test ended.
func (s SelfTestStatus) Result() SelfTestResult {
	switch s >> 4 {
	case 0:
		return SelfTestPassed // or none was ever run
	case 1, 2:
		return SelfTestAborted
	case 3, 4, 5, 6, 7, 8:
		return SelfTestFailed
	case 15:
		return SelfTestRunning
	}
	return SelfTestUnknown
}

// Part names what failed; empty when nothing did or the disk does not tell.
func (s SelfTestStatus) Part() string {
	switch s >> 4 {
	case 5:
		return "electrical"
	case 6:
		return "servo or seek"
	case 7:
		return "read"
	case 8:
		return "handling damage"
	}
	return ""
}

// Remaining is how much of a running test is left, in percent.
func (s SelfTestStatus) Remaining() int { return 10 * int(s&0x0f) }

// SelfTest is one entry of a self-test log.
type SelfTest struct {
	Result   SelfTestResult
	Part     string // what failed, if it is told
	Hours    uint64 // power-on hours of the disk at that time; ATA and SCSI count them modulo 65536
	LBA      uint64 // first sector that could not be read
	HasLBA   bool
	Extended bool
}

// selfTests is how many entries the logs of ATA hold; those of NVMe and SCSI hold 20.
const selfTests = 21

// SelfTestLog is a disk's own record of its self-tests, the newest first.
type SelfTestLog struct {
	Entries []SelfTest

	Running   bool // a test runs now (NVMe); ATA tells it in Data.SelfTest
	Remaining int  // of that test, in percent

	store [selfTests]SelfTest
}

// DecodeATA reads the SMART self-test log, log address 06h (ATA8-ACS, A.20). Its sectors have 28 bits: the
// extended log has the rest, and no more is needed than that there is one.
func (l *SelfTestLog) DecodeATA(b []byte) error {
	if err := summed("self-test log", b); err != nil {
		return err
	}
	index := int(b[508])
	if index > selfTests {
		return fmt.Errorf("self-test log: index %d, but there are %d entries", index, selfTests)
	}
	l.Entries, l.Running, l.Remaining = l.store[:0], false, 0
	if index == 0 {
		return nil
	}
	for i := range selfTests {
		at := (index - 1 - i + selfTests) % selfTests
		e := b[2+24*at:]
		if e[0] == 0 && e[1] == 0 && le.Uint16(e[2:]) == 0 {
			continue // never written
		}
		s := SelfTestStatus(e[1])
		t := SelfTest{Result: s.Result(), Part: s.Part(), Hours: uint64(le.Uint16(e[2:])), Extended: e[0]&0x7f == 2}
		if lba := le.Uint32(e[5:]); t.Result == SelfTestFailed && lba != 0xffffffff && lba != 0 {
			t.LBA, t.HasLBA = uint64(lba), true
		}
		l.Entries = append(l.Entries, t)
	}
	return nil
}

// NVMeSelfTestSize is the size of NVMe's log in bytes: a head of 4 bytes and 20 entries of 28.
const NVMeSelfTestSize = 4 + 20*28

// DecodeNVMe reads the Device Self-test log, log page 06h (NVM Express Base Specification 2.0, 5.16.1.7).
func (l *SelfTestLog) DecodeNVMe(b []byte) error {
	if len(b) < NVMeSelfTestSize {
		return fmt.Errorf("self-test log: %w: %d of %d bytes", ErrShort, len(b), NVMeSelfTestSize)
	}
	l.Entries = l.store[:0]
	l.Running = b[0]&0x0f != 0
	l.Remaining = 0
	if l.Running {
		l.Remaining = 100 - min(100, int(b[1]&0x7f))
	}
	for i := range 20 {
		e := b[4+28*i:]
		code := e[0] & 0x0f
		if code == 0x0f {
			continue // not used
		}
		t := SelfTest{Result: nvmeSelfTestResult(code), Hours: le.Uint64(e[4:]), Extended: e[0]>>4 == 2}
		if t.Result == SelfTestFailed {
			if code == 7 {
				t.Part = fmt.Sprintf("segment %d", e[1])
			}
			if e[2]&2 != 0 {
				t.LBA, t.HasLBA = le.Uint64(e[16:]), true
			}
		}
		l.Entries = append(l.Entries, t)
	}
	return nil
}

// nvmeSelfTestResult translates the result of figure 212 of the specification.
func nvmeSelfTestResult(code byte) SelfTestResult {
	switch code {
	case 0:
		return SelfTestPassed
	case 1, 2, 3, 4, 8, 9:
		return SelfTestAborted
	case 5, 6, 7:
		return SelfTestFailed
	}
	return SelfTestUnknown
}

// DecodeSCSI reads the Self-Test Results log page, 10h (SPC-4, 7.3.20).
func (l *SelfTestLog) DecodeSCSI(b []byte) error {
	p, err := logPage(b, 0x10)
	if err != nil {
		return err
	}
	l.Entries, l.Running, l.Remaining = l.store[:0], false, 0
	for p.next() {
		if p.code < 1 || p.code > 20 || len(p.data) < 16 {
			continue
		}
		e := p.data
		hours := be.Uint16(e[2:])
		if hours == 0 && e[0] == 0 {
			continue // never written
		}
		t := SelfTest{Result: scsiSelfTestResult(e[0] & 0x0f), Hours: uint64(hours), Extended: e[0]>>5 == 2 || e[0]>>5 == 6}
		if lba := be.Uint64(e[4:]); t.Result == SelfTestFailed && lba != ^uint64(0) {
			t.LBA, t.HasLBA = lba, true
		}
		l.Running = l.Running || t.Result == SelfTestRunning
		l.Entries = append(l.Entries, t)
	}
	return nil
}

// scsiSelfTestResult translates the result of SPC-4, table 385.
func scsiSelfTestResult(code byte) SelfTestResult {
	switch code {
	case 0:
		return SelfTestPassed
	case 1, 2:
		return SelfTestAborted
	case 3, 4, 5, 6, 7:
		return SelfTestFailed
	case 15:
		return SelfTestRunning
	}
	return SelfTestUnknown
}

// Newest is the newest test that came to an end of its own: passed or failed. ok is false when there is none.
func (l *SelfTestLog) Newest() (t SelfTest, ok bool) {
	for _, t := range l.Entries {
		if t.Result == SelfTestPassed || t.Result == SelfTestFailed {
			return t, true
		}
	}
	return t, false
}
