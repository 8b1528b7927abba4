package probe_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glia"
	"glia/nerve/disk/probe"
	"glia/nerve/disk/smart"
)

func TestSMART_NVMe(t *testing.T) {
	t.Parallel()
	const rest = " nvme.media_log=0 selftest.failed=0"
	for _, c := range []struct {
		name   string
		change func(health, errors, tests []byte)
		want   string
	}{
		{"healthy", func(_, _, _ []byte) {}, nvmeHealthy},
		{"spare low", func(h, _, _ []byte) { h[0] = 1 }, strings.Replace(nvmeHealthy, "spare_low=0", "spare_low=1", 1)},
		{"spare low, and the bit forgotten", func(h, _, _ []byte) { h[3] = 9 }, strings.Replace(nvmeHealthy, "spare_low=0", "spare_low=1", 1)},
		{"a threshold that means nothing", func(h, _, _ []byte) { h[4] = 101 }, nvmeHealthy},
		{"hot and unreliable", func(h, _, _ []byte) { h[0] = 6 }, "nvme.spare_low=0 nvme.temperature=1 nvme.reliability=1 nvme.readonly=0 nvme.backup_failed=0 nvme.percentage_used=0 nvme.media_errors=0" + rest},
		{"read-only, no backup", func(h, _, _ []byte) { h[0] = 0x18 }, "nvme.spare_low=0 nvme.temperature=0 nvme.reliability=0 nvme.readonly=1 nvme.backup_failed=1 nvme.percentage_used=0 nvme.media_errors=0" + rest},
		{"reserved bits", func(h, _, _ []byte) { h[0] = 0xe0 }, nvmeHealthy},
		{"worn", func(h, _, _ []byte) { h[5], h[160] = 101, 2 }, nvmeBits + "nvme.percentage_used>1 nvme.media_errors>1" + rest},
		{"an unreadable sector in the log", func(_, e, _ []byte) { e[0] = 7; binary.LittleEndian.PutUint16(e[12:], 0x281<<1) }, strings.Replace(nvmeHealthy, "media_log=0", "media_log=1", 1)},
		{"refused commands in the log", func(_, e, _ []byte) { e[0] = 7; binary.LittleEndian.PutUint16(e[12:], 0x002<<1) }, nvmeHealthy},
		{"a failed self-test", func(_, _, s []byte) { s[4] = 0x17 }, strings.Replace(nvmeHealthy, "selftest.failed=0", "selftest.failed=1", 1)},
		{"a self-test that was broken off", func(_, _, s []byte) { s[4] = 0x11 }, without(nvmeHealthy, "selftest.failed")},
		{"a log that nobody filled in", func(h, _, _ []byte) { clear(h) }, "nvme.health?" + rest},
		{"a controller that is gone", func(h, _, _ []byte) { copy(h, bytes.Repeat([]byte{0xff}, len(h))) }, "nvme.health?" + rest},
	} {
		d := nvmeDisk()
		c.change(d.answers["Get Log Page 02h"], d.answers["Get Log Page 01h"], d.answers["Get Log Page 06h"])
		if got := d.probe(t); say(got) != c.want {
			t.Errorf("%s: %s, want %s\n%s", c.name, say(got), c.want, details(got))
		}
	}
}

