//go:build lab

package lab_test

import (
	"slices"
	"strings"
	"testing"

	"glia"
	"glia/internal/lab"
)

// One machine whose disks fail in different ways, each found for what it is, and nothing said of the others.
func TestMachine_FailingDisks(t *testing.T) {
	t.Parallel()
	h := start(t, "latency = false",
		disk(t, lab.NVMe, 0, "WARNS"), disk(t, lab.NVMe, 1, "FINE-NVME"), disk(t, lab.SATA, 0, "FINE-SATA"), disk(t, lab.SCSI, 0, "FINE-SCSI"))
	for _, serial := range []string{"WARNS", "FINE-NVME", "FINE-SATA", "FINE-SCSI"} {
		h.healthy(t, serial)
	}
	t.Run("NVMe disk warns", func(t *testing.T) {
		if err := h.Warn("nvme0", lab.WarnReliability); err != nil {
			t.Fatal(err)
		}
		h.announced(t, "the disk has failed", func(a glia.Announcement) bool {
			return slices.ContainsFunc(a.Bad, func(b glia.BadDisk) bool { return strings.HasPrefix(b.Device, "nvme0") && b.State == glia.StateFailed })
		})
		h.judged(t, "WARNS", glia.StateFailed, "nvme-reliability")
	})
}
