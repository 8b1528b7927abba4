package smart

import "fmt"

// The pages of the Device Statistics log that are read (ACS-3, A.5).
const (
	PageGeneral   = 0x01
	PageRotating  = 0x03
	PageErrors    = 0x04
	PageTemp      = 0x05
	PageTransport = 0x06
	PageSSD       = 0x07
)

// DeviceStatistics are what ATA defines by name and unit, where the vendor attributes are guesswork. A
// disk need not have any of them: each says whether it is valid.
type DeviceStatistics struct {
	PowerOnHours    Statistic
	SectorsWritten  Statistic // logical sectors
	SectorsRead     Statistic
	Reallocated     Statistic // logical sectors
	Candidates      Statistic // sectors that wait for being reallocated
	StartFailures   Statistic // mechanical start failures
	Uncorrectable   Statistic // reported uncorrectable errors
	Temperature     Statistic // degrees Celsius
	MaxTemperature  Statistic // up to which the maker lets it run
	CRCErrors       Statistic // of the interface
	PercentUsed     Statistic // of the endurance, 0 to 255
	CommandTimeouts Statistic // resets between a command and its completion
}

// Statistic is one value with its validity.
type Statistic struct {
	Value int64
	Valid bool
}

// Merge reads one page of the log, 04h, into the statistics; other pages' values are left as they are.
// It returns ErrOtherPage when b is not the page.
func (d *DeviceStatistics) Merge(page byte, b []byte) error {
	if err := sector("device statistics", b); err != nil {
		return err
	}
	if b[2] != page || le.Uint16(b) == 0 {
		return fmt.Errorf("device statistics: %w: page %02Xh instead of %02Xh", ErrOtherPage, b[2], page)
	}
	switch page {
	case PageGeneral:
		d.PowerOnHours = statistic(b[0x10:], 32)
		d.SectorsWritten = statistic(b[0x18:], 48)
		d.SectorsRead = statistic(b[0x28:], 48)
	case PageRotating:
		d.Reallocated = statistic(b[0x20:], 32)
		d.StartFailures = statistic(b[0x30:], 32)
		d.Candidates = statistic(b[0x38:], 32)
	case PageErrors:
		d.Uncorrectable = statistic(b[0x08:], 32)
		d.CommandTimeouts = statistic(b[0x10:], 32)
	case PageTemp:
		d.Temperature = celsius(b[0x08:])
		d.MaxTemperature = celsius(b[0x58:])
	case PageTransport:
		d.CRCErrors = statistic(b[0x18:], 32)
	case PageSSD:
		d.PercentUsed = statistic(b[0x08:], 8)
	default:
		return fmt.Errorf("device statistics: page %02Xh has nothing that is read here", page)
	}
	return nil
}

// statistic reads one quadword: flags in the highest byte, of which bit 7 is "supported" and bit 6
// "valid", and the value in the lowest bits (ACS-3, A.5.3).
func statistic(b []byte, bits uint) Statistic {
	if b[7]&0xc0 != 0xc0 {
		return Statistic{}
	}
	return Statistic{Value: int64(le.Uint64(b) & (1<<bits - 1)), Valid: true}
}

// celsius reads a temperature: one signed byte, of which 80h means none.
func celsius(b []byte) Statistic {
	s := statistic(b, 8)
	if s.Value == 0x80 {
		return Statistic{}
	}
	s.Value = int64(int8(s.Value))
	return s
}
