package smart

import "fmt"

// ATAError is one error that a disk has noted (ATA8-ACS, A.7).
type ATAError struct {
	Register uint8 // the error register
	Status   uint8 // the status register
	Command  uint8 // the command that ended so
	LBA      uint32
	Hours    uint16 // power-on hours, modulo 65536
}

// Uncorrectable says that data could not be read (error bit UNC) in a command that reads.
func (e ATAError) Uncorrectable() bool { return e.Register&0x40 != 0 }

// Interface says that data was damaged on its way (error bit ICRC): a cable, not the medium.
func (e ATAError) Interface() bool { return e.Register&0x80 != 0 }

// Unsupported says that the disk has refused a command and nothing else (error bit ABRT alone), which
// speaks of who sent it.
func (e ATAError) Unsupported() bool { return e.Register&^0x04 == 0 }

// ErrorLog is the summary error log, log address 01h, the newest first.
type ErrorLog struct {
	Count   uint16 // of all errors in the disk's life
	Entries []ATAError

	store [5]ATAError
}

// Decode reads the log (ATA8-ACS, A.7, table A.13).
func (l *ErrorLog) Decode(b []byte) error {
	if err := summed("error log", b); err != nil {
		return err
	}
	const entries = 5
	index := int(b[1])
	if index > entries {
		return fmt.Errorf("error log: index %d, but there are %d entries", index, entries)
	}
	l.Count, l.Entries = le.Uint16(b[452:]), l.store[:0]
	if index == 0 {
		return nil
	}
	for i := range min(entries, int(l.Count)) {
		at := (index - 1 - i + entries) % entries
		// Five commands of 12 bytes, the last being the one that failed, and 30 bytes of the error.
		s := b[2+90*at:]
		e := s[60:90]
		l.Entries = append(l.Entries, ATAError{
			Register: e[1], Status: e[7], Command: s[48+7], Hours: le.Uint16(e[28:]),
			LBA: uint32(e[3]) | uint32(e[4])<<8 | uint32(e[5])<<16 | uint32(e[6]&0x0f)<<24,
		})
	}
	return nil
}
