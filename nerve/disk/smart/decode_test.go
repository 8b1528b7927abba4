package smart_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"glia/nerve/disk/smart"
)

// page makes a structure of 512 bytes with the given ones, in hex, at the given places.
func page(parts map[int]string) []byte {
	b := make([]byte, 512)
	for at, s := range parts {
		copy(b[at:], unhex(s))
	}
	return b
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func TestThresholds_Exceeded(t *testing.T) {
	t.Parallel()
	var limits smart.Thresholds
	if err := limits.Decode(sum(page(map[int]string{2: "05 0a", 14: "03 00", 26: "07 fe"}))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id, current uint8
		want        bool
	}{
		{5, 11, false}, {5, 10, true}, {5, 1, true},
		{5, 0, false},    // reserved value
		{3, 0, false},    // never fails
		{7, 100, false},  // reserved threshold
		{99, 1, false},   // no threshold
		{5, 0xff, false}, // reserved, and above
	} {
		if got := limits.Exceeded(smart.Attribute{ID: c.id, Current: c.current}); got != c.want {
			t.Errorf("attribute %d at %d: %v", c.id, c.current, got)
		}
	}
}

func TestData_SelfTestTimes(t *testing.T) {
	t.Parallel()
	var d smart.Data
	if err := d.Decode(sum(page(map[int]string{363: "79", 367: "10", 370: "01", 372: "02 ff", 375: "2c01"}))); err != nil {
		t.Fatal(err)
	}
	if d.SelfTest.Result() != smart.SelfTestFailed || d.SelfTest.Part() != "read" || d.SelfTest.Remaining() != 90 || !d.CanSelfTest || !d.CanLogErrors || d.ShortMinutes != 2 || d.ExtendedMinutes != 300 {
		t.Errorf("%+v", d)
	}
}

// What does not hold a whole, right page gives an error and changes nothing.
func TestDecoders_RefuseWhatIsNotThePage(t *testing.T) {
	t.Parallel()
	wrong := page(map[int]string{0: "01"})
	good := sum(page(map[int]string{2: "05 0a"}))
	var (
		data   smart.Data
		limits smart.Thresholds
		log    smart.ErrorLog
		tests  smart.SelfTestLog
		stats  smart.DeviceStatistics
		nvme   smart.NVMe
		errs   smart.NVMeErrors
		sense  smart.Sense
		scan   smart.BackgroundScan
		counts smart.ErrorCounters
	)
	if err := limits.Decode(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"data, checksum":         {data.Decode(wrong), smart.ErrChecksum},
		"data, short":            {data.Decode(good[:511]), smart.ErrShort},
		"data, nothing":          {data.Decode(nil), smart.ErrShort},
		"thresholds, checksum":   {limits.Decode(wrong), smart.ErrChecksum},
		"error log, checksum":    {log.Decode(wrong), smart.ErrChecksum},
		"self-tests, checksum":   {tests.DecodeATA(wrong), smart.ErrChecksum},
		"self-tests, NVMe short": {tests.DecodeNVMe(wrong[:500]), smart.ErrShort},
		"statistics, other":      {stats.Merge(smart.PageSSD, page(map[int]string{0: "010004"})), smart.ErrOtherPage},
		"statistics, empty":      {stats.Merge(smart.PageErrors, page(nil)), smart.ErrOtherPage},
		"NVMe, short":            {nvme.Decode(wrong[:100]), smart.ErrShort},
		"NVMe errors, short":     {errs.Decode(wrong[:63]), smart.ErrShort},
		"sense, short":           {sense.Decode([]byte{0x70, 0, 3, 0, 0, 0, 0}), smart.ErrShort},
		"sense, other":           {sense.Decode(make([]byte, 18)), smart.ErrOtherPage},
		"scan, other page":       {scan.Decode([]byte{0x11, 0, 0, 0}), smart.ErrOtherPage},
		"scan, subpage":          {scan.Decode([]byte{0x55, 1, 0, 0}), smart.ErrOtherPage},
		"counters, short":        {counts.Decode(smart.PageReadErrors, []byte{3}), smart.ErrShort},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	if limits[5] != 10 {
		t.Error("a refused page has changed what was decoded before")
	}
	if err := log.Decode(sum(page(map[int]string{1: "06"}))); err == nil || !strings.Contains(err.Error(), "index 6") {
		t.Errorf("an index beyond the entries: %v", err)
	}
}

func TestErrorLog_NewestFirst(t *testing.T) {
	t.Parallel()
	b := page(map[int]string{0: "01 02", 452: "0700"})
	// Entry 2 is the newest: an unreadable sector 0xa1b2c3d at 40000 hours; entry 1 a refused command; entry 5 a damaged transfer.
	copy(b[2+90+60:], unhex("00 40 08 3d 2c 1b 4a 51"))
	b[2+90+48+7] = 0x25
	binary.LittleEndian.PutUint16(b[2+90+60+28:], 40000)
	copy(b[2+60:], unhex("00 04 00 00 00 00 40 51"))
	copy(b[2+4*90+60:], unhex("00 84 00 00 00 00 40 51"))
	var l smart.ErrorLog
	if err := l.Decode(sum(b)); err != nil {
		t.Fatal(err)
	}
	if l.Count != 7 || len(l.Entries) != 5 {
		t.Fatalf("%d errors, %d entries", l.Count, len(l.Entries))
	}
	if e := l.Entries[0]; !e.Uncorrectable() || e.LBA != 0xa1b2c3d || e.Hours != 40000 || e.Command != 0x25 || e.Unsupported() || e.Interface() {
		t.Errorf("newest %+v", e)
	}
	if e := l.Entries[1]; !e.Unsupported() || e.Uncorrectable() {
		t.Errorf("the one before %+v", e)
	}
	if e := l.Entries[2]; !e.Interface() || e.Unsupported() {
		t.Errorf("the one before that %+v", e)
	}
}

func TestSelfTestLog(t *testing.T) {
	t.Parallel()
	ata := page(map[int]string{0: "0100", 2: "01 00 6400 00 00000000", 26: "02 79 c800 00 78563412", 508: "02"})
	nvme := make([]byte, 564)
	for i := range 20 {
		nvme[4+28*i] = 0x0f
	}
	nvme[0], nvme[1] = 1, 40
	copy(nvme[4:], unhex("27 03 02 00 e803000000000000 01000000 7856341200000000"))
	scsi := append([]byte{0x10, 0, 0, 40}, unhex("0001 03 10 47 00 03e8 0000000012345678 03 11 00 00  0002 03 10 20 00 03e7 ffffffffffffffff 00 00 00 00")...)
	for name, c := range map[string]struct {
		decode  func(*smart.SelfTestLog) error
		entries int
		hours   uint64
		running bool
	}{
		"ATA":  {func(l *smart.SelfTestLog) error { return l.DecodeATA(sum(ata)) }, 2, 200, false},
		"NVMe": {func(l *smart.SelfTestLog) error { return l.DecodeNVMe(nvme) }, 1, 1000, true},
		"SCSI": {func(l *smart.SelfTestLog) error { return l.DecodeSCSI(scsi) }, 2, 1000, false},
	} {
		var l smart.SelfTestLog
		if err := c.decode(&l); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(l.Entries) != c.entries || l.Running != c.running {
			t.Fatalf("%s: %+v", name, l)
		}
		if e := l.Entries[0]; e.Result != smart.SelfTestFailed || e.LBA != 0x12345678 || !e.HasLBA || e.Hours != c.hours || !e.Extended {
			t.Errorf("%s: newest %+v", name, e)
		}
		for _, e := range l.Entries[1:] {
			if e.Result != smart.SelfTestPassed || e.HasLBA {
				t.Errorf("%s: the other %+v", name, e)
			}
		}
		if c.running && l.Remaining != 60 {
			t.Errorf("%s: %d %% left", name, l.Remaining)
		}
	}
}

func TestDeviceStatistics(t *testing.T) {
	t.Parallel()
	var d smart.DeviceStatistics
	for p, parts := range map[byte]map[int]string{
		smart.PageErrors:    {0: "010004", 0x08: "05000000000000c0", 0x10: "0900000000000080"}, // the second is not valid
		smart.PageTemp:      {0: "010005", 0x08: "fb000000000000c0", 0x58: "80000000000000c0"},
		smart.PageRotating:  {0: "010003", 0x20: "ffffffff000000c0", 0x38: "02000000000000c0"},
		smart.PageTransport: {0: "010006", 0x18: "07000000000000c0"},
		smart.PageSSD:       {0: "010007", 0x08: "64000000000000c0"},
		smart.PageGeneral:   {0: "010001", 0x10: "e8030000000000c0"},
	} {
		if err := d.Merge(p, page(parts)); err != nil {
			t.Fatal(err)
		}
	}
	valid := func(v int64) smart.Statistic { return smart.Statistic{Value: v, Valid: true} }
	want := smart.DeviceStatistics{Uncorrectable: valid(5), Temperature: valid(-5), Reallocated: valid(0xffffffff), Candidates: valid(2), CRCErrors: valid(7), PercentUsed: valid(100), PowerOnHours: valid(1000)}
	if d != want {
		t.Errorf("%+v\nwant %+v", d, want)
	}
}

func TestReturnStatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sense string
		want  smart.Health
	}{
		"good, descriptor": {"72 01 00 1d 00 00 00 0e 09 0c 00 00 00 00 00 00 00 4f 00 c2 00 50", smart.HealthGood},
		"bad, descriptor":  {"72 01 00 1d 00 00 00 0e 09 0c 00 00 00 00 00 00 00 f4 00 2c 00 50", smart.HealthBad},
		"good, fixed":      {"f0 00 01 00 50 00 00 0a 00 00 4f c2 00 1d 00 00 00 00", smart.HealthGood},
		"bad, fixed":       {"70 00 01 00 50 00 00 0a 00 00 f4 2c 00 1d 00 00 00 00", smart.HealthBad},
		"refused":          {"72 01 00 1d 00 00 00 0e 09 0c 00 04 00 00 00 00 00 4f 00 c2 00 51", smart.HealthUnknown},
		"lost registers":   {"72 01 00 1d 00 00 00 0e 09 0c 00 00 00 00 00 00 00 00 00 00 00 50", smart.HealthUnknown},
	} {
		r, ok := smart.ATARegisters(unhex(c.sense))
		if got := smart.ReturnStatus(r); !ok || got != c.want {
			t.Errorf("%s: %v (%+v, %v)", name, got, r, ok)
		}
	}
	if _, ok := smart.ATARegisters(unhex("70 00 05 00 00 00 00 0a 00 00 00 00 20 00 00 00 00 00")); ok {
		t.Error("a refused command was taken for registers")
	}
	for count, want := range map[uint8]bool{0x00: true, 0x01: true, 0x80: false, 0xff: false, 0x40: false} {
		if smart.Standby(smart.Registers{Count: count, Status: 0x50}) != want {
			t.Errorf("power mode %02x", count)
		}
	}
	if smart.Standby(smart.Registers{Status: 0x51}) {
		t.Error("a command that was refused says that the disk sleeps")
	}
}

