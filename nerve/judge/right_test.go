package judge_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"glia"
	"glia/nerve/disk/probe"
	"glia/nerve/disk/smart"
	"glia/nerve/judge"
)

// ata is what the SMART page of a good Seagate says, with some raw values changed. 1, 7 and 188 are as Seagate packs them.
func ata(raw map[uint8]uint64) []glia.Evidence {
	r := &smart.Reading{Kind: smart.KindATA}
	r.Health = smart.Page[smart.Health]{Value: smart.HealthGood, Known: true}
	r.Data.Known, r.Thresholds.Known = true, true
	names := map[uint8]string{1: "Raw_Read_Error_Rate", 5: "Reallocated_Sector_Ct", 7: "Seek_Error_Rate", 187: "Reported_Uncorrect", 188: "Command_Timeout",
		195: "Hardware_ECC_Recovered", 197: "Current_Pending_Sector", 198: "Offline_Uncorrectable", 199: "UDMA_CRC_Error_Count"}
	for id := range names {
		a := smart.Attribute{ID: id, Flags: 0x33, Current: 100, Worst: 100}
		for i := range a.Vendor {
			a.Vendor[i] = byte(raw[id] >> (8 * i))
		}
		r.Data.Value.Attributes = append(r.Data.Value.Attributes, a)
		r.Thresholds.Value[id] = 10
	}
	return probe.Evidence(r, probe.Names{Of: names})
}

func nvme(change func(*smart.NVMe), log ...smart.NVMeError) []glia.Evidence {
	r := &smart.Reading{Kind: smart.KindNVMe}
	r.NVMe = smart.Page[smart.NVMe]{Known: true, Value: smart.NVMe{Temperature: 35, HasTemperature: true, Spare: 100, SpareThreshold: 10}}
	r.NVMeErrors.Known = true
	r.NVMeErrors.Value.Entries = log
	change(&r.NVMe.Value)
	return probe.Evidence(r, probe.Names{})
}

func sas(asc, ascq uint8) []glia.Evidence {
	r := &smart.Reading{Kind: smart.KindSCSI}
	r.Exception = smart.Page[smart.Sense]{Known: true, Value: smart.Sense{ASC: asc, ASCQ: ascq}}
	return probe.Evidence(r, probe.Names{})
}

func saw(class glia.EvidenceClass, what string, value float64) []glia.Evidence {
	return []glia.Evidence{{Class: class, Source: "test", What: what, Value: value}}
}

func blind(what, why string) []glia.Evidence {
	return []glia.Evidence{{Class: glia.Media, Source: "test", What: what, Unknown: why}}
}

type raws = map[uint8]uint64