func TestSMART_ATA(t *testing.T) {
	t.Parallel()
	const none = "ata.prefail_attributes=0"
	for _, c := range []struct {
		name  string
		attrs []attribute
		want  string
	}{
		{"the upper words of 5 are not its count", []attribute{attr(5, 100, 1, 1, 0, 9, 0, 9, 0)}, "ata.reallocated=1 " + none},
		{"nor the uppermost of 197", []attribute{attr(197, 100, 0, 1, 0, 0, 0, 9, 0)}, "ata.pending=1 " + none},
		{"same id, other meaning", []attribute{attr(98, 100, 0, 200), attr(99, 100, 0, 200)}, none},
		{"prefail at its threshold", []attribute{attr(3, 21, 1)}, "ata.prefail_attributes=1"},
		{"prefail above it", []attribute{attr(3, 22, 1)}, none},
		{"old age at its threshold", []attribute{attr(3, 21, 0)}, none},
		{"no threshold", []attribute{attr(4, 1, 1)}, none},
		{"reserved values", []attribute{attr(3, 0, 1), attr(9, 1, 1)}, none},
		{"temperature of 190", []attribute{attr(190, 60, 0, 41)}, none + " ata.temperature>1"},
		{"no temperature can be that", []attribute{attr(194, 60, 0, 200)}, none},
		{"no attributes", nil, "ata.attributes?"},
	} {
		d := ataDisk()
		d.answers["SMART READ DATA"] = smartData(c.attrs...)
		d.answers[statsOf+"05h"] = statistics(5, nil)
		want := "ata.health=0 " + c.want + " " + ataStatistics + "ata.log_uncorrectable=0 selftest.failed=0"
		if got := d.probe(t); say(got) != want {
			t.Errorf("%s: %s, want %s\n%s", c.name, say(got), want, details(got))
		}
	}
}

func TestSMART_ATALogs(t *testing.T) {
	t.Parallel()
	replace := func(old, is string) string { return strings.Replace(ataHealthy, old, is, 1) }
	for _, c := range []struct {
		name   string
		change func(*fakeDisk)
		want   string
		detail string
	}{
		{"healthy", func(*fakeDisk) {}, ataHealthy, "3 % of the rated endurance is used"},
		{"its own verdict is bad", func(d *fakeDisk) { d.status["SMART RETURN STATUS"] = registers(0, 0xf4, 0x2c) }, replace("health=0", "health=1"), "the disk's own verdict"},
		{"its verdict does not get through", func(d *fakeDisk) { d.status["SMART RETURN STATUS"] = smart.Answer{} }, replace("health=0", "health?"), "does not pass on"},
		{"a verdict of neither kind", func(d *fakeDisk) { d.status["SMART RETURN STATUS"] = registers(0, 0, 0) }, replace("health=0", "health?"), "does not pass on"},
		{"uncorrectable errors", func(d *fakeDisk) { d.answers[statsOf+"04h"] = statistics(4, map[int]uint32{8: 12}) }, replace("stat_uncorrectable=0", "stat_uncorrectable>1"), "12 reported uncorrectable errors"},
		{"candidates", func(d *fakeDisk) { d.answers[statsOf+"03h"] = statistics(3, map[int]uint32{0x38: 8}) }, replace("stat_candidates=0", "stat_candidates>1"), "8 sectors wait"},
		{"a statistic that is not valid", func(d *fakeDisk) { d.answers[statsOf+"06h"][0x18+7] = 0x80 }, without(ataHealthy, "ata.stat_crc"), ""},
		{"another page in place of a statistic", func(d *fakeDisk) { d.answers[statsOf+"06h"][2] = 5 }, strings.Replace(without(ataHealthy, "ata.stat_crc"), " ata.log_", " ata.statistics? ata.log_", 1), "answer is another page"},
		{"temperature of the statistics", func(d *fakeDisk) {
			d.answers["SMART READ DATA"] = smartData(attr(5, 100, 3))
		}, strings.Replace(ataHealthy, ataAttributes, "ata.reallocated=0 ata.prefail_attributes=0 ", 1), "31 °C"},
		{"an unreadable sector", func(d *fakeDisk) {
			log := d.answers["SMART READ LOG 01h"]
			log[1], log[452], log[2+61], log[2+63] = 1, 1, 0x40, 99
			summed(log)
		}, replace("log_uncorrectable=0", "log_uncorrectable=1"), "sector 99 could not be read"},
		{"a damaged transfer is not a sector", func(d *fakeDisk) {
			log := d.answers["SMART READ LOG 01h"]
			log[1], log[452], log[2+61] = 1, 1, 0xc4
			summed(log)
		}, ataHealthy, ""},
		{"a failed self-test", func(d *fakeDisk) {
			log := d.answers["SMART READ LOG 06h"]
			log[3], log[7] = 0x79, 0x55
			summed(log)
		}, replace("selftest.failed=0", "selftest.failed=1"), "the self-test at 100 power-on hours failed (read) at sector 85"},
		{"no self-test was ever run", func(d *fakeDisk) { d.answers["SMART READ LOG 06h"] = summed(make([]byte, 512)) }, without(ataHealthy, "selftest.failed"), ""},
		{"no statistics", func(d *fakeDisk) { delete(d.answers, "READ LOG EXT, directory") }, strings.Replace(ataHealthy, ataStatistics, "", 1), ""},
		{"SMART is switched off", func(d *fakeDisk) { d.answers["IDENTIFY DEVICE"][170] = 0 }, "ata.attributes?", "SMART is switched off"},
		{"no SMART at all", func(d *fakeDisk) { d.answers["IDENTIFY DEVICE"][164] = 0 }, "", ""},
	} {
		d := ataDisk()
		c.change(d)
		if got := d.probe(t); say(got) != c.want || !strings.Contains(details(got), c.detail) {
			t.Errorf("%s: %s\nwant %s\n%s", c.name, say(got), c.want, details(got))
		}
	}
}

