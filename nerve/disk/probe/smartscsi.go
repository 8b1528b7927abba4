package probe

import (
	"errors"
	"fmt"

	"glia"
	"glia/nerve/disk/smart"
)

// predictions are the kinds of informational exceptions.
var predictions = []struct {
	of    smart.Prediction
	what  string
	class glia.EvidenceClass
}{
	{smart.PredictFailure, "scsi.prediction.failure", glia.Media},
	{smart.PredictSpare, "scsi.prediction.spare", glia.Wear},
	{smart.PredictWear, "scsi.prediction.wear", glia.Wear},
	{smart.PredictTemperature, "scsi.prediction.temperature", glia.Thermal},
	{smart.PredictMedium, "scsi.prediction.medium", glia.Media},
	{smart.PredictCache, "scsi.prediction.cache", glia.Media},
}

func (e *evidence) scsi(r *smart.Reading) {
	switch s := r.Exception.Value; {
	case !r.Exception.Known:
		e.unknown(glia.Media, "scsi.prediction", r.Exception.Err)
	case s.Prediction() == smart.PredictUnknown:
		// It stands in the place of whatever else the disk would report.
		e.unknown(glia.Media, "scsi.prediction", errors.New("the disk reports "+s.Words()))
	default:
		for _, p := range predictions {
			e.flag(p.class, p.what, s.Prediction() == p.of, s.Words())
		}
	}
	e.uncorrected("read", &r.ReadErrors)
	e.uncorrected("write", &r.WriteErrors)
	e.uncorrected("verify", &r.VerifyErrors)
	e.count(glia.Media, "scsi.grown_defects", &r.Grown, "%d sectors were replaced since the disk was made")
	e.count(glia.Interface, "scsi.non_medium", &r.NonMedium, "%d errors that are not the medium's")
	e.count(glia.Wear, "scsi.percentage_used", &r.Endurance, "%d %% of the rated endurance is used")
	e.count(glia.Thermal, "scsi.temperature", &r.Temperature, "%d °C")
	if r.Scan.Known {
		e.add(glia.Media, "scsi.scan_medium", float64(r.Scan.Value.Medium), fmt.Sprintf("the disk's own scan knows %d unreadable sectors", r.Scan.Value.Medium))
	} else {
		e.unknown(glia.Media, "scsi.scan_medium", r.Scan.Err)
	}
}

func (e *evidence) uncorrected(of string, p *smart.Page[smart.ErrorCounters]) {
	what := "scsi.uncorrected." + of
	if !p.Known {
		e.unknown(glia.Media, what, p.Err)
		return
	}
	e.statistic(glia.Media, what, p.Value.Uncorrected, "%d errors of "+of+" that the disk could not correct")
}

func (e *evidence) count(class glia.EvidenceClass, what string, p *smart.Page[smart.Statistic], words string) {
	if !p.Known {
		e.unknown(class, what, p.Err)
		return
	}
	e.statistic(class, what, p.Value, words)
}
