package smart_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glia/internal/loop/looptest"
	"glia/nerve/disk/smart"
)

// wire is a disk that gives its answers one after another, the last one for ever.
type wire struct {
	answers []smart.Answer
	err     error
	data    []byte
	sent    int
}

func (w *wire) Send(_ smart.Command, data []byte) (smart.Answer, error) {
	w.sent++
	a := w.answers[min(w.sent, len(w.answers))-1]
	a.Length = min(len(data), copy(data, w.data)+a.Length)
	return a, w.err
}
func (w *wire) Close() error { return nil }

func TestDevice_UnderstandsAnswers(t *testing.T) {
	t.Parallel()
	check := func(sense string) smart.Answer { return smart.Answer{Status: 2, Driver: 8, Sense: unhex(sense)} }
	good, attention := smart.Answer{}, check("70 00 06 00 00 00 00 0a 00 00 00 00 29 00")
	for _, c := range []struct {
		name    string
		kind    smart.Kind
		answers []smart.Answer
		err     error // of the system call
		want    string
		sent    int
	}{
		{"success", smart.KindSCSI, []smart.Answer{good}, nil, "", 1},
		{"recovered", smart.KindSCSI, []smart.Answer{check("70 00 01 00 00 00 00 0a 00 00 00 00 17 01")}, nil, "", 1},
		{"a page that it has not", smart.KindSCSI, []smart.Answer{check("70 00 05 00 00 00 00 0a 00 00 00 00 24 00")}, nil, "does not offer", 1},
		{"a command that it has not", smart.KindSCSI, []smart.Answer{check("72 05 20 00 00 00 00 00")}, nil, "does not offer", 1},
		{"another illegal request", smart.KindSCSI, []smart.Answer{check("72 05 25 00 00 00 00 00")}, nil, "sense 5/25/00", 1},
		{"not ready", smart.KindSCSI, []smart.Answer{check("72 02 04 01 00 00 00 00")}, nil, "not ready: sense 2/04/01", 1},
		{"medium error", smart.KindSCSI, []smart.Answer{check("72 03 11 00 00 00 00 00")}, nil, "sense 3/11/00", 1},
		{"news first", smart.KindSCSI, []smart.Answer{attention, good}, nil, "", 2},
		{"nothing but news", smart.KindSCSI, []smart.Answer{attention}, nil, "sense 6/29/00", 3},
		{"no sense", smart.KindSCSI, []smart.Answer{{Status: 2}}, nil, "too short", 1},
		{"foreign sense", smart.KindSCSI, []smart.Answer{check("00 00 00 00 00 00 00 00")}, nil, "another page", 1},
		{"busy", smart.KindSCSI, []smart.Answer{{Status: 8}}, nil, "busy", 1},
		{"reserved", smart.KindSCSI, []smart.Answer{{Status: 0x18}}, nil, "another host", 1},
		{"other status", smart.KindSCSI, []smart.Answer{{Status: 0x30}}, nil, "status 30h", 1},
		{"gone", smart.KindSCSI, []smart.Answer{{Host: 1}}, nil, "not connected", 1},
		{"timed out", smart.KindSCSI, []smart.Answer{{Host: 3, Driver: 6}}, nil, "timed out", 1},
		{"other host status", smart.KindSCSI, []smart.Answer{{Host: 0x77}}, nil, "host status 77h", 1},
		{"driver", smart.KindSCSI, []smart.Answer{{Driver: 6}}, nil, "driver status 06h", 1},
		{"loop device", smart.KindSCSI, []smart.Answer{good}, unix.ENOTTY, "inappropriate ioctl", 1},
		{"permission", smart.KindSCSI, []smart.Answer{good}, unix.EPERM, "not permitted", 1},

		{"ATA, the registers", smart.KindATA, []smart.Answer{check("72 01 00 1d 00 00 00 0e 09 0c 00 00 00 00 00 00 00 4f 00 c2 00 50")}, nil, "", 1},
		// As libata 6.1 tells of a command that the disk has aborted.
		{"ATA, aborted", smart.KindATA, []smart.Answer{check("72 0b 00 00 00 00 00 0e 09 0c 00 04 00 00 00 00 00 00 00 00 00 51")}, nil, "does not offer", 1},
		{"ATA, a sector of the log is unreadable", smart.KindATA, []smart.Answer{check("72 03 11 04 00 00 00 0e 09 0c 00 40 00 00 00 00 00 00 00 00 00 51")}, nil, "error 40h", 1},
		{"ATA, aborted, no registers", smart.KindATA, []smart.Answer{check("70 00 0b 00 00 00 00 0a 00 00 00 00 00 00")}, nil, "sense B/00/00", 1},
		{"ATA, no pass-through", smart.KindATA, []smart.Answer{check("70 00 05 00 00 00 00 0a 00 00 00 00 20 00")}, nil, "does not offer", 1},

		{"NVMe", smart.KindNVMe, []smart.Answer{good}, nil, "", 1},
		{"NVMe, no such log", smart.KindNVMe, []smart.Answer{{NVMe: 0x4109}}, nil, "does not offer", 1},
		{"NVMe, no such field", smart.KindNVMe, []smart.Answer{{NVMe: 0x4002}}, nil, "does not offer", 1},
		{"NVMe, internal error", smart.KindNVMe, []smart.Answer{{NVMe: 0x006}}, nil, "status 006h", 1},
	} {
		w := &wire{answers: c.answers, err: c.err}
		command := map[smart.Kind]smart.Command{smart.KindATA: smart.ReadSMARTData, smart.KindSCSI: smart.RequestSense, smart.KindNVMe: smart.GetLogPage(smart.NVMeLogHealth, 512)}[c.kind]
		_, err := smart.NewDevice(c.kind, w, false).Ask(t.Context(), command, make([]byte, 512))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || w.sent != c.sent {
			t.Errorf("%s: %v after %d commands, want %q after %d", c.name, err, w.sent, c.want, c.sent)
		}
		if err != nil && !strings.HasPrefix(err.Error(), command.Name()+": ") {
			t.Errorf("%s: %v does not name the command", c.name, err)
		}
		if errors.Is(err, smart.ErrUnsupported) != (c.want == "does not offer") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDevice_SendsNothingThatIsNotForIt(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("out of time"))
	var none smart.Command
	for _, c := range []struct {
		name    string
		kind    smart.Kind
		ctx     context.Context
		command smart.Command
		room    int
		tests   bool
		want    string
	}{
		{"no command", smart.KindNone, t.Context(), none, 512, false, "not for this device"},
		{"of another kind", smart.KindATA, t.Context(), smart.RequestSense, 512, false, "not for this device"},
		{"a self-test by a prober", smart.KindATA, t.Context(), smart.StartATATest, 512, false, "not for this device"},
		{"a self-test by a prober, SCSI", smart.KindSCSI, t.Context(), smart.StartSCSITest, 512, false, "not for this device"},
		{"a self-test by a prober, NVMe", smart.KindNVMe, t.Context(), smart.StartNVMeTest, 512, false, "not for this device"},
		{"a self-test", smart.KindNVMe, t.Context(), smart.StartNVMeTest, 512, true, ""},
		{"no room for the answer", smart.KindATA, t.Context(), smart.ReadSMARTData, 511, false, "not for this device"},
		{"no time left", smart.KindATA, ended, smart.ReadSMARTData, 512, false, "not sent: out of time"},
	} {
		w := &wire{answers: []smart.Answer{{}}}
		_, err := smart.NewDevice(c.kind, w, c.tests).Ask(c.ctx, c.command, make([]byte, c.room))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || (w.sent == 0) != (c.want != "") {
			t.Errorf("%s: %v, %d sent", c.name, err, w.sent)
		}
	}
}

// A short answer is handed over short, and nothing of the answer before it shows.
func TestDevice_ShortAnswers(t *testing.T) {
	t.Parallel()
	page := []byte(strings.Repeat("x", 512))
	w := &wire{answers: []smart.Answer{{}}, data: []byte("abc")}
	got, err := smart.NewDevice(smart.KindSCSI, w, false).Ask(t.Context(), smart.LogSense(2), page)
	if err != nil || string(got) != "abc" || page[3] != 0 || page[511] != 0 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDevice_Asleep(t *testing.T) {
	t.Parallel()
	registers := func(count string) []smart.Answer {
		return []smart.Answer{{Status: 2, Sense: unhex("72 01 00 1d 00 00 00 0e 09 0c 00 00 00 " + count + " 00 00 00 00 00 00 00 50")}}
	}
	for _, c := range []struct {
		name    string
		kind    smart.Kind
		answers []smart.Answer
		sense   string // data of REQUEST SENSE
		want    string
	}{
		{"ATA, standby", smart.KindATA, registers("00"), "", "in standby"},
		{"ATA, standby_y", smart.KindATA, registers("01"), "", "in standby"},
		{"ATA, idle", smart.KindATA, registers("80"), "", ""},
		{"ATA, active", smart.KindATA, registers("ff"), "", ""},
		{"ATA, registers are lost", smart.KindATA, []smart.Answer{{}}, "", ""},
		{"SCSI, standby by timer", smart.KindSCSI, []smart.Answer{{}}, "70 00 00 00 00 00 00 0a 00 00 00 00 5e 02", "in standby"},
		{"SCSI, standby_y", smart.KindSCSI, []smart.Answer{{}}, "70 00 00 00 00 00 00 0a 00 00 00 00 5e 0a", "in standby"},
		{"SCSI, idle", smart.KindSCSI, []smart.Answer{{}}, "70 00 00 00 00 00 00 0a 00 00 00 00 5e 01", ""},
		{"SCSI, stopped", smart.KindSCSI, []smart.Answer{{}}, "70 00 02 00 00 00 00 0a 00 00 00 00 04 02", "stopped"},
		{"SCSI, starting", smart.KindSCSI, []smart.Answer{{}}, "70 00 02 00 00 00 00 0a 00 00 00 00 04 01", ""},
		{"SCSI, awake", smart.KindSCSI, []smart.Answer{{}}, "70 00 00 00 00 00 00 0a 00 00 00 00 00 00", ""},
		{"NVMe is not asked", smart.KindNVMe, []smart.Answer{{NVMe: 6}}, "", ""},
	} {
		w := &wire{answers: c.answers, data: unhex(c.sense)}
		if got, err := smart.NewDevice(c.kind, w, false).Asleep(t.Context()); got != c.want || err != nil {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// tree is a /sys with devices at the given places, and a /dev.
func tree(t *testing.T, devices map[string]map[string]string) smart.System {
	t.Helper()
	root := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for place, attrs := range devices {
		name := filepath.Base(place)
		for file, text := range attrs {
			if host, ok := strings.CutPrefix(file, "host:"); ok {
				put(filepath.Join(root, "class/scsi_host", host, "proc_name"), text)
				continue
			}
			put(filepath.Join(root, place, file), text)
		}
		if err := os.MkdirAll(filepath.Join(root, "block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(root, place), filepath.Join(root, "block", name)); err != nil {
			t.Fatal(err)
		}
	}
	return smart.System{Sys: root, Dev: t.TempDir()}
}

func TestSystem_Kind(t *testing.T) {
	t.Parallel()
	vendor := func(v string) map[string]string { return map[string]string{"device/vendor": v + "\n", "dev": "8:0\n"} }
	virtio, raid := vendor("QEMU"), vendor("AVAGO")
	virtio["host:host6"], raid["host:host0"] = "virtio_scsi\n", "megaraid_sas\n"
	s := tree(t, map[string]map[string]string{
		"devices/pci0000:00/0000:00:1f.2/ata1/host1/target1:0:0/1:0:0:0/block/sda":                                    vendor("ATA     "),
		"devices/pci0000:00/0000:03:00.0/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sdb":                 vendor("SEAGATE "),
		"devices/pci0000:00/0000:03:00.0/host0/port-0:1/expander-0:0/port-0:1:2/end_device-0:1:2/x/0:0:1:0/block/sdc": vendor("ATA     "),
		"devices/pci0000:00/0000:04:00.0/host0/target0:2:0/0:2:0:0/block/sdd":                                         raid,
		"devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host7/target7:0:0/7:0:0:0/block/sde":                        vendor("ATA     "),
		"devices/pci0000:00/0000:00:03.0/virtio1/host6/target6:0:0/6:0:0:0/block/sdf":                                 virtio,
		"devices/pci0000:00/0000:05:00.0/nvme/nvme0/nvme0n1":                                                          {"dev": "259:0\n"},
		"devices/virtual/block/loop0":                       {"dev": "7:0\n"},
		"devices/pci0000:00/0000:06:00.0/virtio2/block/vda": {"dev": "253:0\n"},
	})
	for name, want := range map[string]smart.Kind{"sda": smart.KindATA, "sdb": smart.KindSCSI, "sdc": smart.KindATA, "sdf": smart.KindSCSI, "nvme0n1": smart.KindNVMe,
		"sdd": smart.KindNone, "sde": smart.KindNone, "loop0": smart.KindNone, "vda": smart.KindNone} {
		if got, err := s.Kind(name); got != want || (want == smart.KindNone) != errors.Is(err, smart.ErrNone) {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
	if _, err := s.Kind("sdz"); err == nil || errors.Is(err, smart.ErrNone) {
		t.Errorf("a device that is not there: %v", err)
	}
}

func TestSystem_OpenProvesThatTheNodeIsTheDisk(t *testing.T) {
	t.Parallel()
	s := tree(t, map[string]map[string]string{"devices/x/nvme0n1": {"dev": "259:0\n"}})
	if _, err := s.Open("nvme0n1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no node: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.Dev, "nvme0n1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open("nvme0n1"); err == nil || !strings.Contains(err.Error(), "is the node of device") {
		t.Errorf("a file: %v", err)
	}
}

// The kernel's own answer to each kind of command, at a block device that takes none of them. (Most drivers say ENOTTY.)
func TestDevice_ALoopDeviceTakesNoSuchCommand(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	l := looptest.Attach(t, file, 0)
	number, err := os.ReadFile("/sys/block/" + l.Name + "/dev")
	if err != nil {
		t.Fatal(err)
	}
	s := tree(t, map[string]map[string]string{
		"devices/ata1/sda":           {"dev": string(number), "device/vendor": "ATA\n"},
		"devices/end_device-0:0/sdc": {"dev": string(number), "device/vendor": "SEAGATE\n"},
		"devices/nvme/nvme0n1":       {"dev": string(number)},
	})
	for _, name := range []string{"sda", "sdc", "nvme0n1"} {
		if err := os.Symlink(l.Path(), filepath.Join(s.Dev, name)); err != nil {
			t.Fatal(err)
		}
		d, err := s.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Offer(t.Context()); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
		if how, err := d.Asleep(t.Context()); how != "" || (d.Kind() != smart.KindNVMe) != errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %q, %v", name, how, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