func TestSMART_SCSI(t *testing.T) {
	t.Parallel()
	replace := func(old, is string) string { return strings.Replace(scsiHealthy, old, is, 1) }
	unpredicted := strings.Replace(scsiHealthy, noPrediction, "", 1)
	for _, c := range []struct {
		name   string
		change func(map[string][]byte)
		want   string
		detail string
	}{
		{"healthy", func(map[string][]byte) {}, scsiHealthy, "38 °C"},
		{"failure predicted", func(a map[string][]byte) { a["LOG SENSE 2Fh"] = logPage(0x2f, param(0, 0x5d, 0x10)) }, replace("failure=0", "failure=1"), "hardware predicted to fail: general failure"},
		{"a test of the prediction", func(a map[string][]byte) { a["LOG SENSE 2Fh"] = logPage(0x2f, param(0, 0x5d, 0xff)) }, scsiHealthy, ""},
		{"worn out", func(a map[string][]byte) { a["LOG SENSE 2Fh"] = logPage(0x2f, param(0, 0x5d, 0x73)) }, replace("wear=0", "wear=1"), "endurance used up"},
		{"hot", func(a map[string][]byte) { a["LOG SENSE 2Fh"] = logPage(0x2f, param(0, 0x0b, 0x01)) }, replace("prediction.temperature=0", "prediction.temperature=1"), "temperature limit"},
		{"its scan has met an error", func(a map[string][]byte) { a["LOG SENSE 2Fh"] = logPage(0x2f, param(0, 0x0b, 0x05)) }, replace("prediction.medium=0", "prediction.medium=1"), "background scan"},
		{"a self-test runs", func(a map[string][]byte) { a["LOG SENSE 2Fh"] = logPage(0x2f, param(0, 0x04, 0x09)) }, "scsi.prediction? " + unpredicted, "self-test in progress"},
		{"told by REQUEST SENSE only", func(a map[string][]byte) { a["REQUEST SENSE"][12], a["REQUEST SENSE"][13] = 0x5d, 0x14 }, replace("failure=0", "failure=1"), "too many reassigned blocks"},
		{"told by REQUEST SENSE, without the page", func(a map[string][]byte) {
			a["LOG SENSE 00h"][13] = 0
			a["REQUEST SENSE"][12] = 0x5d
		}, replace("failure=0", "failure=1"), "failure predicted"},
		{"silence without the page says nothing", func(a map[string][]byte) { a["LOG SENSE 00h"][13] = 0 }, unpredicted, ""},
		{"uncorrected reads", func(a map[string][]byte) { a["LOG SENSE 03h"] = logPage(3, param(6, 0, 2)) }, replace("uncorrected.read=0", "uncorrected.read>1"), "2 errors of read that the disk could not correct"},
		{"grown defects", func(a map[string][]byte) { a["READ DEFECT DATA (12)"][7] = 24 }, replace("grown_defects=0", "grown_defects>1"), "3 sectors were replaced"},
		{"no list of defects", func(a map[string][]byte) { delete(a, "READ DEFECT DATA (12)") }, without(scsiHealthy, "scsi.grown_defects"), ""},
		{"an unreadable sector", func(a map[string][]byte) {
			a["LOG SENSE 15h"] = logPage(0x15, param(1, 0, 0, 0, 1, 0x13, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
		}, replace("scan_medium=0", "scan_medium=1"), "1 unreadable sectors"},
		{"a disk without log pages", func(a map[string][]byte) {
			clear(a)
			a["REQUEST SENSE"] = []byte{0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0}
		}, "", ""},
	} {
		d := scsiDisk()
		c.change(d.answers)
		if got := d.probe(t); say(got) != c.want || !strings.Contains(details(got), c.detail) {
			t.Errorf("%s: %s\nwant %s\n%s", c.name, say(got), c.want, details(got))
		}
	}
}

// Each page in turn fails, is cut, is damaged, is not offered: the others are told as ever.
func TestSMART_OnePageHidesNoOther(t *testing.T) {
	t.Parallel()
	said := map[string]string{
		"SMART READ DATA":                 "ata.reallocated ata.reported_uncorrectable ata.pending ata.offline_uncorrectable ata.crc_errors ata.prefail_attributes",
		"SMART READ ATTRIBUTE THRESHOLDS": "ata.prefail_attributes", "SMART RETURN STATUS": "ata.health", "SMART READ LOG 01h": "ata.log_uncorrectable", "SMART READ LOG 06h": "selftest.failed",
		statsOf + "03h": "ata.stat_candidates", statsOf + "04h": "ata.stat_uncorrectable", statsOf + "05h": "", statsOf + "06h": "ata.stat_crc", statsOf + "07h": "ata.stat_percent_used",
		"Get Log Page 02h": "nvme.spare_low nvme.temperature nvme.reliability nvme.readonly nvme.backup_failed nvme.percentage_used nvme.media_errors",
		"Get Log Page 01h": "nvme.media_log", "Get Log Page 06h": "selftest.failed",
		"LOG SENSE 2Fh": "scsi.prediction.failure scsi.prediction.spare scsi.prediction.wear scsi.prediction.temperature scsi.prediction.medium scsi.prediction.cache",
		"LOG SENSE 02h": "scsi.uncorrected.write", "LOG SENSE 03h": "scsi.uncorrected.read", "LOG SENSE 05h": "scsi.uncorrected.verify", "LOG SENSE 06h": "scsi.non_medium",
		"LOG SENSE 0Dh": "scsi.temperature", "LOG SENSE 10h": "selftest.failed", "LOG SENSE 11h": "scsi.percentage_used", "LOG SENSE 15h": "scsi.scan_medium", "READ DEFECT DATA (12)": "scsi.grown_defects",
	}
	known := func(all []glia.Evidence) (out []string, unknown int) {
		for _, e := range all {
			if e.Unknown == "" {
				out = append(out, e.What)
			} else {
				unknown++
			}
		}
		return out, unknown
	}
	for _, disk := range []struct {
		new  func() *fakeDisk
		says string
	}{{ataDisk, ataHealthy}, {nvmeDisk, nvmeHealthy}, {scsiDisk, scsiHealthy}} {
		for _, page := range slices.Sorted(maps.Keys(said)) {
			d := disk.new()
			if _, ok := d.answers[page]; !ok && page != "SMART RETURN STATUS" || page == "SMART RETURN STATUS" && d.kind != smart.KindATA {
				continue
			}
			all, _ := known(d.probe(t))
			var want []string
			for _, what := range all {
				if !slices.Contains(strings.Fields(said[page]), what) {
					want = append(want, what)
				}
			}
			for how, spoil := range map[string]func(*fakeDisk){
				"fails":          func(d *fakeDisk) { d.errs = map[string]error{page: unix.EIO} },
				"times out":      func(d *fakeDisk) { d.status = add(d.status, page, smart.Answer{Host: 3, NVMe: 0x006}) },
				"is not offered": func(d *fakeDisk) { d.status = add(d.status, page, refused) },
				"is empty":       func(d *fakeDisk) { d.answers[page] = nil },
			} {
				if how == "is empty" && page == "SMART RETURN STATUS" {
					continue
				}
				d := disk.new()
				spoil(d)
				evidence := d.probe(t)
				got, unknown := known(evidence)
				if !slices.Equal(got, want) || (unknown == 0) != (how == "is not offered") {
					t.Errorf("%s %s: %s\nwant all but %s\n%s", page, how, say(evidence), said[page], details(evidence))
				}
			}
		}
	}
}

func add(m map[string]smart.Answer, key string, a smart.Answer) map[string]smart.Answer {
	out := map[string]smart.Answer{key: a}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}

// The first question is whether the disk sleeps, and it is the last one if it does.
func TestSMART_WakesNoDisk(t *testing.T) {
	t.Parallel()
	ata, scsi := ataDisk(), scsiDisk()
	ata.status["CHECK POWER MODE"] = registers(0, 0, 0)
	scsi.answers["REQUEST SENSE"][12], scsi.answers["REQUEST SENSE"][13] = 0x5e, 0x02
	for first, d := range map[string]*fakeDisk{"CHECK POWER MODE": ata, "REQUEST SENSE": scsi} {
		if got := d.probe(t); say(got) != "smart?" || got[0].Unknown != "asleep: in standby" || len(d.sent) != 1 || d.sent[0] != first {
			t.Errorf("%s: %s; sent %q", first, details(got), d.sent)
		}
	}
}

// What a prober sends is in this list, whatever the disk answers.
func TestSMART_SendsNothingElse(t *testing.T) {
	t.Parallel()
	allowed := map[string]bool{"CHECK POWER MODE": true, "IDENTIFY DEVICE": true, "REQUEST SENSE": true, "READ DEFECT DATA (12)": true, "Identify Controller": true}
	for _, d := range []*fakeDisk{ataDisk(), nvmeDisk(), scsiDisk()} {
		for name := range d.answers {
			allowed[name] = true
		}
		for name := range d.status {
			allowed[name] = true
		}
	}
	for name := range allowed {
		for _, forbidden := range []string{"WRITE", "OFF-LINE", "DIAGNOSTIC", "Self-test", "FORMAT", "SELECT"} {
			if strings.Contains(name, forbidden) {
				t.Errorf("the list has %s", name)
			}
		}
	}
	for _, kind := range []smart.Kind{smart.KindATA, smart.KindNVMe, smart.KindSCSI} {
		for _, all := range []*fakeDisk{ataDisk(), nvmeDisk(), scsiDisk(), {}} {
			all.kind = kind
			_ = all.probe(t)
			for _, sent := range all.sent {
				if !allowed[sent] {
					t.Errorf("%s: sent %s", kind, sent)
				}
			}
		}
	}
}

// What a disk offers and what its attributes are called is asked once.
func TestSMART_AsksOnceWhatADiskOffers(t *testing.T) {
	t.Parallel()
	d, named := ataDisk(), 0
	s := d.source()
	s.Names = func(string) (map[uint8]string, error) {
		if named++; named == 1 {
			return nil, unix.EIO
		}
		return usualNames, nil
	}
	disk := glia.Disk{Identity: glia.Identity{Serial: "S"}, Location: glia.Location{Device: "sdk"}}
	if got := s.Probe(t.Context(), disk); !strings.HasPrefix(say(got), "ata.health=0 ata.reallocated? ata.reported_uncorrectable? ata.pending? ata.offline_uncorrectable? ata.crc_errors? ata.prefail_attributes=0") {
		t.Errorf("without names: %s\n%s", say(got), details(got))
	}
	d.sent = nil
	for range 2 {
		if got := s.Probe(t.Context(), disk); say(got) != ataHealthy {
			t.Errorf("%s\n%s", say(got), details(got))
		}
	}
	if named != 2 || len(d.sent) != 2*11 || slices.Contains(d.sent, "IDENTIFY DEVICE") {
		t.Errorf("names were read %d times, %d commands: %q", named, len(d.sent), d.sent)
	}
	disk.Identity.Firmware = "new"
	if s.Probe(t.Context(), disk); !slices.Contains(d.sent, "IDENTIFY DEVICE") {
		t.Error("with another firmware the disk was not asked again")
	}
}

func TestSMART_WhatItCannotReadIsUnknown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		open error
		disk *fakeDisk
		errs map[string]error
		want string
	}{
		{"open", fmt.Errorf("open /dev/sdk: %w", unix.EACCES), nil, nil, "open it for SMART: permission denied; SMART needs CAP_SYS_RAWIO, on NVMe CAP_SYS_ADMIN"},
		{"permission", nil, ataDisk(), map[string]error{"CHECK POWER MODE": unix.EPERM}, "permission denied; SMART needs"},
		{"no such command", nil, ataDisk(), map[string]error{"CHECK POWER MODE": unix.ENOTTY}, "the kernel passes no such command to this device (ENOTTY)"},
		{"what it offers", nil, ataDisk(), map[string]error{"IDENTIFY DEVICE": unix.EIO}, "ask what it offers: IDENTIFY DEVICE: input/output error"},
		{"what it offers, NVMe", nil, nvmeDisk(), map[string]error{"Identify Controller": unix.EPERM}, "ask what it offers: permission denied"},
		{"what it offers, SCSI", nil, scsiDisk(), map[string]error{"LOG SENSE 00h": unix.ENODEV}, "the device is not there (ENODEV)"},
	} {
		s := &probe.SMART{Open: func(string) (*smart.Device, error) {
			if c.open != nil {
				return nil, c.open
			}
			c.disk.errs = c.errs
			return smart.NewDevice(c.disk.kind, c.disk, false), nil
		}}
		got := s.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "sdk"}})
		if len(got) != 1 || got[0].What != "smart" || got[0].Source != "smart" || !strings.Contains(got[0].Unknown, c.want) {
			t.Errorf("%s: %+v, want unknown because %q", c.name, got, c.want)
		}
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("out of time"))
	d := ataDisk()
	if got := d.source().Probe(ended, glia.Disk{}); len(got) != 1 || !strings.Contains(got[0].Unknown, "out of time") || len(d.sent) > 0 {
		t.Errorf("out of time: %+v, sent %q", got, d.sent)
	}
}

