package selftest

import (
	"time"

	"glia/nerve/disk/smart"
)

// ata is a SATA disk.
type ata struct {
	port
	data smart.Data
	log  smart.SelfTestLog
}

var _ Device = (*ata)(nil)

// ataCounts are the attributes whose raw values count sectors: the lowest 32 bits, because some makers keep
// something else above them.
var ataCounts = []struct {
	id   uint8
	name string
}{{5, "reallocated sectors"}, {197, "pending sectors"}, {198, "uncorrectable sectors"}, {187, "reported uncorrectable errors"}}

func (a *ata) Look() (Report, error) {
	page, err := a.ask(smart.ReadSMARTData)
	if err != nil {
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
	if page, err = a.ask(smart.ReadSMARTLog(smart.LogSelfTests)); err != nil {
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

func (a *ata) Start() error { return a.start(smart.StartATATest) }
