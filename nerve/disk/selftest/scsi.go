package selftest

import (
	"time"

	"glia/nerve/disk/smart"
)

// The commands of SCSI.
const (
	sendDiagnostic = 0x1d // SPC-4, 6.42
	logSense       = 0x4d // SPC-4, 6.8
	readDefects12  = 0xb7 // SBC-3, 5.18

	backgroundShort = 1 << 5 // self-test code of SEND DIAGNOSTIC
	currentValues   = 1 << 6 // page control of LOG SENSE
	selfTestPage    = 0x10
	grownList       = 1<<3 | 5 // of READ DEFECT DATA, as physical sectors; only the head is read
	logLength       = 404      // of the self-test page: a head of 4 bytes and 20 entries of 20
)

// The self-test page does not tell how long a short test takes; it is two minutes at most (SPC-4, 5.14.4).
const scsiShort = 2 * time.Minute

// scsi is a SAS disk.
type scsi struct {
	port
	log smart.SelfTestLog
}

var _ Device = (*scsi)(nil)

func (s *scsi) Look() (Report, error) {
	var r Report
	head := make([]byte, 8)
	defects := make([]byte, 12)
	defects[0], defects[1], defects[9] = readDefects12, grownList, byte(len(head))
	if s.SCSI(defects, head) == nil { // many disks have no such list in this format
		if n, err := smart.GrownDefects(head); err == nil && n.Valid {
			r.Counts = []Count{{"grown defects", uint64(n.Value)}}
		}
	}
	page := make([]byte, logLength)
	sense := make([]byte, 10)
	sense[0], sense[2], sense[7], sense[8] = logSense, currentValues|selfTestPage, logLength>>8, logLength&0xff
	if err := s.SCSI(sense, page); err != nil {
		if len(r.Counts) > 0 {
			return r, nil
		}
		return Report{}, err
	}
	if err := s.log.DecodeSCSI(page); err != nil {
		return Report{}, err
	}
	r.Offers, r.Expect, r.Running = true, scsiShort, s.log.Running
	if r.Tests = len(s.log.Entries); r.Tests > 0 {
		r.Last = s.log.Entries[0]
	}
	return r, nil
}

func (s *scsi) Start() error {
	return s.SCSI([]byte{sendDiagnostic, backgroundShort, 0, 0, 0, 0}, nil)
}
