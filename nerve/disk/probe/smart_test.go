package probe_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	smart "github.com/anatol/smart.go"
	"golang.org/x/sys/unix"

	"glia"
	"glia/nerve/disk/probe"
)

// fakeDevice closes; nvmeDevice and ataDevice answer like a disk of their kind.
type fakeDevice struct{ closed *int }

func (f fakeDevice) Type() string { return "fake" }
func (f fakeDevice) Close() error { *f.closed++; return nil }
func (f fakeDevice) ReadGenericAttributes() (*smart.GenericAttributes, error) {
	return nil, errors.New("not asked for")
}

type nvmeDevice struct {
	fakeDevice
	log smart.NvmeSMARTLog
	err error
}

func (n nvmeDevice) ReadSMART() (*smart.NvmeSMARTLog, error) { return &n.log, n.err }

type ataDevice struct {
	fakeDevice
	attrs        []smart.AtaSmartAttr
	thresholds   map[uint8]uint8
	err          error
	noThresholds error
}

func (a ataDevice) ReadSMARTData() (*smart.AtaSmartPage, error) {
	page := &smart.AtaSmartPage{Attrs: map[uint8]smart.AtaSmartAttr{}}
	for _, attr := range a.attrs {
		page.Attrs[attr.Id] = attr
	}
	return page, a.err
}

func (a ataDevice) ReadSMARTThresholds() (*smart.AtaSmartThresholdsPage, error) {
	return &smart.AtaSmartThresholdsPage{Thresholds: a.thresholds}, a.noThresholds
}

func attr(id uint8, name string, current uint8, flags uint16, vendor ...byte) smart.AtaSmartAttr {
	a := smart.AtaSmartAttr{Id: id, Name: name, Current: current, Worst: current, Flags: flags}
	copy(a.VendorBytes[:], vendor)
	return a
}

func TestSMART_NVMe(t *testing.T) {
	t.Parallel()
	base := smart.NvmeSMARTLog{Temperature: 273 + 40, AvailSpare: 100, SpareThresh: 10}
	const bits = "nvme.spare_low=%d nvme.temperature=%d nvme.reliability=%d nvme.readonly=%d nvme.backup_failed=%d "
	for _, c := range []struct {
		name   string
		change func(*smart.NvmeSMARTLog)
		want   string
	}{
		{"healthy", func(*smart.NvmeSMARTLog) {}, fmt.Sprintf(bits, 0, 0, 0, 0, 0) + "nvme.percentage_used=0 nvme.media_errors=0"},
		{"spare low", func(l *smart.NvmeSMARTLog) { l.CritWarning = 1 }, fmt.Sprintf(bits, 1, 0, 0, 0, 0) + "nvme.percentage_used=0 nvme.media_errors=0"},
		{"hot and unreliable", func(l *smart.NvmeSMARTLog) { l.CritWarning = 6 }, fmt.Sprintf(bits, 0, 1, 1, 0, 0) + "nvme.percentage_used=0 nvme.media_errors=0"},
		{"read-only, no backup", func(l *smart.NvmeSMARTLog) { l.CritWarning = 0x18 }, fmt.Sprintf(bits, 0, 0, 0, 1, 1) + "nvme.percentage_used=0 nvme.media_errors=0"},
		{"reserved bits", func(l *smart.NvmeSMARTLog) { l.CritWarning = 0xe0 }, fmt.Sprintf(bits, 0, 0, 0, 0, 0) + "nvme.percentage_used=0 nvme.media_errors=0"},
		{"worn", func(l *smart.NvmeSMARTLog) { l.PercentUsed = 101; l.MediaErrors.Val[1] = 1 }, fmt.Sprintf(bits, 0, 0, 0, 0, 0) + "nvme.percentage_used>1 nvme.media_errors>1"},
		{"a log that nobody filled in", func(l *smart.NvmeSMARTLog) { *l = smart.NvmeSMARTLog{} }, "smart?"},
	} {
		log, closed := base, 0
		c.change(&log)
		s := &probe.SMART{Open: func(path string) (smart.Device, error) {
			if path != "/dev/nvme0n1" {
				t.Errorf("opened %s", path)
			}
			return nvmeDevice{fakeDevice{&closed}, log, nil}, nil
		}}
		if got := s.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "nvme0n1"}}); say(got) != c.want || closed != 1 {
			t.Errorf("%s: %s, want %s (closed %d times)", c.name, say(got), c.want, closed)
		}
	}
}

