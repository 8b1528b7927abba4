package probe_test

import (
	"path/filepath"
	"strings"
	"testing"

	"glia"
	"glia/nerve/disk/probe"
)

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
		if why := r.Asleep(t.Context(), d.Disk); why != "" {
			t.Error(why)
		}
	}
}