// Stories of disks, told by those whom other tools told to replace them (first part), and of those that no tool
// noticed (second part). Each is a good round, and then twelve like the last one.
func TestJudge_MustBeRight(t *testing.T) {
	t.Parallel()
	good := []glia.Evidence{reads(0)}
	unsupported := smart.NVMeError{Count: 1, Status: 0x002} // invalid field in command
	for _, c := range []struct {
		story string
		first []glia.Evidence
		then  []glia.Evidence
		want  byte
		words string
	}{
		// Never a replacement.
		{"CRC errors of a bad cable", ata(nil), ata(raws{199: 500}), 'S', "the cable, not the disk"},
		{"packed command timeouts", ata(nil), ata(raws{188: 0x000300020002}), 'H', ""},
		{"rates of reads and seeks that count everything", ata(raws{1: 1e6, 7: 1e6}), ata(raws{1: 228e6, 7: 0x00000bff1234, 195: 228e6}), 'H', ""},
		{"old reallocated and pending sectors", ata(raws{5: 40, 197: 8, 198: 8}), ata(raws{5: 40, 197: 8, 198: 8}), 'H', ""},
		{"the upper words of attribute 5", ata(nil), ata(raws{5: 0x000200000000}), 'H', ""},
		{"one ECC event on a disk two weeks old", ata(nil), ata(raws{195: 40}), 'H', ""},
		{"refused NVMe commands in the error log", nvme(func(*smart.NVMe) {}), nvme(func(n *smart.NVMe) { n.ErrorEntries = smart.Count{Lo: 9000} }, unsupported, unsupported), 'H', ""},
		{"a hot NVMe disk", nvme(func(*smart.NVMe) {}), nvme(func(n *smart.NVMe) { n.Warning = smart.WarnTemperature }), 'S', "look at the cooling"},
		{"test of the failure prediction", sas(0, 0), append(sas(0x5d, 0xff), good...), 'H', ""},
		{"SAS self-test under way", good, sas(0x04, 0x09), 'U', "self-test in progress"},
		{"SAS disk too hot", good, append(sas(0x0b, 0x01), good...), 'S', "look at the cooling"},
		{"filesystem is full (ENOSPC)", good, append(blind("fs.write_errors", "no space left for it"), good...), 'H', ""},
		{"no place for the test file, which is all that is looked at", nil, blind("fs.write_errors", "no space left for it"), 'U', "no space left"},
		{"sleeping disk", good, blind("smart", "asleep: in standby"), 'U', "asleep"},
		{"permission denied", good, blind("smart", "permission denied"), 'U', "permission denied"},
		{"SMART command that does not come back", good, blind("probe.hung", "has not returned"), 'U', "has not returned"},
		{"not mounted now: nothing is asked of the filesystem", good, good, 'H', ""},
		{"I/O errors without a cause", good, append(saw(glia.Interface, "kernel.io_errors", 50), good...), 'H', ""},
		{"I/O errors without a cause, that grow", append(saw(glia.Interface, "kernel.io_errors", 0), good...), append(saw(glia.Interface, "kernel.io_errors", 50), good...), 'S', "before the disk"},
		{"commands that the kernel counts as errors", append(saw(glia.Interface, "kernel.ioerr_cnt", 0), good...), append(saw(glia.Interface, "kernel.ioerr_cnt", 5000), good...), 'H', ""},
		{"a crawling disk", good, append(saw(glia.Latency, "latency.slow", 1), good...), 'S', "slower than its siblings"},
		{"slow requests of a busy cluster", good, append(saw(glia.Latency, "osd.slow_ops", 12), good...), 'S', "compare it"},
		{"a snapshot without room", good, append(saw(glia.Filesystem, "volume.full[dm-3]", 1), good...), 'H', ""},
		{"MD has thrown it out", good, append(saw(glia.Storage, "md.faulty[md0]", 1), good...), 'S', "look at the kernel log for why"},
		{"SAS: its endurance is used", sas(0, 0), sas(0x5d, 0x73), 'W', "plan its replacement"},
		{"SAS: its cache may be lost, which a power supply does as well", good, append(sas(0x0b, 0x07), good...), 'S', "look at the power supply"},
		{"SAS: errors that are not the medium's", append(saw(glia.Interface, "scsi.non_medium", 0), good...), append(saw(glia.Interface, "scsi.non_medium", 900), good...), 'H', ""},
		{"BlueStore reads again and all is well", append(saw(glia.Interface, "osd.spurious_reads", 0), good...), append(saw(glia.Interface, "osd.spurious_reads", 90), good...), 'S', "not at the disk"},
		{"its endurance is used", good, nvme(func(n *smart.NVMe) { n.PercentUsed = 104 }), 'W', "plan its replacement"},

		// Failing and failed, and why.
		{"pending sectors grow", ata(nil), ata(raws{197: 24}), 'f', "can not read more and more of its sectors; replace it"},
		{"reported uncorrectable errors grow", ata(raws{187: 1}), ata(raws{187: 9}), 'f', "errors that it could not correct; replace it"},
		{"first pending sector", ata(nil), ata(raws{197: 1}), 'S', "watch it"},
		{"the disk fails SMART as a whole", good, saw(glia.Media, "ata.health", 1), 'f', "predicts its own failure; replace it"},
		{"SAS: media failure predicted", sas(0, 0), sas(0x5d, 0x01), 'f', "predicts its own failure; replace it (medium failure predicted)"},
		{"SAS: too many reassigned blocks", sas(0, 0), sas(0x5d, 0x14), 'f', "too many reassigned blocks"},
		{"SAS: its power loss protection", sas(0, 0), sas(0x5d, 0x1d), 'f', "protection against loss of power predicted to fail"},
		{"SAS: failure predicted by a qualifier that is in no list", sas(0, 0), sas(0x5d, 0x7e), 'f', "predicts its own failure; replace it"},
		{"SAS: spare area", sas(0, 0), sas(0x5d, 0x03), 'f', "nearly used up its spare area"},
		{"SAS: spindle", sas(0, 0), sas(0x5d, 0x5b), 'f', "predicts its own failure"},
		{"NVMe: spare below its threshold", nvme(func(*smart.NVMe) {}), nvme(func(n *smart.NVMe) { n.Warning, n.Spare = smart.WarnSpare, 4 }), 'f', "fewer spare blocks left than its maker allows"},
		{"NVMe: not reliable", nvme(func(*smart.NVMe) {}), nvme(func(n *smart.NVMe) { n.Warning = smart.WarnReliability }), 'F', "not reliable any more; replace it"},
		{"NVMe: read-only", nvme(func(*smart.NVMe) {}), nvme(func(n *smart.NVMe) { n.Warning = smart.WarnReadOnly }), 'F', "read-only; replace it"},
		{"EIO with a medium error", good, append(saw(glia.Media, "kernel.medium_errors", 3), reads(1)), 'F', "can not be read; replace it"},
		{"read-only after an I/O error", good, saw(glia.Filesystem, "fs.readonly", 1), 'F', "read-only after an error; replace the disk if its log shows I/O errors"},
		{"XFS has shut down", good, saw(glia.Filesystem, "fs.shutdown", 1), 'F', "shut itself down"},
		{"not writable, and fsck finds nothing", good, saw(glia.Filesystem, "fs.write_errors", 1), 'F', "can not be written; replace it"},
		{"the self-test fails", good, saw(glia.Media, "selftest.failed", 1), 'f', "failed its own self-test"},
		{"BlueStore meets read errors", append(saw(glia.Storage, "osd.read_errors", 0), good...), append(saw(glia.Storage, "osd.read_errors", 7), good...), 'f', "more and more read errors"},
	} {
		d := newDisk()
		d.round(c.first...)
		for range 12 {
			d.round(c.then...)
		}
		if got := letters[d.verdict.State]; got != c.want || !strings.Contains(d.verdict.Summary(), c.words) {
			t.Errorf("%s: %s, want %c with %q", c.story, d.verdict.Summary(), c.want, c.words)
		}
		for _, r := range d.verdict.Reasons {
			if r.Rule == "" || r.Since.IsZero() || r.Evidence.What == "" || !strings.Contains(r.Words, "; ") {
				t.Errorf("%s: a reason without rule, time, value or advice: %+v", c.story, r)
			}
		}
	}
}

