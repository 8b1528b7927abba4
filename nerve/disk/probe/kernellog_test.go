package probe_test

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	"glia/nerve/disk/kmsg"
	"glia/nerve/disk/probe"
)

// realLog opens the kernel's log, or skips.
func realLog(t *testing.T, file string) *probe.KernelLog {
	t.Helper()
	log, err := kmsg.Open()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	k, err := probe.OpenKernelLog(log, file)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func look(k *probe.KernelLog, disks ...glia.Disk) {
	k.Begin()
	k.Look(disks, true)
}

func valueOf(evidence []glia.Evidence, what string) float64 {
	i := slices.IndexFunc(evidence, func(e glia.Evidence) bool { return e.What == what && e.Unknown == "" })
	if i < 0 {
		return -1
	}
	return evidence[i].Value
}

// readUntilLogged reads the device until the kernel, which repeats itself only so often, has told of it.
func readUntilLogged(t *testing.T, k *probe.KernelLog, d glia.Disk, more float64) float64 {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(60 * time.Second); ; {
		_ = exec.Command("dd", "if="+d.DevicePath(), "of=/dev/null", "bs=4096", "count=1", "iflag=direct").Run()
		look(k, d)
		if n := valueOf(k.Probe(t.Context(), d), "kernel.io_errors"); n >= more {
			return n
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the kernel's errors were not seen: %+v", k.Probe(t.Context(), d))
		}
	}
}

// readWell waits until what was under way when the device could not be read is over.
func readWell(t *testing.T, d glia.Disk) {
	t.Helper()
	command(t, "dd", "if="+d.DevicePath(), "of=/dev/null", "bs=4096", "count=1", "iflag=direct")
}

func TestKernelLog_RealErrorsOfARealDevice(t *testing.T) {
	t.Parallel()
	d := newLoopWith(t, 64*mib, unix.LO_FLAGS_READ_ONLY)
	state := filepath.Join(t.TempDir(), "log.json")
	k := realLog(t, state)
	// Others may read the device, too, lvs for one. When its file is back, no more errors come.
	count := func(k *probe.KernelLog, disk glia.Disk, file string) float64 {
		t.Helper()
		if err := os.Truncate(file, 64*mib); err != nil {
			t.Fatal(err)
		}
		readWell(t, disk)
		look(k, disk)
		return valueOf(k.Probe(t.Context(), disk), "kernel.io_errors")
	}
	look(k, d.Disk)
	got := k.Probe(t.Context(), d.Disk)
	if say(got) != "kernel.medium_errors=0 kernel.io_errors=0 kernel.link_resets=0 kernel.controller_resets=0" {
		t.Fatalf("%s\n%s", say(got), details(got))
	}
	d.fail(t)
	readUntilLogged(t, k, d.Disk, 1)
	n := count(k, d.Disk, d.file)
	if text := details(k.Probe(t.Context(), d.Disk)); !strings.Contains(text, "I/O error, dev "+d.Location.Device+", sector") {
		t.Error(text)
	}
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}

	// nerve starts again: what was counted is not counted again, and what is new is.
	k = realLog(t, state)
	look(k, d.Disk)
	if again := valueOf(k.Probe(t.Context(), d.Disk), "kernel.io_errors"); again != n {
		t.Errorf("%v errors after a restart, %v before", again, n)
	}
	d.fail(t)
	readUntilLogged(t, k, d.Disk, n+1)
	n = count(k, d.Disk, d.file)

	// Another disk gets the kernel name. The old errors are not its own, the new ones are.
	other := filepath.Join(t.TempDir(), "other")
	write(t, other, "")
	if err := errors.Join(os.Truncate(other, 64*mib), d.held.Replace(other)); err != nil {
		t.Fatal(err)
	}
	next := d.Disk
	next.Identity.Serial, next.Location.DiskSeq = "SER-OTHER", d.held.Seq
	if next.Location.DiskSeq == d.Location.DiskSeq && next.Location.DiskSeq != 0 {
		t.Errorf("two disks have the number %d", next.Location.DiskSeq)
	}
	look(k, next)
	if got := valueOf(k.Probe(t.Context(), next), "kernel.io_errors"); got != 0 {
		t.Errorf("the new disk is charged with %v errors of the old one", got)
	}
	if err := os.Truncate(other, 0); err != nil {
		t.Fatal(err)
	}
	readUntilLogged(t, k, next, 1)
	own := count(k, next, other)
	if old := valueOf(k.Probe(t.Context(), d.Disk), "kernel.io_errors"); old != n {
		t.Errorf("the old disk has %v errors, %v before it went", old, n)
	}
	// Without the former looks, what the log itself proves is charged, and no more.
	k = realLog(t, filepath.Join(t.TempDir(), "new.json"))
	look(k, next)
	if got := valueOf(k.Probe(t.Context(), next), "kernel.io_errors"); got > own {
		t.Errorf("by the log alone the new disk has %v errors, not %v", got, own)
	}
}

