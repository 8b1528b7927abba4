//go:build lab

package lab_test

import (
	"slices"
	"strings"
	"testing"

	"glia"
	"glia/internal/lab"
)

// One machine on which disks crawl, hang, go and come, while the others work on.
func TestMachine_ChangingDisks(t *testing.T) {
	t.Parallel()
	crawls := []lab.Disk{disk(t, lab.SCSI, 0, "CRAWLS"), disk(t, lab.SCSI, 1, "WALKS1"), disk(t, lab.SCSI, 2, "WALKS2"), disk(t, lab.SCSI, 3, "WALKS3")}
	others := []lab.Disk{disk(t, lab.NVMe, 0, "OLD-NVME"), disk(t, lab.SCSI, 8, "OLD-SCSI"), disk(t, lab.SCSI, 9, "HANGS"), disk(t, lab.SCSI, 10, "WORKS")}
	for i := range crawls {
		crawls[i].Model = "SIBLING"
	}
	h := start(t, `latency_window = "4s"`, append(crawls, others...)...)
	for _, d := range append(crawls, others...) {
		h.healthy(t, d.Serial)
	}
	t.Run("disks", func(t *testing.T) {
		t.Run("one crawls", func(t *testing.T) { t.Parallel(); slow(t, h, crawls) })
		t.Run("one hangs", func(t *testing.T) { t.Parallel(); hang(t, h) })
		t.Run("NVMe disks go and come", func(t *testing.T) { t.Parallel(); h.swaps(t, others[0]) })
		t.Run("SCSI disks go and come", func(t *testing.T) { t.Parallel(); h.swaps(t, others[1]) })
	})
}

// slow gives all of them the same to do, and slows down the first.
func slow(t *testing.T, h *host, disks []lab.Disk) {
	for _, d := range disks {
		device := h.device(t, d.Serial)
		if err := h.Start(t.Context(), "sh", "-c", "while dd if="+device+" of=/dev/null bs=4k count=16 iflag=direct 2>/dev/null; do sleep 0.5; done"); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Slow(disks[0].ID(), 8); err != nil {
		t.Fatal(err)
	}
	d := h.seen(t, disks[0].Serial, "suspect of being slow", func(d glia.DiskStatus) bool {
		return d.Verdict.State == glia.StateSuspect && slices.Contains(rules(d), "slow")
	})
	t.Log(d.Verdict.Summary())
	for _, sibling := range disks[1:] {
		h.stays(t, sibling.Serial, glia.StateHealthy)
	}
}

// hang stops a disk for good. It becomes unknown, which is no reason to repair it, and delays no other.
func hang(t *testing.T, h *host) {
	if err := h.Hang("scsi9"); err != nil {
		t.Fatal(err)
	}
	d := h.seen(t, "HANGS", "unknown, since it hangs", func(d glia.DiskStatus) bool {
		if d.Verdict.State.Bad() {
			t.Fatalf("it is %s", d.Verdict.Summary())
		}
		return d.Verdict.State == glia.StateUnknown
	})
	if e := evidence(d); !strings.Contains(e, "has not returned") {
		t.Errorf("the evidence is %s", e)
	}
	h.stays(t, "WORKS", glia.StateHealthy)
	if err := h.Heal("scsi9"); err != nil {
		t.Fatal(err)
	}
	h.healthy(t, "HANGS")
}

// swaps puts another disk into the place of one. How long that takes is told by the benchmark.
func (h *host) swaps(t *testing.T, old lab.Disk) {
	t.Helper()
	first := h.healthy(t, old.Serial).Disk
	d := disk(t, old.Bus, old.Port, old.Serial+"X")
	t.Logf("announced %v after it was pulled, and %v after another came", h.pull(t, old), h.insert(t, d, old))
	if p := h.healthy(t, d.Serial).Disk.Location.Place(); p != first.Location.Place() {
		t.Errorf("%s is in %q, and %s was in %q", d.Serial, p, first.Serial(), first.Location.Place())
	}
}
