package probe

import (
	"fmt"
	"slices"
	"strings"

	"glia"
	"glia/nerve/disk/smart"
)

// ataCounters are the attributes that are read as counts. Some makers use the same ids for other things (198
// for gigabytes read, 199 for gigabytes written), so an attribute counts only when its name, which depends on
// the model, has one of the words.
//
// Raw values have 48 bits. The upper ones of most counters are used for something else by one maker or the
// other; attribute 5 keeps its count in the lowest 16 (smartmontools: raw16(raw16)), the others in the lowest 32.
var ataCounters = []struct {
	id    uint8
	what  string
	class glia.EvidenceClass
	bits  int
	words []string
}{
	{5, "ata.reallocated", glia.Media, 16, []string{"Reallocat", "Realloc_", "Retired", "Bad_Bl"}},
	{187, "ata.reported_uncorrectable", glia.Media, 32, []string{"Unc", "UE_"}},
	{197, "ata.pending", glia.Media, 32, []string{"Pending"}},
	{198, "ata.offline_uncorrectable", glia.Media, 32, []string{"Unc", "UNC", "UErr"}},
	{199, "ata.crc_errors", glia.Interface, 32, []string{"CRC"}},
}

func (e *evidence) ata(r *smart.Reading, names Names) {
	switch {
	case !r.Health.Known:
		e.unknown(glia.Media, "ata.health", r.Health.Err)
	default:
		e.flag(glia.Media, "ata.health", r.Health.Value == smart.HealthBad, "the disk's own verdict is that it fails")
	}
	switch {
	case !r.Data.Known:
		e.unknown(glia.Media, "ata.attributes", r.Data.Err)
	case len(r.Data.Value.Attributes) == 0:
		*e = append(*e, glia.Evidence{Class: glia.Media, What: "ata.attributes", Unknown: "the SMART data have no attributes"})
	default:
		e.ataCounters(&r.Data.Value, names)
		e.ataThresholds(r, names)
	}
	e.ataTemperature(r, names)

	if !r.Statistics.Known {
		e.unknown(glia.Media, "ata.statistics", r.Statistics.Err)
	} else {
		s := &r.Statistics.Value
		e.statistic(glia.Media, "ata.stat_uncorrectable", s.Uncorrectable, "%d reported uncorrectable errors")
		e.statistic(glia.Media, "ata.stat_candidates", s.Candidates, "%d sectors wait for being reallocated")
		e.statistic(glia.Interface, "ata.stat_crc", s.CRCErrors, "%d CRC errors of the interface")
		e.statistic(glia.Wear, "ata.stat_percent_used", s.PercentUsed, "%d %% of the rated endurance is used")
		e.unknown(glia.Media, "ata.statistics", r.Statistics.Err)
	}
	e.ataErrors(r)
}

func (e *evidence) statistic(class glia.EvidenceClass, what string, s smart.Statistic, words string) {
	if s.Valid {
		e.add(class, what, float64(s.Value), fmt.Sprintf(words, s.Value))
	}
}

func (e *evidence) ataCounters(d *smart.Data, names Names) {
	for _, c := range ataCounters {
		a, ok := d.Attribute(c.id)
		if !ok {
			continue
		}
		if names.Err != nil {
			*e = append(*e, glia.Evidence{Class: c.class, What: c.what, Unknown: whyNoSMART("look up what the attributes of this model mean", names.Err)})
			continue
		}
		name := names.Of[c.id]
		if !slices.ContainsFunc(c.words, func(w string) bool { return strings.Contains(name, w) }) {
			continue
		}
		n := a.Raw() & (1<<c.bits - 1)
		e.add(c.class, c.what, float64(n), fmt.Sprintf("attribute %d %s is %d", c.id, name, n))
	}
}

func (e *evidence) ataThresholds(r *smart.Reading, names Names) {
	const what = "ata.prefail_attributes"
	if !r.Thresholds.Known {
		e.unknown(glia.Media, what, r.Thresholds.Err)
		return
	}
	var below []string
	for _, a := range r.Data.Value.Attributes {
		if a.Prefail() && r.Thresholds.Value.Exceeded(a) {
			below = append(below, strings.Join(strings.Fields(fmt.Sprintf("%d %s is %d, threshold %d", a.ID, names.Of[a.ID], a.Current, r.Thresholds.Value[a.ID])), " "))
		}
	}
	e.add(glia.Media, what, float64(len(below)), strings.Join(below, "; "))
}

// ataTemperature is attribute 194 or, where a disk has none, 190: the temperature is in the lowest byte, the
// rest are extremes. A value that no running disk has (below 1 or above 120) is taken for something else. The
// device statistics are asked last, because not all disks keep them up to date.
func (e *evidence) ataTemperature(r *smart.Reading, names Names) {
	const what = "ata.temperature"
	if r.Data.Known {
		for _, id := range []uint8{194, 190} {
			a, ok := r.Data.Value.Attribute(id)
			name := names.Of[id]
			if !ok || !strings.Contains(name, "emperature") {
				continue
			}
			t := int(int8(a.Vendor[0]))
			if strings.HasSuffix(strings.ToLower(name), "x10") {
				t = int(a.Low16()) / 10
			}
			if t >= 1 && t <= 120 {
				e.add(glia.Thermal, what, float64(t), fmt.Sprintf("%d °C", t))
				return
			}
		}
	}
	if s := r.Statistics.Value.Temperature; r.Statistics.Known && s.Valid {
		e.add(glia.Thermal, what, float64(s.Value), fmt.Sprintf("%d °C", s.Value))
	}
}

func (e *evidence) ataErrors(r *smart.Reading) {
	const what = "ata.log_uncorrectable"
	if !r.Errors.Known {
		e.unknown(glia.Media, what, r.Errors.Err)
		return
	}
	n, words := 0, ""
	for _, entry := range r.Errors.Value.Entries {
		if !entry.Uncorrectable() || entry.Interface() {
			continue
		}
		if n++; n == 1 {
			words = fmt.Sprintf("sector %d could not be read at %d power-on hours", entry.LBA, entry.Hours)
		}
	}
	e.add(glia.Media, what, float64(n), words)
}