func TestKernelLog_Ext4MadeReadOnly(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib).mounted(t, "ext4", "rw,errors=remount-ro")
	k := realLog(t, filepath.Join(t.TempDir(), "log.json"))
	look(k, d.Disk)
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", d.Location.Device, "trigger_fs_error"), []byte("test"), 0o200); err != nil {
		t.Skip("this kernel cannot pretend an ext4 error: ", err)
	}
	look(k, d.Disk)
	got := k.Probe(t.Context(), d.Disk)
	if valueOf(got, "fs.readonly") != 1 || !strings.Contains(details(got), "Remounting filesystem read-only") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	command(t, "umount", d.target())
	command(t, "mount", d.DevicePath(), d.target())
	look(k, d.Disk)
	if got := k.Probe(t.Context(), d.Disk); valueOf(got, "fs.readonly") != -1 {
		t.Errorf("after a new mount: %s\n%s", say(got), details(got))
	}
}

// A person has shut the filesystem down; the real kernel tells so, and no probe holds it against the disk.
func TestKernelLog_ShutDownByAPersonIsNoFault(t *testing.T) {
	t.Parallel()
	for fsType, size := range map[string]int64{"xfs": xfsSize, "ext4": 64 * mib} {
		t.Run(fsType, func(t *testing.T) {
			t.Parallel()
			d := newLoop(t, size).mounted(t, fsType, "rw")
			k := realLog(t, filepath.Join(t.TempDir(), "log.json"))
			look(k, d.Disk)
			command(t, "xfs_io", "-x", "-c", "shutdown", d.target())
			look(k, d.Disk)
			if got := k.Probe(t.Context(), d.Disk); !strings.HasSuffix(say(got), " fs.shutdown?") || !strings.Contains(details(got), "on request") {
				t.Errorf("%s\n%s", say(got), details(got))
			}
			for _, s := range []probe.Source{&probe.FS{Excuses: probe.Excuses{k}}, &probe.Write{Excuses: probe.Excuses{k}}} {
				if got := s.Probe(t.Context(), d.Disk); strings.Contains(say(got), "=1") || !strings.Contains(details(got), "on request") {
					t.Errorf("%s: %s\n%s", s.Name(), say(got), details(got))
				}
			}
			if got := (&probe.FS{}).Probe(t.Context(), d.Disk); !strings.Contains(say(got), "=1") {
				t.Errorf("without the log: %s", say(got))
			}
		})
	}
}