// A disk that was failed is not failed for ever: the condition clears.
func TestJudge_WhatIsOverClears(t *testing.T) {
	t.Parallel()
	d := newDisk()
	d.round(ata(nil)...)
	for range 3 {
		d.round(ata(raws{197: 24})...)
	}
	for range 3 { // the sectors were written again
		d.round(ata(nil)...)
	}
	if d.verdict.State != glia.StateHealthy {
		t.Errorf("after the pending sectors are gone: %s", d.verdict.Summary())
	}
}

// Nothing that a disk, a clock or a page does wrong makes a bad verdict: counters that go backwards, values that can
// not be, times that jump, pages that can not be read.
func TestJudge_NonsenseIsNeverBad(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDisk()
		value := 1e6
		counters := []string{"ata.pending", "ata.reported_uncorrectable", "nvme.media_errors", "scsi.grown_defects", "scsi.uncorrected.read", "kernel.medium_errors"}
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			d.now = start.Add(time.Duration(rapid.Int64Range(-1<<50, 1<<60).Draw(t, "clock")))
			value = rapid.Float64Range(0, value).Draw(t, "falling")
			var round []glia.Evidence
			for _, what := range counters {
				switch rapid.IntRange(0, 2).Draw(t, "kind") {
				case 0:
					round = append(round, saw(glia.Media, what, value)...)
				case 1:
					round = append(round, blind(what, "checksum is wrong")...)
				case 2:
					round = append(round, saw(glia.Media, what, rapid.SampledFrom([]float64{-1, -1e300}).Draw(t, "impossible"))...)
				}
			}
			d.round(round...)
			if d.verdict.State.Bad() {
				t.Fatalf("%s", d.verdict.Summary())
			}
		}
	})
}

