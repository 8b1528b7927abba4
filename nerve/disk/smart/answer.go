package smart

import (
	"errors"
	"fmt"
)

// The SCSI status codes that are told apart (SAM-5, table 44), and what Linux adds to them
// (<scsi/scsi_status.h> and, before 5.14, the driver status of <scsi/sg.h>).
const (
	statusGood  = 0x00
	statusCheck = 0x02

	driverSense = 0x08
)

var (
	statusWords = map[uint8]string{0x08: "the disk is busy", 0x18: "another host has reserved the disk", 0x28: "the disk's queue is full", 0x40: "the disk has dropped the command"}
	hostWords   = map[uint16]string{0x01: "the disk is not connected", 0x02: "the bus is busy", 0x03: "timed out", 0x05: "dropped by the kernel",
		0x07: "the controller reports an error", 0x08: "the bus was reset", 0x0e: "the path to the disk is disturbed", 0x0f: "the path to the disk has failed"}
)

// errNotReady is the answer of a disk that can not work now.
var errNotReady = errors.New("the disk is not ready")

// judge says what an answer means: nothing for success, and with again that the same command may be answered
// better at once.
func (a Answer) judge(k Kind) (again bool, err error) {
	if k == KindNVMe {
		return false, nvmeStatus(a.NVMe)
	}
	if a.Host != 0 {
		if w, ok := hostWords[a.Host]; ok {
			return false, errors.New(w)
		}
		return false, fmt.Errorf("the kernel answers with host status %02Xh", a.Host)
	}
	if a.Driver&0x0f&^driverSense != 0 {
		return false, fmt.Errorf("the kernel answers with driver status %02Xh", a.Driver)
	}
	switch {
	case a.Status == statusGood:
		return false, nil
	case a.Status != statusCheck:
		if w, ok := statusWords[a.Status]; ok {
			return false, errors.New(w)
		}
		return false, fmt.Errorf("the disk answers with status %02Xh", a.Status)
	}
	if r, ok := ATARegisters(a.Sense); k == KindATA && ok {
		switch {
		case !r.Failed():
			return false, nil
		case r.Error&^0x04 == 0: // ABRT: what the disk does not know, or has switched off
			return false, ErrUnsupported
		}
		return false, fmt.Errorf("the disk answers with an error (status %02Xh, error %02Xh)", r.Status, r.Error)
	}
	var s Sense
	if err := s.Decode(a.Sense); err != nil {
		return false, err
	}
	switch s.Key {
	case KeyNone, KeyRecovered:
		return false, nil
	case KeyAttention:
		return true, fmt.Errorf("%s: %s", s, s.Words())
	case KeyNotReady:
		return false, fmt.Errorf("%w: %s: %s", errNotReady, s, s.Words())
	case KeyIllegal:
		// Invalid command, invalid field in the command or in its parameters.
		if s.ASC == 0x20 || s.ASC == 0x24 || s.ASC == 0x26 {
			return false, ErrUnsupported
		}
	}
	return false, fmt.Errorf("%s: %s", s, s.Words())
}

// nvmeStatus reads status type and code (NVM Express Base Specification 2.0, 3.3.3.2). Invalid opcode, invalid
// field, and invalid log page are what a controller says of what it does not have.
func nvmeStatus(status uint16) error {
	switch status & 0x7ff {
	case 0:
		return nil
	case 0x001, 0x002, 0x109:
		return ErrUnsupported
	}
	return fmt.Errorf("the disk answers with status %03Xh", status&0x7ff)
}