func TestKernelLog_XFSShutDown(t *testing.T) {
	t.Parallel()
	log := &fakeLog{}
	k, err := probe.OpenKernelLog(log, filepath.Join(t.TempDir(), "log.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := glia.Disk{Identity: glia.Identity{Serial: "S"}, Location: glia.Location{Device: "sdk"},
		Mounts: []glia.Mount{{Source: "sdk", Target: "/data", FSType: "xfs"}}}
	look(k, d)
	log.records = []kmsg.Record{{Seq: 1, Text: "XFS (sdk): log I/O error -5"}, {Seq: 2, Text: "XFS (sdk): Filesystem has been shut down due to log error (0x2)."}}
	look(k, d)
	if got := k.Probe(t.Context(), d); valueOf(got, "fs.shutdown") != 1 || !strings.Contains(details(got), "xfs of /data") || k.Excuse(t.Context(), d, d.Mounts[0]) != "" {
		t.Errorf("%s\n%s", say(got), details(got))
	}
}

// Whoever may write to /dev/kmsg can not make the kernel say it.
func TestKernelLog_AForgedMessageIsNotCounted(t *testing.T) {
	t.Parallel()
	d := newLoop(t, 64*mib)
	k := realLog(t, filepath.Join(t.TempDir(), "log.json"))
	look(k, d.Disk)
	for _, priority := range []string{"<3>", "<0>", ""} {
		if err := os.WriteFile("/dev/kmsg", fmt.Appendf(nil, "%scritical medium error, dev %s, sector 8 op 0x0:(READ)\n", priority, d.Location.Device), 0); err != nil {
			t.Skip(err)
		}
	}
	look(k, d.Disk)
	if got := k.Probe(t.Context(), d.Disk); valueOf(got, "kernel.medium_errors") != 0 {
		t.Errorf("%s\n%s", say(got), details(got))
	}
}

// fakeLog is a log with these messages.
type fakeLog struct {
	records []kmsg.Record
	err     error
}

func (f *fakeLog) Boot() string { return "boot" }
func (f *fakeLog) Err() error   { return f.err }
func (f *fakeLog) Records() iter.Seq[kmsg.Record] {
	out := f.records
	f.records = nil
	return slices.Values(out)
}

// sysfs makes the directories of a disk as /sys has them.
func sysfsDisk(t *testing.T, sys, dir, name string) {
	t.Helper()
	at := filepath.Join(sys, "devices", dir, "block", name)
	write(t, filepath.Join(at, "dev"), "8:0\n")
	if err := os.MkdirAll(filepath.Join(sys, "block"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at, filepath.Join(sys, "block", name)); err != nil {
		t.Fatal(err)
	}
}

func TestKernelLog_KnowsTheNamesOfADisk(t *testing.T) {
	t.Parallel()
	sys := t.TempDir()
	sysfsDisk(t, sys, "pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0", "sda")
	sysfsDisk(t, sys, "pci0000:00/0000:00:01.0/0000:03:00.0/host0/port-0:0/end_device-0:0/target0:0:5/0:0:5:0", "sdb")
	sysfsDisk(t, sys, "pci0000:00/0000:00:01.0/0000:03:00.0/host0/port-0:1/end_device-0:1/target0:0:6/0:0:6:0", "sdc")
	sysfsDisk(t, sys, "pci0000:00/0000:00:04.0/virtio1", "vda")
	sysfsDisk(t, sys, "virtual/nvme-subsystem/nvme-subsys0", "nvme0n1")
	write(t, filepath.Join(sys, "block/nvme0n1/device/nvme3/state"), "live\n")
	write(t, filepath.Join(sys, "class/scsi_host/host0/proc_name"), "mpt3sas\n")
	write(t, filepath.Join(sys, "class/scsi_host/host0/unique_id"), "0\n")
	write(t, filepath.Join(sys, "class/scsi_host/host2/proc_name"), "ahci\n")
	write(t, filepath.Join(sys, "block/dm-0/slaves/sda2"), "")
	write(t, filepath.Join(sys, "block/dm-1/slaves/dm-0"), "")
	write(t, filepath.Join(sys, "block/dm-1/slaves/sdb"), "")
	disk := func(serial, name string) glia.Disk {
		return glia.Disk{Identity: glia.Identity{Serial: serial}, Location: glia.Location{Device: name}}
	}
	a, b, c := disk("A", "sda"), disk("B", "sdb"), disk("C", "sdc")
	a.Partitions = []glia.Partition{{Name: "sda2"}}
	a.Holders = []glia.Holder{{Name: "dm-0", On: "sda2"}, {Name: "dm-1", On: "dm-0"}}
	a.Mounts = []glia.Mount{{Source: "dm-0", Target: "/data", FSType: "xfs"}, {Source: "dm-1", Target: "/both", FSType: "xfs"}}
	b.Holders = []glia.Holder{{Name: "dm-1", On: "sdb"}}
	all := []glia.Disk{a, b, c, disk("V", "vda"), disk("N", "nvme0n1")}

	for _, tc := range []struct{ text, want string }{
		{"critical medium error, dev sda, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2", "A kernel.medium_errors"},
		{"ata3: hard resetting link", "A kernel.link_resets"},
		{"XFS (dm-0): Filesystem has been shut down due to log error (0x2).", "A fs.shutdown"},
		{"XFS (dm-1): Filesystem has been shut down due to log error (0x2).", ""},
		{"sd 0:0:5:0: attempting device reset! scmd(0x1)", "B kernel.link_resets"},
		{"scsi target0:0:6: attempting target reset! scmd(0x1)", "C kernel.link_resets"},
		{"mpt3sas_cm0: sending diag reset !!", "B kernel.controller_resets, C kernel.controller_resets"},
		{"mpt3sas_cm1: sending diag reset !!", ""},
		{"megaraid_sas 0000:03:00.0: resetting fusion adapter scsi0.", "B kernel.controller_resets, C kernel.controller_resets"},
		{"megaraid_sas 0000:00:01.0: resetting fusion adapter scsi0.", ""}, // a bridge
		{"nvme nvme3: controller is down; will reset: CSTS=0x3, PCI_STATUS=0x10", "N kernel.controller_resets"},
	} {
		log := &fakeLog{}
		k, err := probe.OpenKernelLog(log, filepath.Join(t.TempDir(), "log.json"))
		if err != nil {
			t.Fatal(err)
		}
		k.Roots.Sys = sys
		look(k, all...)
		log.records = []kmsg.Record{{Seq: 1, Text: tc.text}}
		look(k, all...)
		var got []string
		for _, d := range all {
			for _, e := range k.Probe(t.Context(), d) {
				if e.Value > 0 || e.Unknown != "" {
					got = append(got, d.Serial()+" "+e.What)
				}
			}
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s\n\tis about %v, want %s", tc.text, got, tc.want)
		}
	}
}

func TestKernelLog_SaysWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	log := &fakeLog{}
	state := filepath.Join(t.TempDir(), "log.json")
	k, err := probe.OpenKernelLog(log, state)
	if err != nil {
		t.Fatal(err)
	}
	d := glia.Disk{Identity: glia.Identity{Serial: "A"}, Location: glia.Location{Device: "sda"}}
	if got := say(k.Probe(t.Context(), d)); got != "kernel.log?" {
		t.Error("before the first look: ", got)
	}
	log.records = []kmsg.Record{{Seq: 5}}
	look(k, d)
	log.records = []kmsg.Record{{Seq: 9}}
	look(k, d)
	const four = "kernel.medium_errors=0 kernel.io_errors=0 kernel.link_resets=0 kernel.controller_resets=0"
	got := k.Probe(t.Context(), d)
	if say(got) != four+" kernel.log?" || !strings.Contains(details(got), "3 messages of the kernel were overwritten") {
		t.Errorf("%s\n%s", say(got), details(got))
	}
	if got := say(k.Probe(t.Context(), d)); got != four {
		t.Error("a loss is told once: ", got)
	}
	log.err = errors.New("read the kernel's log: input/output error")
	look(k, d)
	if got := k.Probe(t.Context(), d); say(got) != "kernel.log?" || details(got) != log.err.Error() {
		t.Error(say(got), details(got))
	}
	write(t, state, "{")
	if _, err := probe.OpenKernelLog(log, state); err == nil || !strings.Contains(err.Error(), "move the file away") {
		t.Error(err)
	}
}