func TestNVMe(t *testing.T) {
	t.Parallel()
	var n smart.NVMe
	if err := n.Decode(page(map[int]string{0: "01 0000 05 0a ff"})); err != nil {
		t.Fatal(err)
	}
	if n.HasTemperature || !n.SpareLow() || n.PercentUsed != 255 || n.Check() != nil {
		t.Errorf("%+v", n)
	}
	if n.SpareThreshold = 101; n.SpareLow() {
		t.Error("a reserved threshold counts")
	}
	for name, b := range map[string][]byte{"that nobody filled in": page(nil), "of a controller that is gone": bytes.Repeat([]byte{0xff}, 512),
		"with a spare of 101 %": page(map[int]string{0: "00 3501 65 0a 05"}), "with 2^64 media errors": page(map[int]string{0: "00 3501 64 0a 05", 168: "01"})} {
		if err := n.Decode(b); err != nil || n.Check() == nil {
			t.Errorf("a log %s: %+v, %v", name, n, err)
		}
	}
	if c := (smart.Count{Lo: 1, Hi: 1}); c.Uint64() != ^uint64(0) || c.Float() != 1<<64+1 {
		t.Errorf("a count beyond 64 bits is %d, %g", c.Uint64(), c.Float())
	}
}

func TestNVMeErrors_OnlyTheMediumCounts(t *testing.T) {
	t.Parallel()
	for status, want := range map[uint16]bool{
		0x281: true, 0x280: true, 0x006: true, // unrecovered read, write fault, internal error
		0x002: false, 0x001: false, // invalid field, invalid opcode
		0x109: false,                             // invalid log page
		0x282: false, 0x285: false, 0x286: false, // guard check, compare, access denied
		0x371: false, // path
	} {
		b := make([]byte, 128)
		b[0] = 9
		binary.LittleEndian.PutUint16(b[12:], status<<1|1)
		binary.LittleEndian.PutUint64(b[16:], 77)
		var l smart.NVMeErrors
		if err := l.Decode(b); err != nil || len(l.Entries) != 1 {
			t.Fatalf("%d entries, %v", len(l.Entries), err)
		}
		if e := l.Entries[0]; e.Media() != want || e.LBA != 77 || e.Count != 9 {
			t.Errorf("status %03x: %+v, media %v", status, e, e.Media())
		}
	}
}

