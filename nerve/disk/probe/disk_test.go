package probe_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk/probe"
	"glia/nerve/disk/smart"
)

// fakeDisk is a disk that answers each command, by its name, with the bytes of the test. It does not know others.
type fakeDisk struct {
	kind    smart.Kind
	answers map[string][]byte
	errs    map[string]error        // of the system call
	status  map[string]smart.Answer // instead of success
	sent    []string
	closed  int
}

func (f *fakeDisk) Send(c smart.Command, data []byte) (smart.Answer, error) {
	f.sent = append(f.sent, c.Name())
	if err := f.errs[c.Name()]; err != nil {
		return smart.Answer{}, err
	}
	if a, ok := f.status[c.Name()]; ok {
		return a, nil
	}
	a, ok := f.answers[c.Name()]
	if !ok {
		return refused, nil
	}
	return smart.Answer{Length: copy(data, a)}, nil
}

func (f *fakeDisk) Close() error { f.closed++; return nil }

// refused is the answer to a command that a disk does not know, in all three languages.
var refused = smart.Answer{Status: 2, NVMe: 0x4002, Sense: []byte{0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0}}

// registers is the answer to an ATA command that leaves these behind, by SAT-3, table 127.
func registers(count, middle, high byte) smart.Answer {
	return smart.Answer{Status: 2, Driver: 8, Sense: []byte{0x72, 0x01, 0x00, 0x1d, 0, 0, 0, 14,
		0x09, 0x0c, 0, 0, 0, count, 0, 0, 0, middle, 0, high, 0, 0x50}}
}

// source is the SMART source of one such disk, whose attributes have smartmontools' usual names.
func (f *fakeDisk) source() *probe.SMART {
	return &probe.SMART{
		Open:  func(string) (*smart.Device, error) { return smart.NewDevice(f.kind, f, false), nil },
		Names: func(string) (map[uint8]string, error) { return usualNames, nil },
	}
}

func (f *fakeDisk) probe(t testing.TB) []glia.Evidence {
	t.Helper()
	f.sent, f.closed = nil, 0
	out := f.source().Probe(t.Context(), glia.Disk{Identity: glia.Identity{Serial: "S"}, Location: glia.Location{Device: "sdk"}})
	if f.closed != 1 {
		t.Errorf("closed %d times", f.closed)
	}
	for _, e := range out {
		if e.Source != "smart" || e.What == "" || e.Class == "" && e.Unknown == "" {
			t.Errorf("incomplete: %+v", e)
		}
	}
	return out
}

var usualNames = map[uint8]string{1: "Raw_Read_Error_Rate", 3: "Spin_Up_Time", 4: "Start_Stop_Count", 5: "Reallocated_Sector_Ct", 9: "Power_On_Hours", 187: "Reported_Uncorrect",
	190: "Airflow_Temperature_Cel", 194: "Temperature_Celsius", 197: "Current_Pending_Sector", 198: "Offline_Uncorrectable", 199: "UDMA_CRC_Error_Count"}

// attribute is one attribute of the SMART data.
type attribute struct {
	id, current uint8
	flags       uint16
	raw         []byte
}

func attr(id, current uint8, flags uint16, raw ...byte) attribute {
	return attribute{id, current, flags, raw}
}

// summed sets the last of 512 bytes so that all add up to zero.
func summed(b []byte) []byte {
	b[511] = 0
	var sum byte
	for _, v := range b {
		sum += v
	}
	b[511] = -sum
	return b
}

func smartData(attrs ...attribute) []byte {
	b := make([]byte, 512)
	for i, a := range attrs {
		e := b[2+12*i:]
		e[0], e[3], e[4] = a.id, a.current, a.current
		binary.LittleEndian.PutUint16(e[1:], a.flags)
		copy(e[5:11], a.raw)
	}
	return summed(b)
}

func thresholds(of map[uint8]uint8) []byte {
	b := make([]byte, 512)
	i := 0
	for id, t := range of {
		b[2+12*i], b[3+12*i] = id, t
		i++
	}
	return summed(b)
}

// identify says that a disk offers SMART, its logs and general purpose logging.
func identify() []byte {
	b := make([]byte, 512)
	copy(b[54:], "OMED L            ")
	for word, v := range map[int]uint16{82: 1, 83: 0x4000, 84: 0x4023, 85: 1} {
		binary.LittleEndian.PutUint16(b[2*word:], v)
	}
	return b
}

// statistics is one page of the device statistics with the given values, by offset.
func statistics(page byte, values map[int]uint32) []byte {
	b := make([]byte, 512)
	b[0], b[2] = 1, page
	for at, v := range values {
		binary.LittleEndian.PutUint32(b[at:], v)
		b[at+7] = 0xc0
	}
	return b
}

const statsOf = "READ LOG EXT, device statistics "