func TestSMART_ATA(t *testing.T) {
	t.Parallel()
	const none = "ata.prefail_attributes=0"
	for _, c := range []struct {
		name  string
		attrs []smart.AtaSmartAttr
		want  string
	}{
		{"healthy disk", []smart.AtaSmartAttr{attr(5, "Reallocated_Sector_Ct", 100, 1), attr(187, "Reported_Uncorrect", 100, 0), attr(197, "Current_Pending_Sector", 100, 0),
			attr(198, "Offline_Uncorrectable", 100, 0), attr(199, "UDMA_CRC_Error_Count", 100, 0), attr(194, "Temperature_Celsius", 60, 0, 1, 0, 20, 0, 45)},
			"ata.reallocated=0 ata.reported_uncorrectable=0 ata.pending=0 ata.offline_uncorrectable=0 ata.crc_errors=0 " + none + " ata.temperature=1"},
		{"the upper words of 5 are not its count", []smart.AtaSmartAttr{attr(5, "Reallocated_Sector_Ct", 100, 1, 1, 0, 9, 0, 9, 0)}, "ata.reallocated=1 " + none},
		{"nor the uppermost of 197", []smart.AtaSmartAttr{attr(197, "Current_Pending_Sector", 100, 0, 1, 0, 0, 0, 9, 0)}, "ata.pending=1 " + none},
		{"same id, other meaning", []smart.AtaSmartAttr{attr(198, "Host_Reads_GiB", 100, 0, 200), attr(199, "Host_Writes_GiB", 100, 0, 200), attr(5, "", 100, 0, 7)}, none},
		{"prefail at its threshold", []smart.AtaSmartAttr{attr(3, "Spin_Up_Time", 21, 1)}, "ata.prefail_attributes=1"},
		{"prefail above it", []smart.AtaSmartAttr{attr(3, "Spin_Up_Time", 22, 1)}, none},
		{"old age at its threshold", []smart.AtaSmartAttr{attr(3, "Spin_Up_Time", 21, 0)}, none},
		{"no threshold", []smart.AtaSmartAttr{attr(4, "Start_Stop_Count", 1, 1)}, none},
		{"reserved values", []smart.AtaSmartAttr{attr(3, "Spin_Up_Time", 0, 1), attr(9, "Power_On_Hours", 1, 1)}, none},
		{"temperature of 190", []smart.AtaSmartAttr{attr(190, "Airflow_Temperature_Cel", 60, 0, 41)}, none + " ata.temperature>1"},
		{"no temperature can be that", []smart.AtaSmartAttr{attr(194, "Temperature_Celsius", 60, 0, 200), attr(190, "Unknown_Attribute", 60, 0, 41)}, none},
		{"no attributes", nil, "smart?"},
	} {
		closed := 0
		s := &probe.SMART{Open: func(string) (smart.Device, error) {
			return ataDevice{fakeDevice: fakeDevice{&closed}, attrs: c.attrs, thresholds: map[uint8]uint8{3: 21, 9: 254}}, nil
		}}
		if got := s.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "sdk"}}); say(got) != c.want || closed != 1 {
			t.Errorf("%s: %s, want %s\n%s", c.name, say(got), c.want, details(got))
		}
	}
}

func TestSMART_WhatItCannotReadIsUnknown(t *testing.T) {
	t.Parallel()
	closed := 0
	device := fakeDevice{&closed}
	one := []smart.AtaSmartAttr{attr(1, "Raw_Read_Error_Rate", 100, 1)}
	for _, c := range []struct {
		name string
		dev  smart.Device
		err  error
		want string
	}{
		{"no permission", nil, fmt.Errorf("open: %w", unix.EPERM), "open /dev/sdk: permission denied; SMART needs CAP_SYS_RAWIO, on NVMe CAP_SYS_ADMIN"},
		{"no such command", nil, errors.Join(unix.ENOTTY, unix.ENOTTY), "inappropriate ioctl"},
		{"data", ataDevice{fakeDevice: device, err: unix.EIO}, nil, "read the SMART data: input/output error"},
		{"thresholds", ataDevice{fakeDevice: device, attrs: one, noThresholds: unix.EIO}, nil, "read the SMART thresholds: input/output error"},
		{"NVMe log", nvmeDevice{fakeDevice: device, err: unix.EIO}, nil, "read the SMART log: input/output error"},
	} {
		s := &probe.SMART{Open: func(string) (smart.Device, error) { return c.dev, c.err }}
		got := s.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "sdk"}})
		if len(got) != 1 || !strings.Contains(got[0].Unknown, c.want) {
			t.Errorf("%s: %+v, want unknown because %q", c.name, got, c.want)
		}
	}
}

func TestSMART_OtherDisksHaveNone(t *testing.T) {
	t.Parallel()
	s := &probe.SMART{Open: func(path string) (smart.Device, error) {
		t.Errorf("opened %s", path)
		return nil, unix.ENOTTY
	}}
	for _, name := range []string{"loop0", "vda", "xvda", "mmcblk0", "dm-0"} {
		if got := s.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: name}}); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	closed := 0 // a SAS disk opens, and has neither kind of pages
	s.Open = func(string) (smart.Device, error) { return fakeDevice{&closed}, nil }
	if got := s.Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "sdk"}}); got != nil || closed != 1 {
		t.Errorf("SAS: %+v, closed %d times", got, closed)
	}
}
