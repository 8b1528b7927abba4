package probe_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glia"
	"glia/nerve/disk/probe"
	"glia/nerve/disk/smart"
)

// cpu is what this process, or the programs that it ran, have used.
func cpu(b *testing.B, who int) time.Duration {
	b.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(who, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// firstDisk is the first disk of this machine that tells about itself, or the one that GLIA_SMART_DISK names.
func firstDisk() string {
	if name := os.Getenv("GLIA_SMART_DISK"); name != "" {
		return name
	}
	entries, err := os.ReadDir("/sys/block")
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if k, err := (smart.System{}).Kind(e.Name()); err == nil && k != smart.KindNone {
			return e.Name()
		}
	}
	return ""
}

// One poll against "smartctl -j -x" as a process on the same disk, in CPU time. On a machine without such a disk a
// made-up SATA disk, whose commands cost no system call, is compared with a smartctl that starts, reads its
// drive database and finds a device that it can not ask.
func BenchmarkSMART_AgainstSmartctl(b *testing.B) {
	if _, err := exec.LookPath("smartctl"); err != nil {
		b.Skip("smartctl is not installed")
	}
	name, s := firstDisk(), &probe.SMART{}
	path := "/dev/" + name
	if name == "" {
		s, path = ataDisk().source(), "/dev/null"
		b.Log("no disk of this machine can be asked; compared is a made-up disk with a smartctl that can not ask /dev/null")
	}
	d := glia.Disk{Identity: glia.Identity{Serial: "S"}, Location: glia.Location{Device: name}}
	if got := s.Probe(b.Context(), d); len(got) == 0 {
		b.Fatalf("%s tells nothing", path)
	}
	const runs = 5
	began := cpu(b, unix.RUSAGE_CHILDREN)
	for range runs {
		if _, err := probe.RunProgram(b.Context(), "smartctl", "-j", "-x", "-d", "auto", path); err != nil {
			b.Fatal(err)
		}
	}
	theirs := (cpu(b, unix.RUSAGE_CHILDREN) - began) / runs
	polls := 0
	began = cpu(b, unix.RUSAGE_SELF)
	for b.Loop() {
		s.Probe(b.Context(), d)
		polls++
	}
	ours := (cpu(b, unix.RUSAGE_SELF) - began) / time.Duration(max(polls, 1))
	b.ReportMetric(float64(ours.Nanoseconds()), "cpu-ns/poll")
	b.ReportMetric(float64(theirs.Nanoseconds()), "cpu-ns/smartctl")
	b.ReportMetric(float64(theirs)/float64(max(ours, 1)), "times-less-cpu")
}
