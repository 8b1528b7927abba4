//go:build lab

package lab_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/internal/lab"
)

var (
	mkfsExt4 = []string{"mkfs.ext4", "-qF"}
	mkfsXFS  = []string{"mkfs.xfs", "-qf"}
)

// One machine whose disks fail in different ways, each found for what it is, and nothing said of the others.
func TestMachine_FailingDisks(t *testing.T) {
	t.Parallel()
	h := start(t, "latency = false",
		disk(t, lab.NVMe, 0, "WARNS"), disk(t, lab.NVMe, 1, "EXT4", mkfsExt4...), disk(t, lab.NVMe, 2, "FINE-NVME"),
		disk(t, lab.SATA, 0, "UNREADABLE"), disk(t, lab.SATA, 1, "FINE-SATA"),
		disk(t, lab.SCSI, 0, "XFS", mkfsXFS...), disk(t, lab.SCSI, 1, "LINEAR", mkfsExt4...),
		disk(t, lab.SCSI, 2, "THROWN"), disk(t, lab.SCSI, 3, "KEPT"), disk(t, lab.SCSI, 4, "SNAPSHOT"),
		disk(t, lab.SCSI, 5, "FLAKEY", mkfsExt4...), disk(t, lab.SCSI, 6, "FINE-SCSI"))
	fine := []string{"FINE-NVME", "FINE-SATA", "FINE-SCSI"}
	for _, serial := range append([]string{"WARNS", "EXT4", "UNREADABLE", "XFS", "LINEAR", "THROWN", "KEPT", "SNAPSHOT", "FLAKEY"}, fine...) {
		h.healthy(t, serial)
	}
	t.Run("disks", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *host){
			"an NVMe disk warns":                        warns,
			"ext4 can not be written":                   ext4ReadOnly,
			"XFS can not be written":                    xfsShutdown,
			"a disk can not be read":                    unreadable,
			"a disk under a linear mapping":             underLinear,
			"a member of an MD mirror":                  underMD,
			"a snapshot that overflows":                 snapshot,
			"errors of the device mapper, not the disk": flakey,
			"medium errors of scsi_debug":               scsiDebug,
		} {
			t.Run(name, func(t *testing.T) { t.Parallel(); test(t, h) })
		}
	})
	for _, serial := range fine {
		h.stays(t, serial, glia.StateHealthy)
	}
}

// The nerve learns of it with its next probe, without being asked.
func warns(t *testing.T, h *host) {
	t.Logf("announced %v after the warning", h.warning(t, "nvme0"))
	if err := h.Warn("nvme0", lab.WarnReliability); err != nil {
		t.Fatal(err)
	}
	h.judged(t, "WARNS", glia.StateFailed, "nvme-reliability")
	if err := h.Warn("nvme0", 0); err != nil {
		t.Fatal(err)
	}
	h.healthy(t, "WARNS")
}

// warning lets an NVMe disk warn for as long as it is not announced, and returns how long that was.
func (h *host) warning(t testing.TB, id string) time.Duration {
	t.Helper()
	fails := func(a glia.Announcement) bool {
		return slices.ContainsFunc(a.Bad, func(b glia.BadDisk) bool { return strings.HasPrefix(b.Device, id) && b.State == glia.StateFailed })
	}
	began := time.Now()
	if err := h.Warn(id, lab.WarnReliability); err != nil {
		t.Fatal(err)
	}
	h.announced(t, "the disk has failed", fails)
	took := time.Since(began)
	if err := h.Warn(id, 0); err != nil {
		t.Fatal(err)
	}
	h.announced(t, "the disk is well again", func(a glia.Announcement) bool { return !fails(a) })
	return took
}

// busy mounts a filesystem and keeps writing to it in the background.
func (h *host) busy(t *testing.T, device, at, options string) {
	t.Helper()
	h.sh(t, "mkdir -p "+at+" && mount -o "+options+" "+device+" "+at+" && dd if=/dev/zero of="+at+"/before bs=64k count=4 conv=fsync 2>/dev/null")
	if err := h.Start(t.Context(), "sh", "-c", "while :; do dd if=/dev/zero of="+at+"/during bs=64k count=4 conv=fsync 2>/dev/null; sleep 0.2; done"); err != nil {
		t.Fatal(err)
	}
}

func ext4ReadOnly(t *testing.T, h *host) {
	h.busy(t, h.device(t, "EXT4"), "/mnt/ext4", "errors=remount-ro")
	h.stays(t, "EXT4", glia.StateHealthy)
	if err := h.Break("nvme1", lab.Writes, lab.Flushes); err != nil {
		t.Fatal(err)
	}
	h.judged(t, "EXT4", glia.StateFailed, "readonly")
}