// Cut and random pages give unknown evidence or none.
func TestJudge_MalformedPagesAreUnknown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		page := rapid.SliceOfN(rapid.Byte(), 0, 511).Draw(t, "page")
		r := &smart.Reading{Kind: smart.KindATA}
		r.Data.Err, r.Health.Err = r.Data.Value.Decode(page), fmt.Errorf("no registers")
		n := &smart.Reading{Kind: smart.KindNVMe}
		n.NVMe.Err = n.NVMe.Value.Decode(page)
		n.NVMeErrors.Err = fmt.Errorf("not read")
		d := newDisk()
		for range 4 {
			d.round(append(probe.Evidence(r, probe.Names{}), probe.Evidence(n, probe.Names{})...)...)
		}
		if d.verdict.State != glia.StateUnknown {
			t.Fatalf("%d bytes: %s", len(page), d.verdict.Summary())
		}
	})
}

// saysSo are the captures in which the drive itself says that it fails. This one, a new PM1743, reports that its
// capacitors can not save its cache (critical warning 10h).
var saysSo = map[string]byte{"SAMSUNG MZWLL3T2HAJQ-00005": 'f'}

// captured is a line of the captures as smartctl prints it.
func captured(t *testing.T, line []byte) []byte {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(line, &c); err != nil {
		t.Fatal(err)
	}
	c["device"] = map[string]any{"protocol": c["protocol"]}
	c["json_format_version"], c["smartctl"] = []int{1, 0}, map[string]any{"exit_status": 0}
	if attributes, ok := c["ata_smart_attributes"].([]any); ok {
		for _, x := range attributes {
			a := x.(map[string]any)
			a["flags"], a["raw"] = map[string]any{"value": a["flags"]}, map[string]any{"value": a["raw"]}
		}
		c["ata_smart_attributes"] = map[string]any{"table": attributes}
	}
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJudge_RealDrivesAreFailingOnlyWhenTheySaySo(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../disk/smart/testdata/captures.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := map[byte]int{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r smart.Reading
		o, err := r.Smartctl(captured(t, lines.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		d := newDisk()
		var got byte
		for range 4 {
			got = d.round(probe.Evidence(&r, probe.Names{Of: o.Names})...)
		}
		count[got]++
		want, bad := saysSo[o.Model]
		if bad && got == want {
			t.Logf("%s: %s", o.Model, d.verdict.Summary())
		} else if d.verdict.State.Bad() {
			t.Errorf("%s: %s", o.Model, d.verdict.Summary())
		}
	}
	if count['H'] != 93 || count['f'] != 1 {
		t.Errorf("%d healthy and %d failing, want 93 and 1", count['H'], count['f'])
	}
}

func FuzzSmartctl_Judged(f *testing.F) {
	f.Add([]byte(`{"json_format_version":[1,0],"smartctl":{"exit_status":0},"device":{"protocol":"SCSI"},"smart_status":{"passed":false,"scsi":{"asc":93,"ascq":20}},"scsi_error_counter_log":{"read":{"total_uncorrected_errors":3,"gigabytes_processed":"1.5"}}}`))
	f.Add([]byte(`{"json_format_version":[1,0],"smartctl":{"exit_status":0},"device":{"protocol":"ATA"},"ata_smart_attributes":{"table":[{"id":5,"raw":{"value":18446744073709551615}}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r smart.Reading
		if o, err := r.Smartctl(b); err == nil {
			judge.Step(judge.Default(), judge.DiskState{}, probe.Evidence(&r, probe.Names{Of: o.Names}), start, expiry)
		}
	})
}