func TestSense(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes string
		want  smart.Sense
		words string
	}{
		"unreadable sector": {"f0 00 03 00 00 12 34 0a 00 00 00 00 11 00 00 00 00 00", smart.Sense{Key: smart.KeyMedium, ASC: 0x11, LBA: 0x1234, HasLBA: true}, "additional sense 11/00"},
		"the same, new":     {"72 03 11 00 00 00 00 0c 00 0a 80 00 0000000100001234", smart.Sense{Key: smart.KeyMedium, ASC: 0x11, LBA: 0x100001234, HasLBA: true}, "additional sense 11/00"},
		"deferred":          {"71 00 03 00 00 00 00 0a 00 00 00 00 0c 02", smart.Sense{Key: smart.KeyMedium, ASC: 0x0c, ASCQ: 0x02, Deferred: true}, "additional sense 0C/02"},
		"spindle":           {"72 01 5d 54 00 00 00 00", smart.Sense{Key: smart.KeyRecovered, ASC: 0x5d, ASCQ: 0x54}, "spindle predicted to fail: too many reassigned blocks"},
		"eight bytes":       {"70 00 02 00 00 00 00 00", smart.Sense{Key: smart.KeyNotReady}, "additional sense 00/00"},
	} {
		var s smart.Sense
		if err := s.Decode(unhex(c.bytes)); err != nil || s != c.want || s.Words() != c.words {
			t.Errorf("%s: %+v (%s), %v", name, s, s.Words(), err)
		}
	}
}

