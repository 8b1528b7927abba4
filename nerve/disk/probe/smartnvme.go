package probe

import (
	"fmt"

	"glia"
	"glia/nerve/disk/smart"
)

// criticalWarnings are the bits of byte 0 of the SMART / Health Information log (NVM Express Base
// Specification 2.0, figure 207). Bit 5 is about a persistent memory region, which disks do not have.
var criticalWarnings = []struct {
	bit    uint8
	what   string
	class  glia.EvidenceClass
	detail string
}{
	{smart.WarnSpare, "nvme.spare_low", glia.Wear, "available spare is below its threshold"},
	{smart.WarnTemperature, "nvme.temperature", glia.Thermal, "a temperature is beyond its threshold"},
	{smart.WarnReliability, "nvme.reliability", glia.Media, "reliability is degraded by media or internal errors"},
	{smart.WarnReadOnly, "nvme.readonly", glia.Media, "the disk has made itself read-only"},
	{smart.WarnBackup, "nvme.backup_failed", glia.Media, "the backup of the volatile memory has failed"},
}

func (e *evidence) nvme(r *smart.Reading) {
	if !r.NVMe.Known {
		e.unknown(glia.Media, "nvme.health", r.NVMe.Err)
	} else {
		e.nvmeHealth(&r.NVMe.Value)
	}
	const what = "nvme.media_log"
	if !r.NVMeErrors.Known {
		e.unknown(glia.Media, what, r.NVMeErrors.Err)
		return
	}
	n, words := 0, ""
	for _, entry := range r.NVMeErrors.Value.Entries {
		if !entry.Media() {
			continue
		}
		if n++; n == 1 {
			words = fmt.Sprintf("error %d of the disk's log: status %03Xh at sector %d", entry.Count, entry.Status&0x7ff, entry.LBA)
		}
	}
	e.add(glia.Media, what, float64(n), words)
}

func (e *evidence) nvmeHealth(page *smart.NVMe) {
	for _, w := range criticalWarnings {
		set, detail := page.Warning&w.bit != 0, w.detail
		switch w.bit {
		case smart.WarnSpare:
			if set = set || page.SpareLow(); set {
				detail = fmt.Sprintf("available spare is %d %%, the threshold %d %%", page.Spare, page.SpareThreshold)
			}
		case smart.WarnTemperature:
			if set && page.HasTemperature {
				detail = fmt.Sprintf("%d °C", page.Temperature)
			}
		}
		e.flag(w.class, w.what, set, detail)
	}
	e.add(glia.Wear, "nvme.percentage_used", float64(page.PercentUsed), fmt.Sprintf("%d %% of the rated endurance is used", page.PercentUsed))
	e.add(glia.Media, "nvme.media_errors", page.MediaErrors.Float(), fmt.Sprintf("%.0f media errors", page.MediaErrors.Float()))
}
