package probe_test

import (
	"path/filepath"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk/probe"
)

// The sense data are laid out by hand after SAT-3, tables 127 and 129.
var (
	descriptorSense = []byte{0x72, 0x01, 0x00, 0x1d, 0, 0, 0, 14, // recovered error, ATA pass through information
		0x09, 0x0c, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x50}
	fixedSense = []byte{0x70, 0, 0x01, 0x00, 0x50, 0x00, 0x80, 0, 0, 0, 0, 0, 0x00, 0x1d, 0, 0, 0, 0}
)

func TestPowerMode_FindsTheCount(t *testing.T) {
	t.Parallel()
	with := func(sense []byte, at int, b byte) []byte {
		out := append([]byte(nil), sense...)
		out[at] = b
		return out
	}
	for _, c := range []struct {
		name    string
		sense   []byte
		ok      bool
		standby bool
	}{
		{"idle", descriptorSense, true, false},
		{"standby", with(descriptorSense, 13, 0x00), true, true},
		{"standby_y", with(descriptorSense, 13, 0x01), true, true},
		{"active", with(descriptorSense, 13, 0xff), true, false},
		{"command failed", with(descriptorSense, 21, 0x51), false, false},
		{"about something else", with(descriptorSense, 3, 0x20), false, false},
		{"other descriptor", with(descriptorSense, 8, 0x00), false, false},
		{"cut", descriptorSense[:15], false, false},
		{"fixed, idle", fixedSense, true, false},
		{"fixed, standby", with(fixedSense, 6, 0x00), true, true},
		{"fixed, command failed", with(fixedSense, 4, 0x51), false, false},
		{"fixed, about something else", with(fixedSense, 13, 0x00), false, false},
		{"nothing", nil, false, false},
	} {
		count, ok := probe.PowerMode(c.sense)
		if ok != c.ok || ok && probe.Standby(count) != c.standby {
			t.Errorf("%s: %02x %v", c.name, count, ok)
		}
	}
}

func FuzzPowerMode(f *testing.F) {
	f.Add(descriptorSense)
	f.Add(fixedSense)
	f.Add([]byte{0x72, 0, 0, 0x1d, 0, 0, 0, 255, 0x01, 0})
	f.Fuzz(func(t *testing.T, sense []byte) {
		if _, ok := probe.PowerMode(sense); ok && (sense[0]&0x7f)|0x02 != 0x72 {
			t.Errorf("found a count in %x", sense)
		}
	})
}

func TestUnlessAsleep_DoesNotWakeTheDisk(t *testing.T) {
	t.Parallel()
	d := glia.Disk{Location: glia.Location{Device: "sdk"}}
	for status, want := range map[string]string{"suspended\n": "asleep", "active\n": ""} {
		sys := t.TempDir()
		write(t, filepath.Join(sys, "block/sdk/device/power/runtime_status"), status)
		asked := 0
		s := probe.UnlessAsleep(probe.Roots{Sys: sys}, fakeSource{"read", func() []glia.Evidence {
			asked++
			return []glia.Evidence{{What: "read.errors"}}
		}})
		got := s.Probe(t.Context(), d)
		if s.Name() != "read" || len(got) != 1 || !strings.HasPrefix(got[0].Unknown, want) || (asked == 0) != (want != "") {
			t.Errorf("%q: asked %d times, %+v", status, asked, got)
		}
	}
}

// A loop device has no power mode; being asked for one must do no harm.
func TestRoots_AsleepIsSilentAboutDisksThatCannotTell(t *testing.T) {
	t.Parallel()
	d := newLoop(t, mib)
	sys := t.TempDir()
	write(t, filepath.Join(sys, "block", d.Location.Device, "device/vendor"), "ATA     \n")
	for _, r := range []probe.Roots{{}, {Sys: sys}, {Sys: sys, Dev: t.TempDir()}} {
		if why := r.Asleep(d.Disk); why != "" {
			t.Error(why)
		}
	}
}
