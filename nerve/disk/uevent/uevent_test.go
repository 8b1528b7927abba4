package uevent_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"glia/nerve/disk/uevent"
)

// fromKernel is an event as lib/kobject_uevent.c writes it.
func fromKernel(head string, properties ...string) []byte {
	return []byte(strings.Join(append([]string{head}, properties...), "\x00") + "\x00")
}

// fromUdev is an event as systemd's device_monitor_send writes it: a header of 40 bytes, of which the
// prefix, the magic number, its own size, and offset and length of the properties count here.
func fromUdev(properties ...string) []byte {
	body := strings.Join(properties, "\x00") + "\x00"
	out := make([]byte, 40, 40+len(body))
	copy(out, "libudev\x00")
	binary.BigEndian.PutUint32(out[8:], 0xfeedcafe)
	binary.NativeEndian.PutUint32(out[12:], 40)
	binary.NativeEndian.PutUint32(out[16:], 40)
	binary.NativeEndian.PutUint32(out[20:], uint32(len(body)))
	return append(out, body...)
}

const sdk = "/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sdk"

func TestParse(t *testing.T) {
	t.Parallel()
	disk := uevent.Event{Action: "remove", Path: sdk, Subsystem: "block", Type: "disk", Name: "sdk"}
	short := fromUdev("ACTION=add", "DEVPATH=/x")
	binary.NativeEndian.PutUint32(short[20:], 1<<20)
	huge := slices.Clone(short)
	binary.NativeEndian.PutUint32(huge[16:], 0xffffffff)
	for _, tc := range []struct {
		name    string
		message []byte
		want    uevent.Event
		isDisk  bool
	}{
		{"a disk goes", fromKernel("remove@"+sdk, "ACTION=remove", "DEVPATH="+sdk, "SUBSYSTEM=block", "MAJOR=8", "MINOR=160", "DEVNAME=sdk", "DEVTYPE=disk", "DISKSEQ=7", "SEQNUM=4711"), disk, true},
		{"as udevd tells it", fromUdev("ACTION=remove", "DEVPATH="+sdk, "SUBSYSTEM=block", "DEVNAME=/dev/sdk", "DEVTYPE=disk"), disk, true},
		{"a value with an equals sign", fromKernel("change@/a", "SUBSYSTEM=block", "DEVTYPE=disk", "DEVNAME=sdk", "X=a=b"), uevent.Event{Action: "change", Path: "/a", Subsystem: "block", Type: "disk", Name: "sdk"}, true},
		{"a path with an at sign", fromKernel("add@/a@b"), uevent.Event{Action: "add", Path: "/a@b"}, false},
		{"a partition is no disk", fromKernel("add@/a", "SUBSYSTEM=block", "DEVTYPE=partition", "DEVNAME=sdk1"), uevent.Event{Action: "add", Path: "/a", Subsystem: "block", Type: "partition", Name: "sdk1"}, false},
		{"a network card", fromKernel("add@/a", "SUBSYSTEM=net", "INTERFACE=eth0"), uevent.Event{Action: "add", Path: "/a", Subsystem: "net"}, false},
		{"nothing", nil, uevent.Event{}, false},
		{"no zero byte", []byte("add@/a"), uevent.Event{}, false},
		{"no action", fromKernel("@/a"), uevent.Event{}, false},
		{"no path", fromKernel("add@"), uevent.Event{}, false},
		{"udevd's header cut off", fromUdev("ACTION=add")[:20], uevent.Event{}, false},
		{"udevd's properties end behind the message", short, uevent.Event{}, false},
		{"udevd's properties begin behind the message", huge, uevent.Event{}, false},
		{"udevd without an action", fromUdev("DEVPATH=/x"), uevent.Event{}, false},
	} {
		got, err := uevent.Parse(tc.message)
		if got != tc.want || (err != nil) != (tc.want == uevent.Event{}) || got.Disk() != tc.isDisk {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fromKernel("add@"+sdk, "SUBSYSTEM=block", "DEVTYPE=disk", "DEVNAME=sdk"))
	f.Add(fromUdev("ACTION=add", "DEVPATH="+sdk, "SUBSYSTEM=block", "DEVTYPE=disk", "DEVNAME=/dev/sdk"))
	f.Add([]byte("libudev\x00"))
	f.Fuzz(func(t *testing.T, message []byte) {
		e, err := uevent.Parse(message)
		if err != nil && e != (uevent.Event{}) {
			t.Errorf("%+v comes with the error %v", e, err)
		}
		if err == nil && (e.Action == "" || !strings.HasPrefix(e.Path, "/")) {
			t.Errorf("accepted %+v", e)
		}
	})
}
