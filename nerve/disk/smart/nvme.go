package smart

import (
	"errors"
	"fmt"
)

// The bits of NVMe's critical warning (NVM Express Base Specification 2.0, figure 207).
const (
	WarnSpare       = 1 << 0 // available spare is below its threshold
	WarnTemperature = 1 << 1
	WarnReliability = 1 << 2 // degraded by media or internal errors
	WarnReadOnly    = 1 << 3
	WarnBackup      = 1 << 4 // the backup of the volatile memory has failed
)

// NVMe is the SMART / Health Information log, log page 02h (NVM Express Base Specification 2.0, 5.16.1.3).
type NVMe struct {
	Warning        uint8
	Temperature    int   // degrees Celsius
	HasTemperature bool  // 0 K means that there is none
	Spare          uint8 // percent
	SpareThreshold uint8 // percent; 101 to 255 are reserved and mean nothing
	PercentUsed    uint8 // of the endurance; 255 is that or more

	UnitsRead       Count // of 1000 × 512 bytes
	UnitsWritten    Count
	PowerCycles     Count
	PowerOnHours    Count
	UnsafeShutdowns Count
	MediaErrors     Count
	ErrorEntries    Count // includes refused commands: nothing to judge by

	WarningMinutes  uint32 // above the warning temperature, in the disk's life
	CriticalMinutes uint32
}

// Decode reads the 512 bytes of the log.
func (n *NVMe) Decode(b []byte) error {
	if len(b) < 512 {
		return fmt.Errorf("NVMe health log: %w: %d of 512 bytes", ErrShort, len(b))
	}
	const kelvin = 273
	k := le.Uint16(b[1:])
	*n = NVMe{
		Warning: b[0], Spare: b[3], SpareThreshold: b[4], PercentUsed: b[5],
		UnitsRead: count128(b[32:]), UnitsWritten: count128(b[48:]),
		PowerCycles: count128(b[112:]), PowerOnHours: count128(b[128:]), UnsafeShutdowns: count128(b[144:]),
		MediaErrors: count128(b[160:]), ErrorEntries: count128(b[176:]),
		WarningMinutes: le.Uint32(b[192:]), CriticalMinutes: le.Uint32(b[196:]),
	}
	if k != 0 {
		n.Temperature, n.HasTemperature = int(k)-kelvin, true
	}
	return nil
}

var (
	errNothingFilled = errors.New("the log is empty")
	errNotHealth     = errors.New("the log has values that can not be")
)

// Check says why the log can not be a disk's, which has no checksum to tell. Nobody has filled it in: no disk has neither
// temperature nor spare blocks nor a threshold for them, and some drivers answer so for a command that has failed. Or it
// has more than 100 % of spare blocks or counts beyond 64 bits: what a controller that is gone from its bus answers has
// all bits set. Reserved bits and thresholds prove nothing, since a later standard may use them.
func (n *NVMe) Check() error {
	beyond := n.UnitsRead.Hi | n.UnitsWritten.Hi | n.PowerCycles.Hi | n.PowerOnHours.Hi | n.UnsafeShutdowns.Hi | n.MediaErrors.Hi | n.ErrorEntries.Hi
	switch {
	case n.Warning == 0 && !n.HasTemperature && n.Spare == 0 && n.SpareThreshold == 0:
		return errNothingFilled
	case n.Spare > 100 || beyond != 0:
		return errNotHealth
	}
	return nil
}

// SpareLow says whether the available spare is below a threshold that means something.
func (n *NVMe) SpareLow() bool { return n.SpareThreshold <= 100 && n.Spare < n.SpareThreshold }

// NVMeError is one entry of the Error Information log (NVM Express Base Specification 2.0, 5.16.1.2).
type NVMeError struct {
	Count     uint64 // grows with each error; never 0
	Status    uint16 // status type in bits 10 to 8, status code in bits 7 to 0
	LBA       uint64
	Namespace uint32
}

// Type and Code are the two parts of the status (the same, 3.3.3.2).
func (e NVMeError) Type() uint8 { return uint8(e.Status >> 8 & 7) }

// Code is the status code within its type.
func (e NVMeError) Code() uint8 { return uint8(e.Status) }

// Media says whether the entry speaks of the medium: status type 2 with write fault (80h) or
// unrecovered read error (81h), or the generic "internal error" (06h). All other statuses, protection
// and compare errors and refused commands above all, speak of the host or of the path.
func (e NVMeError) Media() bool {
	return e.Type() == 2 && (e.Code() == 0x80 || e.Code() == 0x81) || e.Type() == 0 && e.Code() == 0x06
}

// NVMeErrors are the entries of the Error Information log, newest first.
type NVMeErrors struct {
	Entries []NVMeError

	store [nvmeErrors]NVMeError
}

const (
	nvmeErrors     = 64 // entries that are read; a controller may have up to 256
	nvmeErrorEntry = 64 // bytes of an entry
)

// Decode reads the log, which has as many entries of 64 bytes as fit; more than 64 are left out.
func (l *NVMeErrors) Decode(b []byte) error {
	if len(b) < nvmeErrorEntry {
		return fmt.Errorf("NVMe error log: %w: %d bytes, an entry has %d", ErrShort, len(b), nvmeErrorEntry)
	}
	l.Entries = l.store[:0]
	for ; len(b) >= nvmeErrorEntry && len(l.Entries) < len(l.store); b = b[nvmeErrorEntry:] {
		n := le.Uint64(b)
		if n == 0 {
			continue // not used
		}
		// Bit 0 is the phase tag.
		l.Entries = append(l.Entries, NVMeError{Count: n, Status: le.Uint16(b[12:]) >> 1, LBA: le.Uint64(b[16:]), Namespace: le.Uint32(b[24:])})
	}
	return nil
}