func xfsShutdown(t *testing.T, h *host) {
	h.busy(t, h.device(t, "XFS"), "/mnt/xfs", "rw")
	h.stays(t, "XFS", glia.StateHealthy)
	if err := h.Break("scsi0", lab.Writes, lab.Flushes); err != nil {
		t.Fatal(err)
	}
	h.judged(t, "XFS", glia.StateFailed, "shutdown")
}

func unreadable(t *testing.T, h *host) {
	if err := h.Break("sata0", lab.Reads); err != nil {
		t.Fatal(err)
	}
	h.judged(t, "UNREADABLE", glia.StateFailed, "read-errors")
}

func underLinear(t *testing.T, h *host) {
	device := h.device(t, "LINEAR")
	h.sh(t, "dmsetup create linear --table \"0 $(blockdev --getsz "+device+") linear "+device+" 0\"")
	h.busy(t, "/dev/mapper/linear", "/mnt/linear", "errors=remount-ro")
	if err := h.Break("scsi1", lab.Writes, lab.Flushes); err != nil {
		t.Fatal(err)
	}
	h.judged(t, "LINEAR", glia.StateFailed, "readonly")
	h.judged(t, "LINEAR", glia.StateFailed, "kernel-medium-errors")
}

func underMD(t *testing.T, h *host) {
	thrown, kept := h.device(t, "THROWN"), h.device(t, "KEPT")
	h.sh(t, `set -e
echo md0 >/sys/module/md_mod/parameters/new_array
cd /sys/block/md0/md
echo none >metadata_version
echo raid1 >level
echo 2 >raid_disks
echo 131072 >component_size # KiB
echo none >resync_start     # they are the same
slot=0
for d in `+thrown+" "+kept+`; do
	cat /sys/block/${d#/dev/}/dev >new_dev
	echo $slot >dev-${d#/dev/}/slot
	slot=1
done
echo active >array_state`)
	if err := h.Break("scsi2", lab.Writes); err != nil {
		t.Fatal(err)
	}
	h.sh(t, "dd if=/dev/zero of=/dev/md0 bs=64k count=4 oflag=direct 2>&1") // the mirror still serves
	h.judged(t, "THROWN", glia.StateSuspect, "md-faulty")
	h.stays(t, "KEPT", glia.StateHealthy)
}

func snapshot(t *testing.T, h *host) {
	h.sh(t, `set -e
lvm vgcreate -qqy vg `+h.device(t, "SNAPSHOT")+`
lvm lvcreate -qqyn data -L 64M vg
mkfs.ext4 -q /dev/vg/data
mkdir -p /mnt/data /mnt/snap
mount /dev/vg/data /mnt/data
lvm lvcreate -qqysn snap -L 4M vg/data
mount -o ro,noload /dev/vg/snap /mnt/snap
dd if=/dev/zero of=/mnt/data/much bs=1M count=16 conv=fsync 2>&1`)
	h.await(t, "SNAPSHOT", "with a full snapshot", func(d glia.DiskStatus) bool {
		return slices.ContainsFunc(d.Evidence, func(e glia.Evidence) bool { return strings.HasPrefix(e.What, "volume.full") && e.Value == 1 })
	})
	h.stays(t, "SNAPSHOT", glia.StateHealthy)
}

// The device mapper answers for itself: nothing but the filesystem on it speaks against the disk.
func flakey(t *testing.T, h *host) {
	device := h.device(t, "FLAKEY")
	size := strings.TrimSpace(h.sh(t, "blockdev --getsz "+device))
	h.sh(t, "dmsetup create flakey --table '0 "+size+" flakey "+device+" 0 3600 0'")
	h.busy(t, "/dev/mapper/flakey", "/mnt/flakey", "errors=remount-ro")
	h.sh(t, "dmsetup suspend --nolockfs flakey && dmsetup load flakey --table '0 "+size+" flakey "+device+" 0 0 3600 1 error_writes' && dmsetup resume flakey")
	d := h.judged(t, "FLAKEY", glia.StateFailed, "readonly")
	if w := d.Verdict.Witnesses(); !slices.Equal(w, []glia.EvidenceClass{glia.Filesystem}) {
		t.Errorf("witnesses are %v, by %v", w, rules(d))
	}
}

// The kernel makes up a disk, which then has one unreadable stretch.
func scsiDebug(t *testing.T, h *host) {
	if err := h.Load(t.Context(), "scsi_debug", "dev_size_mb=64", "medium_error_start=0", "medium_error_count=131072"); err != nil {
		t.Fatal(err)
	}
	serial := h.find(t, "scsi_debug").Disk.Serial()
	h.stays(t, serial, glia.StateHealthy)
	h.sh(t, "echo 2 >/sys/bus/pseudo/drivers/scsi_debug/opts")
	h.judged(t, serial, glia.StateFailed, "read-errors")
	h.judged(t, serial, glia.StateFailed, "kernel-medium-errors")
}