func TestSense_Predictions(t *testing.T) {
	t.Parallel()
	for asc, want := range map[uint16]smart.Prediction{
		0x5d00: smart.PredictFailure, 0x5d14: smart.PredictFailure, 0x5d6c: smart.PredictFailure,
		0x5dff: smart.PredictNothing, // a test of the reporting
		0x5d01: smart.PredictFailure, 0x5d02: smart.PredictFailure, 0x5d1d: smart.PredictFailure, 0x5d7e: smart.PredictFailure,
		0x5d03: smart.PredictSpare, 0x5d73: smart.PredictWear,
		0x0b01: smart.PredictTemperature, 0x0b05: smart.PredictMedium, 0x0b06: smart.PredictCache, 0x0b02: smart.PredictUnknown,
		0x0409: smart.PredictUnknown, 0x0000: smart.PredictNothing, 0x1100: smart.PredictNothing,
	} {
		if got := (smart.Sense{ASC: uint8(asc >> 8), ASCQ: uint8(asc)}).Prediction(); got != want {
			t.Errorf("%04x: %d, want %d", asc, got, want)
		}
	}
}

func TestSCSIPages(t *testing.T) {
	t.Parallel()
	now, limit, err := smart.Temperatures(unhex("0d 00 000c 0000 03 02 00 26 0001 03 02 00 55"))
	if err != nil || now.Value != 38 || limit.Value != 85 {
		t.Errorf("temperature %v of %v, %v", now, limit, err)
	}
	if now, _, _ := smart.Temperatures(unhex("0d 00 0006 0000 03 02 00 ff")); now.Valid {
		t.Error("FFh is no temperature")
	}
	if e, err := smart.Endurance(unhex("11 00 0008 0001 03 04 00 00 00 63")); err != nil || e.Value != 99 || !e.Valid {
		t.Errorf("endurance %v, %v", e, err)
	}
	if s, ok, err := smart.Exception(unhex("2f 00 0008 0000 03 04 5d 10 26 00")); err != nil || !ok || s.Prediction() != smart.PredictFailure {
		t.Errorf("exception %v %v, %v", s, ok, err)
	}
	if _, ok, err := smart.Exception(unhex("2f 00 0000")); ok || err != nil {
		t.Errorf("an empty page has an exception: %v", err)
	}
	if n, err := smart.NonMedium(unhex("06 00 0008 0000 03 04 00 00 01 00")); err != nil || n.Value != 256 {
		t.Errorf("non-medium errors %v, %v", n, err)
	}
	var scan smart.BackgroundScan
	err = scan.Decode(unhex("15 00 0040" + "0000 03 0c 00001000 00 01 0005 0000 0000" + "0001 03 14 00000800 13 11 00 0000000000 0000000000001234" + "0002 03 14 00000800 53 11 00 0000000000 0000000000001235"))
	if err != nil || scan != (smart.BackgroundScan{Minutes: 4096, Status: 1, Scans: 5, Medium: 1, Fixed: 1}) {
		t.Errorf("scan %+v, %v", scan, err)
	}
	for answer, want := range map[string]smart.Statistic{
		"00 0d 0000 00000050": {Value: 10, Valid: true}, // physical sectors, 8 bytes each
		"00 08 0000 00000050": {Value: 20, Valid: true}, // blocks, 4 bytes each
		"00 05 0000 00000050": {},                       // not the grown list
		"00 0e 0000 00000050": {},                       // the maker's own format
	} {
		if got, err := smart.GrownDefects(unhex(answer)); err != nil || got != want {
			t.Errorf("%s: %v, %v", answer, got, err)
		}
	}
	// A counter of more bytes than a number has, and a page that is cut.
	var e smart.ErrorCounters
	if err := e.Decode(smart.PageReadErrors, unhex("03 00 0100 0006 03 0a 0000 0000000000000007 0003 03 09 ff 0000000000000000 0000 03 08 0000")); err != nil || e.Uncorrected.Value != 7 || e.Corrected.Valid || e.Fast.Valid {
		t.Errorf("%+v, %v", e, err)
	}
}

