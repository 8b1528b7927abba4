package smart_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"glia/nerve/disk/smart"
)

// capture is one line of testdata/captures.jsonl: what smartctl has read from a real drive.
type capture struct {
	Protocol   string
	Model      string `json:"model_name"`
	SCSIModel  string `json:"scsi_model_name"`
	Attributes []struct {
		ID, Value, Worst, Thresh uint8
		Flags                    uint16
		Raw                      uint64
		Name                     string
		WhenFailed               string `json:"when_failed"`
	} `json:"ata_smart_attributes"`
	NVMe *struct {
		Warning        uint8  `json:"critical_warning"`
		Temperature    int    `json:"temperature"`
		Spare          uint8  `json:"available_spare"`
		SpareThreshold uint8  `json:"available_spare_threshold"`
		PercentUsed    uint8  `json:"percentage_used"`
		UnitsRead      uint64 `json:"data_units_read"`
		UnitsWritten   uint64 `json:"data_units_written"`
		PowerOnHours   uint64 `json:"power_on_hours"`
		MediaErrors    uint64 `json:"media_errors"`
		ErrorEntries   uint64 `json:"num_err_log_entries"`
		Unsafe         uint64 `json:"unsafe_shutdowns"`
		WarningMinutes uint32 `json:"warning_temp_time"`
	} `json:"nvme_smart_health_information_log"`
	Counters map[string]struct {
		Fast        int64 `json:"errors_corrected_by_eccfast"`
		Delayed     int64 `json:"errors_corrected_by_eccdelayed"`
		Retried     int64 `json:"errors_corrected_by_rereads_rewrites"`
		Corrected   int64 `json:"total_errors_corrected"`
		Uncorrected int64 `json:"total_uncorrected_errors"`
	} `json:"scsi_error_counter_log"`
	Grown  *int64 `json:"scsi_grown_defect_list"`
	Status struct{ Passed bool }
}

func captures(t testing.TB) []capture {
	t.Helper()
	f, err := os.Open("testdata/captures.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []capture
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c capture
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if len(out) != 94 {
		t.Fatalf("%d captures", len(out))
	}
	return out
}

// sum makes the last byte of an ATA structure the one that all bytes add up to zero with.
func sum(b []byte) []byte {
	b[511] = 0
	var s byte
	for _, v := range b {
		s += v
	}
	b[511] = -s
	return b
}

// pages lays the attributes of a capture out as the disk did.
func (c capture) pages() (data, thresholds []byte) {
	data, thresholds = make([]byte, 512), make([]byte, 512)
	data[0], thresholds[0] = 1, 1
	for i, a := range c.Attributes {
		d, t := data[2+12*i:], thresholds[2+12*i:]
		d[0], d[3], d[4], t[0], t[1] = a.ID, a.Value, a.Worst, a.ID, a.Thresh
		binary.LittleEndian.PutUint16(d[1:], a.Flags)
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], a.Raw)
		copy(d[5:11], raw[:6])
	}
	return sum(data), sum(thresholds)
}

// healthLog lays the health log of a capture out as the disk did.
func (c capture) healthLog() []byte {
	b, n := make([]byte, 512), c.NVMe
	b[0], b[3], b[4], b[5] = n.Warning, n.Spare, n.SpareThreshold, n.PercentUsed
	binary.LittleEndian.PutUint16(b[1:], uint16(n.Temperature+273))
	for at, v := range map[int]uint64{32: n.UnitsRead, 48: n.UnitsWritten, 128: n.PowerOnHours, 144: n.Unsafe, 160: n.MediaErrors, 176: n.ErrorEntries} {
		binary.LittleEndian.PutUint64(b[at:], v)
	}
	binary.LittleEndian.PutUint32(b[192:], n.WarningMinutes)
	return b
}

func TestData_RealATADrives(t *testing.T) {
	t.Parallel()
	var d smart.Data
	var limits smart.Thresholds
	seen := 0
	for _, c := range captures(t) {
		if c.Protocol != "ATA" {
			continue
		}
		data, thresholds := c.pages()
		if err := d.Decode(data); err != nil {
			t.Fatal(err)
		}
		if err := limits.Decode(thresholds); err != nil {
			t.Fatal(err)
		}
		if len(d.Attributes) != len(c.Attributes) {
			t.Fatalf("%s: %d attributes, smartctl has %d", c.Model, len(d.Attributes), len(c.Attributes))
		}
		for _, want := range c.Attributes {
			got, ok := d.Attribute(want.ID)
			if !ok || got.Current != want.Value || got.Worst != want.Worst || got.Raw() != want.Raw&(1<<48-1) || got.Flags != want.Flags {
				t.Errorf("%s: attribute %d is %+v, smartctl says %+v", c.Model, want.ID, got, want)
			}
			if now := strings.EqualFold(want.WhenFailed, "now"); limits.Exceeded(got) != now {
				t.Errorf("%s: attribute %d (%d, threshold %d): exceeded %v, smartctl says %q", c.Model, want.ID, want.Value, want.Thresh, limits.Exceeded(got), want.WhenFailed)
			}
			seen++
		}
	}
	if seen != 1178 {
		t.Errorf("%d attributes", seen)
	}
}

func TestNVMe_RealDrives(t *testing.T) {
	t.Parallel()
	var n smart.NVMe
	seen := 0
	for _, c := range captures(t) {
		if c.NVMe == nil {
			continue
		}
		if err := n.Decode(c.healthLog()); err != nil {
			t.Fatal(err)
		}
		w := c.NVMe
		if n.Warning != w.Warning || n.Temperature != w.Temperature || n.Spare != w.Spare || n.PercentUsed != w.PercentUsed || n.MediaErrors.Uint64() != w.MediaErrors ||
			n.UnitsWritten.Uint64() != w.UnitsWritten || n.PowerOnHours.Uint64() != w.PowerOnHours || n.WarningMinutes != w.WarningMinutes || n.Check() != nil {
			t.Errorf("%s: %+v, smartctl says %+v", c.Model, n, w)
		}
		seen++
	}
	if seen != 36 {
		t.Errorf("%d drives", seen)
	}
}

func TestErrorCounters_RealSASDrives(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, c := range captures(t) {
		for name, w := range c.Counters {
			page := map[string]byte{"write": smart.PageWriteErrors, "read": smart.PageReadErrors, "verify": smart.PageVerifyErrors}[name]
			b := []byte{page, 0, 0, 0}
			for i, v := range []int64{w.Fast, w.Delayed, w.Retried, w.Corrected, 0, 0, w.Uncorrected} {
				b = append(b, 0, byte(i), 0x02, 8)
				b = binary.BigEndian.AppendUint64(b, uint64(v))
			}
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
			var e smart.ErrorCounters
			if err := e.Decode(page, b); err != nil {
				t.Fatal(err)
			}
			if e.Fast.Value != w.Fast || e.Delayed.Value != w.Delayed || e.Retried.Value != w.Retried || e.Corrected.Value != w.Corrected || e.Uncorrected.Value != w.Uncorrected || !e.Uncorrected.Valid {
				t.Errorf("%s %s: %+v, smartctl says %+v", c.SCSIModel, name, e, w)
			}
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("%d pages", seen)
	}
}
