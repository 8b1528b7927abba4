package selftest

import (
	"time"

	"glia/nerve/disk/smart"
)

// A short self-test takes two minutes or less (NVM Express Base Specification 2.0, 5.9).
const nvmeShort = 2 * time.Minute

// nvme is an NVMe disk.
type nvme struct {
	port
	health smart.NVMe
	can    smart.NVMeFeatures
	log    smart.SelfTestLog
}

var _ Device = (*nvme)(nil)

func (n *nvme) Look() (Report, error) {
	b, err := n.ask(smart.GetLogPage(smart.NVMeLogHealth, 512))
	if err != nil {
		return Report{}, err
	}
	if err := n.health.Decode(b); err != nil {
		return Report{}, err
	}
	var r Report
	if n.health.Check() == nil {
		r.Counts = []Count{{"media errors", n.health.MediaErrors.Uint64()}}
	}
	if b, err = n.ask(smart.IdentifyController); err != nil {
		return Report{}, err
	}
	if err := n.can.Decode(b); err != nil || !n.can.SelfTest {
		return r, err
	}
	r.Offers, r.Expect = true, nvmeShort
	if b, err = n.ask(smart.GetLogPage(smart.NVMeLogSelfTests, smart.NVMeSelfTestSize)); err != nil {
		return Report{}, err
	}
	if err := n.log.DecodeNVMe(b); err != nil {
		return Report{}, err
	}
	r.Running = n.log.Running
	if r.Tests = len(n.log.Entries); r.Tests > 0 {
		r.Last = n.log.Entries[0]
	}
	return r, nil
}

func (n *nvme) Start() error { return n.start(smart.StartNVMeTest) }