// FuzzDecoders feeds any bytes to all decoders: none may panic, and what they give stays in range.
func FuzzDecoders(f *testing.F) {
	for _, c := range captures(f)[:5] {
		data, thresholds := c.pages()
		f.Add(data)
		f.Add(thresholds)
	}
	for _, p := range []byte{0x02, 0x03, 0x06, 0x0d, 0x10, 0x11, 0x15, 0x2f} {
		f.Add([]byte{p, 0, 0, 8, 0, 1, 3, 4, 1, 2, 3, 4})
	}
	f.Add(unhex("72 03 11 00 00 00 00 0c 00 0a 80 00 0000000100001234"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 512 { // with the right checksum, so that what comes after it is reached
			b = sum(b)
		}
		var d smart.Data
		if d.Decode(b) == nil && len(d.Attributes) > 30 {
			t.Error("more attributes than fit")
		}
		var limits smart.Thresholds
		_ = limits.Decode(b)
		var log smart.ErrorLog
		_ = log.Decode(b)
		var tests smart.SelfTestLog
		_ = tests.DecodeATA(b)
		_ = tests.DecodeNVMe(b)
		_ = tests.DecodeSCSI(b)
		if tests.Remaining < 0 || tests.Remaining > 100 {
			t.Errorf("%d %% of a test are left", tests.Remaining)
		}
		for _, p := range []byte{1, 3, 4, 5, 6, 7} {
			var s smart.DeviceStatistics
			_ = s.Merge(p, b)
		}
		r, _ := smart.ATARegisters(b)
		_, _ = smart.ReturnStatus(r), smart.Standby(r)
		var n smart.NVMe
		_ = n.Decode(b)
		var errs smart.NVMeErrors
		_ = errs.Decode(b)
		var s smart.Sense
		if s.Decode(b) == nil {
			_, _, _ = s.Words(), s.Prediction(), s.String()
		}
		var c smart.ErrorCounters
		for _, p := range []byte{2, 3, 5} {
			_ = c.Decode(p, b)
		}
		_, _ = smart.NonMedium(b)
		_, _, _ = smart.Temperatures(b)
		_, _ = smart.Endurance(b)
		_, _, _ = smart.Exception(b)
		var scan smart.BackgroundScan
		_ = scan.Decode(b)
		_, _ = smart.GrownDefects(b)
	})
}

func BenchmarkDecode(b *testing.B) {
	var data, thresholds, health []byte
	for _, c := range captures(b) {
		if c.Protocol == "ATA" && data == nil {
			data, thresholds = c.pages()
		}
		if c.NVMe != nil && health == nil {
			health = c.healthLog()
		}
	}
	var d smart.Data
	var limits smart.Thresholds
	var n smart.NVMe
	b.ReportAllocs()
	for b.Loop() {
		if d.Decode(data) != nil || limits.Decode(thresholds) != nil || n.Decode(health) != nil {
			b.Fatal("a page was refused")
		}
	}
}

func TestDecode_AllocatesNothing(t *testing.T) {
	var d smart.Data
	var n smart.NVMe
	ata, nvme := sum(page(map[int]string{2: "05 0100 64 64 010000000000"})), page(map[int]string{0: "00 2a01 64 0a"})
	scsi := unhex("03 00 0008 0006 03 04 00000001")
	var c smart.ErrorCounters
	if got := testing.AllocsPerRun(100, func() {
		if d.Decode(ata) != nil || n.Decode(nvme) != nil || c.Decode(smart.PageReadErrors, scsi) != nil {
			t.Error("a page was refused")
		}
	}); got > 0 {
		t.Errorf("%v allocations", got)
	}
}
