package probe

import (
	"fmt"

	"glia"
	"glia/nerve/disk/smart"
)

// Evidence tells what a reading says of a disk. It is pure. What a disk does not offer is not told, and what
// could not be read is unknown under the name of its main quantity.
//
//	selftest.failed             1 when the newest self-test that came to an end has failed, else 0
//
//	ata.health                  1 when the disk's own verdict (SMART RETURN STATUS) is bad, else 0
//	ata.reallocated, ata.reported_uncorrectable, ata.pending, ata.offline_uncorrectable, ata.crc_errors
//	                            raw values of the attributes 5, 187, 197, 198 and 199
//	ata.prefail_attributes      how many attributes that predict failure are at or below their threshold
//	ata.temperature             degrees Celsius
//	ata.stat_uncorrectable, ata.stat_candidates, ata.stat_crc, ata.stat_percent_used
//	                            of the device statistics: reported uncorrectable errors, sectors that wait for
//	                            being reallocated, CRC errors of the interface, percent of the endurance used
//	ata.log_uncorrectable       how many of the newest five entries of the error log are unreadable sectors
//
//	nvme.spare_low, nvme.temperature, nvme.reliability, nvme.readonly, nvme.backup_failed
//	                            1 when the bit of the critical warning is set, else 0
//	nvme.percentage_used        percent of the rated endurance, up to 255
//	nvme.media_errors           count
//	nvme.media_log              how many entries of the error log speak of the medium
//
//	scsi.prediction.failure, .spare, .wear, .temperature, .medium, .cache
//	                            1 when the disk reports an informational exception of that kind, else 0
//	scsi.uncorrected.read, .write, .verify
//	                            errors that the disk could not correct, in its life
//	scsi.grown_defects          sectors that were replaced since it was made
//	scsi.scan_medium            sectors that its own scan found unreadable, and that are not repaired
//	scsi.non_medium             errors that are not the medium's, in its life
//	scsi.percentage_used        percent of the rated endurance, up to 255
//	scsi.temperature            degrees Celsius
func Evidence(r *smart.Reading, names Names) []glia.Evidence {
	e := make(evidence, 0, 20)
	switch r.Kind {
	case smart.KindATA:
		e.ata(r, names)
	case smart.KindNVMe:
		e.nvme(r)
	case smart.KindSCSI:
		e.scsi(r)
	}
	e.selfTest(&r.Tests)
	return e
}

// evidence collects.
type evidence []glia.Evidence

func (e *evidence) add(class glia.EvidenceClass, what string, value float64, detail string) {
	*e = append(*e, glia.Evidence{Class: class, What: what, Value: value, Detail: detail})
}

// flag adds 1 with the detail, or 0 without.
func (e *evidence) flag(class glia.EvidenceClass, what string, set bool, detail string) {
	if set {
		e.add(class, what, 1, detail)
	} else {
		e.add(class, what, 0, "")
	}
}

// unknown tells what could not be read. A nil error is a page that the disk does not offer.
func (e *evidence) unknown(class glia.EvidenceClass, what string, err error) {
	if err != nil {
		*e = append(*e, glia.Evidence{Class: class, What: what, Unknown: whyNoSMART("read it", err)})
	}
}

func (e *evidence) selfTest(p *smart.Page[smart.SelfTestLog]) {
	const what = "selftest.failed"
	if !p.Known {
		e.unknown(glia.Media, what, p.Err)
		return
	}
	t, ok := p.Value.Newest()
	if !ok {
		return
	}
	if t.Result != smart.SelfTestFailed {
		e.add(glia.Media, what, 0, "")
		return
	}
	words := fmt.Sprintf("the self-test at %d power-on hours failed", t.Hours)
	if t.Part != "" {
		words += " (" + t.Part + ")"
	}
	if t.HasLBA {
		words += fmt.Sprintf(" at sector %d", t.LBA)
	}
	e.add(glia.Media, what, 1, words)
}
