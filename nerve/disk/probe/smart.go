package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	smart "github.com/anatol/smart.go"
	"golang.org/x/sys/unix"

	"glia"
)

// SMART reads what NVMe and SATA disks say about themselves. Disks of other kinds (SAS, loop, virtio, Xen)
// give no evidence.
//
//	nvme.spare_low, nvme.temperature, nvme.reliability, nvme.readonly, nvme.backup_failed
//	                            1 when the bit of the critical warning is set, else 0
//	nvme.percentage_used        percent of the rated endurance, up to 255
//	nvme.media_errors           count
//	ata.reallocated, ata.reported_uncorrectable, ata.pending, ata.offline_uncorrectable, ata.crc_errors
//	                            raw values of the attributes 5, 187, 197, 198 and 199
//	ata.prefail_attributes      how many attributes that predict failure are at or below their threshold
//	ata.temperature             degrees Celsius
type SMART struct {
	Open  func(path string) (smart.Device, error) // smart.Open if nil
	Roots Roots
}

type nvmeDisk interface {
	ReadSMART() (*smart.NvmeSMARTLog, error)
}

type ataDisk interface {
	ReadSMARTData() (*smart.AtaSmartPage, error)
	ReadSMARTThresholds() (*smart.AtaSmartThresholdsPage, error)
}

var (
	_ nvmeDisk = (*smart.NVMeDevice)(nil)
	_ ataDisk  = (*smart.SataDevice)(nil)
)

// Name is "smart".
func (s *SMART) Name() string { return "smart" }

// Probe reads the disk's pages.
func (s *SMART) Probe(_ context.Context, d glia.Disk) []glia.Evidence {
	name := d.Location.Device
	if !strings.HasPrefix(name, "nvme") && !strings.HasPrefix(name, "sd") {
		return nil
	}
	open := s.Open
	if open == nil {
		open = smart.Open
	}
	dev, err := open(s.Roots.dev(name))
	if err != nil {
		return []glia.Evidence{s.unknown(whyNoSMART("open "+s.Roots.dev(name), err))}
	}
	defer dev.Close()

	var out []glia.Evidence
	switch dev := dev.(type) {
	case nvmeDisk:
		page, err := dev.ReadSMART()
		if err != nil {
			return []glia.Evidence{s.unknown(whyNoSMART("read the SMART log", err))}
		}
		out = NVMe(page)
	case ataDisk:
		page, err := dev.ReadSMARTData()
		if err != nil {
			return []glia.Evidence{s.unknown(whyNoSMART("read the SMART data", err))}
		}
		// Without thresholds the rest still counts.
		thresholds, err := dev.ReadSMARTThresholds()
		out = ATA(page, thresholds, err)
	}
	for i := range out {
		out[i].Source = s.Name()
	}
	return out
}

func (s *SMART) unknown(why string) glia.Evidence {
	return glia.Evidence{Class: glia.Media, Source: s.Name(), What: "smart", Unknown: why}
}

func whyNoSMART(doing string, err error) string {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return doing + ": permission denied; SMART needs CAP_SYS_RAWIO, on NVMe CAP_SYS_ADMIN"
	}
	return whyNot(doing, err)
}

// criticalWarnings are the bits of byte 0 of the SMART / Health Information log (NVM Express Base
// Specification 2.0, figure 207). Bit 5 is about a persistent memory region, which disks do not have.
var criticalWarnings = []struct {
	what   string
	class  glia.EvidenceClass
	detail string
}{
	{"nvme.spare_low", glia.Wear, "available spare is below its threshold"},
	{"nvme.temperature", glia.Thermal, "a temperature is beyond its threshold"},
	{"nvme.reliability", glia.Media, "reliability is degraded by media or internal errors"},
	{"nvme.readonly", glia.Media, "the disk has made itself read-only"},
	{"nvme.backup_failed", glia.Media, "the backup of the volatile memory has failed"},
}

// NVMe reads evidence from a SMART log.
func NVMe(page *smart.NvmeSMARTLog) []glia.Evidence {
	// A log without temperature, spare and spare threshold was not filled in by any disk: the library takes
	// the status "command failed" for success and leaves the page as it was.
	if page.Temperature == 0 && page.AvailSpare == 0 && page.SpareThresh == 0 && page.CritWarning == 0 {
		return []glia.Evidence{{Class: glia.Media, What: "smart", Unknown: "the SMART log is empty"}}
	}
	var out []glia.Evidence
	for bit, w := range criticalWarnings {
		e := glia.Evidence{Class: w.class, What: w.what}
		if page.CritWarning>>bit&1 == 1 {
			e.Value, e.Detail = 1, w.detail
			switch w.what {
			case "nvme.spare_low":
				e.Detail = fmt.Sprintf("available spare is %d %%, the threshold %d %%", page.AvailSpare, page.SpareThresh)
			case "nvme.temperature":
				e.Detail = fmt.Sprintf("%d °C", int(page.Temperature)-273)
			}
		}
		out = append(out, e)
	}
	errs := float64(page.MediaErrors.Val[0]) + float64(page.MediaErrors.Val[1])*(1<<64)
	return append(out,
		glia.Evidence{Class: glia.Wear, What: "nvme.percentage_used", Value: float64(page.PercentUsed),
			Detail: fmt.Sprintf("%d %% of the rated endurance is used", page.PercentUsed)},
		glia.Evidence{Class: glia.Media, What: "nvme.media_errors", Value: errs,
			Detail: fmt.Sprintf("%.0f media errors", errs)})
}
