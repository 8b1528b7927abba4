package selftest

import (
	"time"

	"glia/nerve/disk/smart"
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
	if head, err := s.ask(smart.ReadGrownDefects); err == nil { // many disks have no such list in this format
		if n, err := smart.GrownDefects(head); err == nil && n.Valid {
			r.Counts = []Count{{"grown defects", uint64(n.Value)}}
		}
	}
	page, err := s.ask(smart.LogSense(smart.PageSelfTests))
	if err != nil {
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

func (s *scsi) Start() error { return s.start(smart.StartSCSITest) }
