package probe_test

import (
	"path/filepath"
	"testing"

	"glia"
	"glia/nerve/disk/probe"
)

func TestKernel_ReadsItsCounters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		attrs map[string]string
		want  string
	}{
		{"healthy SCSI disk", map[string]string{"iotmo_cnt": "0x0\n", "ioerr_cnt": "0x1b\n", "state": "running\n"},
			"kernel.iotmo_cnt=0 kernel.ioerr_cnt>1 kernel.device_state=0"},
		{"given up", map[string]string{"iotmo_cnt": "0x2", "ioerr_cnt": "0x0", "state": "offline\n"},
			"kernel.iotmo_cnt>1 kernel.ioerr_cnt=0 kernel.device_state=1"},
		{"healthy NVMe disk", map[string]string{"state": "live\n"}, "kernel.device_state=0"},
		{"dead NVMe disk", map[string]string{"state": "dead\n"}, "kernel.device_state=1"},
		{"on its way", map[string]string{"state": "blocked\n"}, "kernel.device_state?"},
		{"nonsense", map[string]string{"iotmo_cnt": "many\n"}, "kernel.iotmo_cnt?"},
		{"loop device", nil, ""},
	} {
		sys := t.TempDir()
		for name, text := range c.attrs {
			write(t, filepath.Join(sys, "block/sdk/device", name), text)
		}
		got := (&probe.Kernel{Roots: probe.Roots{Sys: sys}}).Probe(t.Context(), glia.Disk{Location: glia.Location{Device: "sdk"}})
		if say(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, say(got), c.want)
		}
		for _, e := range got {
			if e.Class != glia.Interface || e.What == "kernel.ioerr_cnt" && e.Value != 0 && e.Value != 27 {
				t.Errorf("%s: %+v", c.name, e)
			}
		}
	}
}
