package smart

// Registers are what an ATA command leaves behind.
type Registers struct {
	Error, Status uint8
	Count         uint8  // lowest byte
	LBA           uint32 // lowest three bytes
}

// Failed says that the command itself was not carried out (status bit ERR).
func (r Registers) Failed() bool { return r.Status&0x01 != 0 }

// ATARegisters finds the registers in the sense data that a SAT layer returns for an ATA PASS-THROUGH
// command that failed or had CK_COND set, in descriptor or in fixed format (SAT-3, 12.2.5 and 12.2.6). ok is
// false when the sense data is about something else.
func ATARegisters(sense []byte) (r Registers, ok bool) {
	switch {
	case len(sense) >= 8 && sense[0]&0x7f == 0x72: // descriptor 09h is for nothing else
		for rest := sense[8:min(len(sense), 8+int(sense[7]))]; len(rest) >= 2; {
			n := 2 + int(rest[1])
			if rest[0] == 0x09 && n >= 14 && len(rest) >= 14 {
				return Registers{Error: rest[3], Status: rest[13], Count: rest[5], LBA: uint32(rest[7]) | uint32(rest[9])<<8 | uint32(rest[11])<<16}, true
			}
			rest = rest[min(n, len(rest)):]
		}
	case len(sense) >= 14 && sense[0]&0x7f == 0x70: // what tells them is 00h/1Dh, "ATA pass through information available"
		if sense[12] != 0x00 || sense[13] != 0x1d {
			return r, false
		}
		return Registers{Error: sense[3], Status: sense[4], Count: sense[6], LBA: uint32(sense[9]) | uint32(sense[10])<<8 | uint32(sense[11])<<16}, true
	}
	return r, false
}

// Health is a disk's own one-bit judgement.
type Health int

// The answers. A disk that was not understood is HealthUnknown, never good or bad.
const (
	HealthUnknown Health = iota
	HealthGood
	HealthBad
)

// ReturnStatus reads the answer to SMART RETURN STATUS: LBA C24Fxxh means that no threshold is exceeded,
// 2CF4xxh that one is (ATA8-ACS, 7.52.8). Some bridges lose the registers; that is HealthUnknown.
func ReturnStatus(r Registers) Health {
	if r.Failed() {
		return HealthUnknown
	}
	switch r.LBA >> 8 {
	case 0xc24f:
		return HealthGood
	case 0x2cf4:
		return HealthBad
	}
	return HealthUnknown
}

// Standby reads the answer to CHECK POWER MODE: 00h is standby, 01h standby_y (ACS-3, table 36); all
// others are idle or active.
func Standby(r Registers) bool { return !r.Failed() && r.Count <= 0x01 }