// ataDisk is a healthy SATA disk that offers everything.
func ataDisk() *fakeDisk {
	errorLog, tests, directory, pages := make([]byte, 512), make([]byte, 512), make([]byte, 512), make([]byte, 512)
	directory[0], directory[8] = 1, 8
	pages[0], pages[8] = 1, 7
	copy(pages[9:], []byte{0, 1, 3, 4, 5, 6, 7})
	tests[0], tests[508], tests[2], tests[4] = 1, 1, 1, 100 // a short test that passed at hour 100
	return &fakeDisk{kind: smart.KindATA,
		status: map[string]smart.Answer{"CHECK POWER MODE": registers(0xff, 0, 0), "SMART RETURN STATUS": registers(0, 0x4f, 0xc2)},
		answers: map[string][]byte{
			"IDENTIFY DEVICE":                 identify(),
			"SMART READ DATA":                 smartData(attr(5, 100, 3), attr(187, 100, 2), attr(197, 100, 2), attr(198, 100, 2), attr(199, 200, 2), attr(194, 60, 2, 31, 0, 20, 0, 45)),
			"SMART READ ATTRIBUTE THRESHOLDS": thresholds(map[uint8]uint8{3: 21, 5: 10, 9: 254}),
			"SMART READ LOG 01h":              summed(errorLog), "SMART READ LOG 06h": summed(tests),
			"READ LOG EXT, directory": directory, statsOf + "00h": pages,
			statsOf + "03h": statistics(3, map[int]uint32{0x38: 0}), statsOf + "04h": statistics(4, map[int]uint32{0x08: 0}),
			statsOf + "05h": statistics(5, map[int]uint32{0x08: 31}), statsOf + "06h": statistics(6, map[int]uint32{0x18: 0}),
			statsOf + "07h": statistics(7, map[int]uint32{0x08: 3}),
		}}
}

const (
	ataAttributes = "ata.reallocated=0 ata.reported_uncorrectable=0 ata.pending=0 ata.offline_uncorrectable=0 ata.crc_errors=0 ata.prefail_attributes=0 "
	ataStatistics = "ata.stat_uncorrectable=0 ata.stat_candidates=0 ata.stat_crc=0 ata.stat_percent_used>1 "
	ataHealthy    = "ata.health=0 " + ataAttributes + "ata.temperature>1 " + ataStatistics + "ata.log_uncorrectable=0 selftest.failed=0"
)

// nvmeDisk is a healthy NVMe disk that offers everything.
func nvmeDisk() *fakeDisk {
	id, health, tests := make([]byte, 4096), make([]byte, 512), make([]byte, smart.NVMeSelfTestSize)
	id[256], id[262] = 1<<4, 62 // self-tests; 63 entries
	health[1], health[2], health[3], health[4] = 0x39, 0x01, 100, 10
	for i := range 20 {
		tests[4+28*i] = 0x0f
	}
	tests[4] = 0x10 // a short test that passed
	return &fakeDisk{kind: smart.KindNVMe, answers: map[string][]byte{"Identify Controller": id, "Get Log Page 02h": health,
		"Get Log Page 01h": make([]byte, 63*64), "Get Log Page 06h": tests}}
}

const (
	nvmeBits    = "nvme.spare_low=0 nvme.temperature=0 nvme.reliability=0 nvme.readonly=0 nvme.backup_failed=0 "
	nvmeHealthy = nvmeBits + "nvme.percentage_used=0 nvme.media_errors=0 nvme.media_log=0 selftest.failed=0"
)

// logPage is a SCSI log page with parameters of the given codes.
func logPage(page byte, params ...[]byte) []byte {
	b := append([]byte{page, 0, 0, 0}, slices.Concat(params...)...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return b
}

func param(code uint16, data ...byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), append([]byte{0x03, byte(len(data))}, data...)...)
}

// scsiDisk is a healthy SAS disk that offers everything.
func scsiDisk() *fakeDisk {
	test := make([]byte, 16)
	test[0], test[3] = 1<<5, 9 // a background short test that passed at hour 9
	return &fakeDisk{kind: smart.KindSCSI, answers: map[string][]byte{
		"REQUEST SENSE": {0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"LOG SENSE 00h": {0, 0, 0, 10, 0x00, 0x02, 0x03, 0x05, 0x06, 0x0d, 0x10, 0x11, 0x15, 0x2f},
		"LOG SENSE 2Fh": logPage(0x2f, param(0, 0, 0, 38)),
		"LOG SENSE 02h": logPage(2, param(3, 0, 9), param(6, 0, 0)), "LOG SENSE 03h": logPage(3, param(6, 0)), "LOG SENSE 05h": logPage(5, param(6, 0, 0, 0, 0)),
		"LOG SENSE 06h": logPage(6, param(0, 0)), "LOG SENSE 0Dh": logPage(0x0d, param(0, 0, 38), param(1, 0, 65)),
		"LOG SENSE 10h": logPage(0x10, param(1, test...)), "LOG SENSE 11h": logPage(0x11, param(1, 0, 0, 0, 7)),
		"LOG SENSE 15h":         logPage(0x15, param(0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0)),
		"READ DEFECT DATA (12)": {0, 0x0d, 0, 0, 0, 0, 0, 0},
	}}
}

const (
	noPrediction = "scsi.prediction.failure=0 scsi.prediction.spare=0 scsi.prediction.wear=0 scsi.prediction.temperature=0 scsi.prediction.medium=0 scsi.prediction.cache=0 "
	scsiCounters = "scsi.uncorrected.read=0 scsi.uncorrected.write=0 scsi.uncorrected.verify=0 scsi.grown_defects=0 scsi.non_medium=0 "
	scsiHealthy  = noPrediction + scsiCounters + "scsi.percentage_used>1 scsi.temperature>1 scsi.scan_medium=0 selftest.failed=0"
)

// without is say without one piece of evidence.
func without(all, what string) string {
	var out []string
	for _, s := range strings.Fields(all) {
		if name, _, _ := strings.Cut(s, "="); name != what && strings.TrimSuffix(s, ">1") != what {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}
