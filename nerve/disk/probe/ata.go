package probe

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	smart "github.com/anatol/smart.go"

	"glia"
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

const (
	prefail = 1 // bit 0 of an attribute's flags: it predicts failure, rather than telling age

	// Normalised values and thresholds are valid from 1 to 253; 0, 254 and 255 are reserved (SFF-8035i).
	maxNormalised = 253
)

// ATA reads evidence from the SMART data and thresholds of a disk. noThresholds says why thresholds is nil.
func ATA(page *smart.AtaSmartPage, thresholds *smart.AtaSmartThresholdsPage, noThresholds error) []glia.Evidence {
	if len(page.Attrs) == 0 {
		return []glia.Evidence{{Class: glia.Media, What: "smart", Unknown: "the SMART data have no attributes"}}
	}
	var out []glia.Evidence
	for _, c := range ataCounters {
		a, ok := page.Attrs[c.id]
		if !ok || !slices.ContainsFunc(c.words, func(w string) bool { return strings.Contains(a.Name, w) }) {
			continue
		}
		n := raw(a) & (1<<c.bits - 1)
		out = append(out, glia.Evidence{Class: c.class, What: c.what, Value: float64(n),
			Detail: fmt.Sprintf("attribute %d %s is %d", a.Id, a.Name, n)})
	}

	e := glia.Evidence{Class: glia.Media, What: "ata.prefail_attributes"}
	if noThresholds != nil {
		e.Unknown = whyNoSMART("read the SMART thresholds", noThresholds)
	} else {
		var below []string
		for _, a := range page.Attrs {
			t := thresholds.Thresholds[a.Id]
			if a.Flags&prefail != 0 && t > 0 && t <= maxNormalised && a.Current > 0 && a.Current <= t {
				below = append(below, fmt.Sprintf("%d %s is %d, threshold %d", a.Id, a.Name, a.Current, t))
			}
		}
		slices.Sort(below)
		e.Value, e.Detail = float64(len(below)), strings.Join(below, "; ")
	}
	out = append(out, e)

	if c, ok := celsius(page); ok {
		out = append(out, glia.Evidence{Class: glia.Thermal, What: "ata.temperature", Value: float64(c), Detail: fmt.Sprintf("%d °C", c)})
	}
	return out
}

// raw is the raw value as it lies in the page. The library's own value is 0 for attributes that its table of
// models does not know.
func raw(a smart.AtaSmartAttr) uint64 {
	return binary.LittleEndian.Uint64(append(a.VendorBytes[:], 0, 0))
}

// celsius is attribute 194 or, where a disk has none, 190: the temperature is in the lowest byte, the rest are
// extremes. A value that no running disk has (below 1 or above 120) is taken for something else.
func celsius(page *smart.AtaSmartPage) (int, bool) {
	for _, id := range []uint8{194, 190} {
		a, ok := page.Attrs[id]
		if !ok || !strings.Contains(a.Name, "emperature") {
			continue
		}
		t := int(int8(a.VendorBytes[0]))
		if a.Type == smart.AtaDeviceAttributeTypeTemp10X {
			t = int(raw(a)&0xffff) / 10
		}
		if t >= 1 && t <= 120 {
			return t, true
		}
	}
	return 0, false
}
