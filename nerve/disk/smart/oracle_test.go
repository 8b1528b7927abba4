package smart_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	smartgo "github.com/anatol/smart.go"

	"glia/nerve/disk/smart"
)

// as reads bytes as a structure of smart.go.
func as[T any](t *testing.T, b []byte) T {
	t.Helper()
	var out T
	if err := binary.Read(bytes.NewReader(b), binary.LittleEndian, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// smart.go lays the same bytes out as these decoders do. Where it reads on and they refuse or leave out, the
// comparison says so.
func FuzzDecoders_AgreeWithSmartGo(f *testing.F) {
	for _, c := range captures(f) {
		if c.Protocol == "ATA" {
			data, _ := c.pages()
			f.Add(data)
		} else if c.NVMe != nil {
			f.Add(c.healthLog())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 512 {
			return
		}
		b = sum(bytes.Clone(b[:512]))
		agreeData(t, b)
		agreeLogs(t, b)

		var n smart.NVMe
		if err := n.Decode(b); err != nil {
			t.Fatal(err)
		}
		h := as[smartgo.NvmeSMARTLog](t, b)
		same := func(c smart.Count, v smartgo.Uint128) bool { return c.Lo == v.Val[0] && c.Hi == v.Val[1] }
		if n.Warning != h.CritWarning || n.Spare != h.AvailSpare || n.SpareThreshold != h.SpareThresh || n.PercentUsed != h.PercentUsed ||
			n.HasTemperature && n.Temperature != int(h.Temperature)-273 || n.WarningMinutes != h.WarningTempTime || !same(n.MediaErrors, h.MediaErrors) ||
			!same(n.UnitsWritten, h.DataUnitsWritten) || !same(n.PowerOnHours, h.PowerOnHours) || !same(n.ErrorEntries, h.NumErrLogEntries) {
			t.Errorf("%+v\nsmart.go says %+v", n, h)
		}
	})
}

func agreeData(t *testing.T, b []byte) {
	t.Helper()
	var d smart.Data
	if err := d.Decode(b); err != nil {
		t.Fatal(err)
	}
	i := 0
	for _, want := range as[smartgo.AtaSmartPageRaw](t, b).Attrs {
		if want.Id == 0 {
			continue // smart.go ends at the first gap; disks may have gaps
		}
		if got := d.Attributes[i]; got.ID != want.Id || got.Flags != want.Flags || got.Current != want.Current || got.Worst != want.Worst || got.Vendor != want.VendorBytes {
			t.Errorf("%+v, smart.go says %+v", got, want)
		}
		i++
	}
	if i != len(d.Attributes) {
		t.Errorf("%d attributes, smart.go has %d", len(d.Attributes), i)
	}
	var limits smart.Thresholds
	if err := limits.Decode(b); err != nil {
		t.Fatal(err)
	}
	first := map[uint8]uint8{}
	for _, e := range as[smartgo.AtaSmartThresholdsPageRaw](t, b).ThresholdEntries {
		if first[e.Id] == 0 {
			first[e.Id] = e.Threshold
		}
	}
	for id, want := range first {
		if id != 0 && limits[id] != want {
			t.Errorf("threshold of %d is %d, smart.go says %d", id, limits[id], want)
		}
	}
}

func agreeLogs(t *testing.T, b []byte) {
	t.Helper()
	var tests smart.SelfTestLog
	theirs := as[smartgo.AtaSmartSelfTestLog](t, b)
	if err := tests.DecodeATA(b); (err == nil) != (theirs.Index <= 21) {
		t.Errorf("index %d: %v", theirs.Index, err)
	} else if err == nil && theirs.Index > 0 && len(tests.Entries) > 0 {
		if e := theirs.Entry[theirs.Index-1]; e.LBA_7 != 0 || e.Status != 0 || e.LifeTimestamp != 0 { // else the newest was never written
			got := tests.Entries[0]
			if got.Hours != uint64(e.LifeTimestamp) || got.Result != smart.SelfTestStatus(e.Status).Result() || got.HasLBA && got.LBA != uint64(e.LBA) {
				t.Errorf("newest self-test %+v, smart.go says %+v", got, e)
			}
		}
	}
	var errs smart.ErrorLog
	summary := as[smartgo.AtaSmartErrorLogSummary](t, b)
	switch err := errs.Decode(b); {
	case (err == nil) != (summary.LogIndex <= 5):
		t.Errorf("index %d: %v", summary.LogIndex, err)
	case err == nil && summary.LogIndex > 0 && summary.ErrorCount > 0:
		if raw := summary.LogData[summary.LogIndex-1]; errs.Count != summary.ErrorCount || errs.Entries[0].Register != raw[61] || errs.Entries[0].Status != raw[67] {
			t.Errorf("newest error %+v of %d, smart.go says % x of %d", errs.Entries[0], errs.Count, raw, summary.ErrorCount)
		}
	}
}