func TestSMART_OtherDisksHaveNone(t *testing.T) {
	t.Parallel()
	s := &probe.SMART{Open: func(name string) (*smart.Device, error) { return nil, fmt.Errorf("%w: %s", smart.ErrNone, name) }}
	if got := s.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "loop0"}}); got != nil {
		t.Errorf("%+v", got)
	}
	if got := (&probe.SMART{}).Probe(t.Context(), newLoop(t, mib).Disk); got != nil {
		t.Errorf("a loop device: %+v", got)
	}
}

// A disk may answer anything. No count is then less than nothing.
func FuzzSMART(f *testing.F) {
	for _, d := range []*fakeDisk{ataDisk(), nvmeDisk(), scsiDisk()} {
		for _, b := range d.answers {
			f.Add(byte(d.kind), b, b)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, first, second []byte) {
		d := map[byte]*fakeDisk{0: ataDisk(), 1: nvmeDisk(), 2: scsiDisk()}[kind%3]
		for i, page := range slices.Sorted(maps.Keys(d.answers)) {
			if (int(kind)>>2+i)%3 > 0 {
				d.answers[page] = [][]byte{first, second}[i%2]
				if strings.HasPrefix(page, "SMART") && len(first) >= 512 && len(second) >= 512 {
					summed(d.answers[page][:512])
				}
			}
		}
		for _, e := range d.probe(t) {
			if math.IsNaN(e.Value) || math.IsInf(e.Value, 0) || e.Value < 0 && !strings.HasSuffix(e.What, "temperature") {
				t.Errorf("%+v", e)
			}
		}
	})
}

// Decoding and evidence of one poll, without a disk.
func BenchmarkSMART_Probe(b *testing.B) {
	for name, d := range map[string]*fakeDisk{"ATA": ataDisk(), "NVMe": nvmeDisk(), "SCSI": scsiDisk()} {
		b.Run(name, func(b *testing.B) {
			s, disk := d.source(), glia.Disk{Identity: glia.Identity{Serial: "S"}}
			b.ReportAllocs()
			for b.Loop() {
				d.sent = d.sent[:0]
				if len(s.Probe(b.Context(), disk)) < 9 {
					b.Fatal("evidence is missing")
				}
			}
		})
	}
}
