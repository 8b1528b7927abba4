package disk_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"glia/nerve/disk"
)

// What changes without an event of the kernel's changes the stamp; what it does not look at leaves it as it is.
func TestSource_StampChangesWithWhatNoEventTells(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*host)
		same   bool
	}{
		"nothing":                              {func(*host) {}, true},
		"a counter of a disk":                  {func(h *host) { h.attr("sda", "stat", "1 2 3") }, true},
		"a disk comes":                         {func(h *host) { h.sata("sdb", "B", 2) }, false},
		"a disk goes":                          {func(h *host) { h.must(os.Remove(filepath.Join(h.root, "sys/block/sda"))) }, false},
		"a filesystem is mounted":              {func(h *host) { h.mount("sda", "/data", "xfs") }, false},
		"the first process sees another mount": {func(h *host) { h.line("proc/1/mountinfo", "30 1 8:0 / / rw - ext4 /dev/sda rw") }, false},
		"swap is switched on":                  {func(h *host) { h.swap("/dev/sda", "partition") }, false},
		"udev has looked":                      {func(h *host) { h.udev("sda", "E:ID_BUS=ata") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.sata("sda", "A", 1)
			h.udev("sdz", "E:ID_BUS=ata")
			past := time.Now().Add(-time.Hour) // the clock of files may be too coarse for what follows
			h.must(os.Chtimes(filepath.Join(h.root, "run/udev/data"), past, past))
			s := &disk.Source{Host: "node-1", Root: h.root}
			before, err := s.Stamp()
			h.must(err)
			tc.change(h)
			after, err := s.Stamp()
			h.must(err)
			if (before == after) != tc.same {
				t.Errorf("same: %t, want %t", before == after, tc.same)
			}
		})
	}
	if _, err := (&disk.Source{Root: t.TempDir()}).Stamp(); err == nil {
		t.Error("a stamp without sysfs")
	}
}
