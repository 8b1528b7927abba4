package selftest

import (
	"time"

	"glia/nerve/disk/smart"
)

// The admin commands of NVMe (NVM Express Base Specification 2.0).
const (
	getLogPage     = 0x02 // 5.16
	identify       = 0x06 // 5.17
	deviceSelfTest = 0x14 // 5.9

	healthLog     = 0x02 // 5.16.1.3
	nvmeTestLog   = 0x06 // 5.16.1.7
	testLogSize   = 564
	controller    = 1 // the data structure of the controller, for identify
	startShort    = 1
	allNamespaces = 0xffffffff

	optionsAt = 256 // optional admin command support, in the controller's data
	selfTests = 1 << 4
)

// A short self-test takes two minutes or less (5.9).
const nvmeShort = 2 * time.Minute

// nvme is an NVMe disk.
type nvme struct {
	port
	health smart.NVMe
	log    smart.SelfTestLog
}

var _ Device = (*nvme)(nil)

func (n *nvme) page(id uint8, size int) ([]byte, error) {
	b := make([]byte, size)
	return b, n.NVMe(getLogPage, allNamespaces, uint32(id)|uint32(size/4-1)<<16, b)
}

func (n *nvme) Look() (Report, error) {
	b, err := n.page(healthLog, 512)
	if err != nil {
		return Report{}, err
	}
	if err := n.health.Decode(b); err != nil {
		return Report{}, err
	}
	var r Report
	if !n.health.Empty() {
		r.Counts = []Count{{"media errors", n.health.MediaErrors.Uint64()}}
	}
	can := make([]byte, 4096)
	if err := n.NVMe(identify, 0, controller, can); err != nil {
		return Report{}, err
	}
	if can[optionsAt]&selfTests == 0 {
		return r, nil
	}
	r.Offers, r.Expect = true, nvmeShort
	if b, err = n.page(nvmeTestLog, testLogSize); err != nil {
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

func (n *nvme) Start() error { return n.NVMe(deviceSelfTest, allNamespaces, startShort, nil) }
