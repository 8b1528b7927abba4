package smart

import "fmt"

// ATAFeatures are what a disk says that it can, in IDENTIFY DEVICE (ATA8-ACS, 7.16.7): what it does not offer is
// never asked for, because a refused command may be an entry in its error log.
type ATAFeatures struct {
	SMART    bool // offered
	Enabled  bool // SMART is switched on
	ErrorLog bool
	SelfTest bool
	LogExt   bool // general purpose logging

	Model, Firmware string
}

// Decode reads the 512 bytes of the answer.
func (f *ATAFeatures) Decode(b []byte) error {
	if err := sector("IDENTIFY DEVICE", b); err != nil {
		return err
	}
	word := func(n int) uint16 { return le.Uint16(b[2*n:]) }
	// Words 83, 84 and 87 are valid when their upper two bits are 01b.
	valid := func(n int) bool { return word(n)>>14 == 1 }
	*f = ATAFeatures{SMART: valid(83) && word(82)&1 != 0, Enabled: word(85)&1 != 0, Model: swapped(b[54:94]), Firmware: swapped(b[46:54])}
	for _, n := range []int{84, 87} {
		if valid(n) {
			f.ErrorLog = f.ErrorLog || word(n)&1 != 0
			f.SelfTest = f.SelfTest || word(n)&2 != 0
			f.LogExt = f.LogExt || word(n)&0x20 != 0
		}
	}
	return nil
}

// swapped is a string of ATA, whose every two characters are exchanged, without the spaces around it.
func swapped(b []byte) string {
	var s [40]byte
	n := 0
	for i := 0; i+1 < len(b) && i+1 < len(s); i += 2 {
		s[i], s[i+1] = b[i+1], b[i]
		n = i + 2
	}
	for n > 0 && s[n-1] == ' ' {
		n--
	}
	from := 0
	for from < n && s[from] == ' ' {
		from++
	}
	return string(s[from:n])
}

// HasLog reads the log directory, log 00h (ATA8-ACS, A.2): how many sectors the log at an address has.
func HasLog(directory []byte, address byte) (int, error) {
	if err := sector("log directory", directory); err != nil {
		return 0, err
	}
	if le.Uint16(directory) == 0 {
		return 0, fmt.Errorf("log directory: %w: version 0", ErrOtherPage)
	}
	return int(le.Uint16(directory[2*int(address):])), nil
}

// StatisticsPages are the pages of the Device Statistics log that a disk offers.
type StatisticsPages [256]bool

// Decode reads page 00h of the log (ACS-3, A.5.2).
func (p *StatisticsPages) Decode(b []byte) error {
	if err := sector("device statistics", b); err != nil {
		return err
	}
	if b[2] != 0 || le.Uint16(b) == 0 {
		return fmt.Errorf("device statistics: %w: page %02Xh instead of 00h", ErrOtherPage, b[2])
	}
	*p = StatisticsPages{}
	for _, page := range b[9:min(9+int(b[8]), sectorSize)] {
		p[page] = true
	}
	return nil
}

// NVMeFeatures are what an NVMe controller says that it can (NVM Express Base Specification 2.0, figure 275).
type NVMeFeatures struct {
	SelfTest     bool
	ErrorEntries int // of the Error Information log, 1 to 256
}

// Decode reads the first bytes of Identify Controller.
func (f *NVMeFeatures) Decode(b []byte) error {
	const optional, entries = 256, 262
	if len(b) <= entries {
		return fmt.Errorf("command Identify Controller: %w: %d bytes", ErrShort, len(b))
	}
	*f = NVMeFeatures{SelfTest: b[optional]&(1<<4) != 0, ErrorEntries: int(b[entries]) + 1}
	return nil
}
