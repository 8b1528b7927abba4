//go:build lab

package lab_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"glia"
	"glia/internal/figures"
	"glia/internal/lab"
)

// BenchmarkSMART_OnEmulatedDisks runs, in a machine, the benchmark of package probe that compares one poll with
// "smartctl -j -x" on the same disk, in CPU time of the machine.
func BenchmarkSMART_OnEmulatedDisks(b *testing.B) {
	if err := lab.Installed(); err != nil {
		b.Skip(err)
	}
	dir, err := os.MkdirTemp(scratch, "b")
	if err != nil {
		b.Fatal(err)
	}
	const inside = "/usr/sbin/probe.test"
	program := filepath.Join(dir, "probe.test")
	build := exec.Command("go", "test", "-c", "-o", program, "glia/nerve/disk/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v: %s", program, err, out)
	}
	img, err := lab.BuildImage(b.Context(), dir, map[string]string{inside: program})
	if err != nil {
		b.Fatal(err)
	}
	m, err := lab.Boot(b.Context(), lab.Spec{Name: "lab", Image: img, Dir: dir, Counted: true,
		Disks: []lab.Disk{disk(b, lab.NVMe, 0, "NVME"), disk(b, lab.SATA, 0, "SATA")}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Kill)
	for _, d := range []struct{ bus, device string }{{"NVMe", "nvme0n1"}, {"SATA", "sda"}} {
		b.Run(d.bus, func(b *testing.B) {
			var out string
			for b.Loop() {
				out, err = m.Shell(b.Context(), "GLIA_SMART_DISK="+d.device+" "+inside+" -test.run '^$' -test.bench SMART_AgainstSmartctl -test.benchtime 100x")
				if err != nil {
					b.Fatal(err)
				}
			}
			for _, unit := range []string{"cpu-ns/poll", "cpu-ns/smartctl", "times-less-cpu"} {
				b.ReportMetric(metric(b, out, unit), unit)
			}
			b.ReportMetric(0, "ns/op") // of no meaning
			b.ReportMetric(50, "times-less-cpu"+figures.AtLeast)
		})
	}
}

// metric is the number in front of a unit.
func metric(b *testing.B, out, unit string) float64 {
	b.Helper()
	words := strings.Fields(out)
	for i := 1; i < len(words); i++ {
		if words[i] == unit {
			v, err := strconv.ParseFloat(words[i-1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return v
		}
	}
	b.Fatalf("no %s in %s", unit, out)
	return 0
}

// tries is how often a delay is measured.
const tries = 5

// BenchmarkAnnouncement tells how long it takes from a fault to the announcement of it in Serf, with an interval of
// two seconds between probes.
func BenchmarkAnnouncement(b *testing.B) {
	nvme, scsi := disk(b, lab.NVMe, 0, "PULLED-NVME"), disk(b, lab.SCSI, 0, "PULLED-SCSI")
	h := start(b, "latency = false", disk(b, lab.NVMe, 1, "WARNS"), nvme, scsi)
	for _, serial := range []string{"WARNS", nvme.Serial, scsi.Serial} {
		h.healthy(b, serial)
	}
	report := func(b *testing.B, took []time.Duration, target time.Duration) {
		var all, longest time.Duration
		for _, d := range took {
			all, longest = all+d, max(longest, d)
		}
		b.ReportMetric(float64(all.Milliseconds())/float64(len(took)), "ms-mean")
		b.ReportMetric(float64(longest.Milliseconds()), "ms-longest")
		b.ReportMetric(float64(target.Milliseconds()), "ms-longest"+figures.AtMost)
		b.ReportMetric(0, "ns/op") // of no meaning
	}
	b.Run("NVMe warning", func(b *testing.B) {
		var took []time.Duration
		for range tries {
			took = append(took, h.warning(b, "nvme1"))
		}
		report(b, took, interval+time.Second)
	})
	for name, d := range map[string]lab.Disk{"NVMe": nvme, "SCSI": scsi} {
		var gone, came []time.Duration
		for range tries {
			h.seen(b, d.Serial, "there", func(s glia.DiskStatus) bool { return s.Verdict.State == glia.StateHealthy })
			old := d
			d = disk(b, old.Bus, old.Port, old.Serial+"X")
			gone = append(gone, h.pull(b, old))
			came = append(came, h.insert(b, d, old))
			b.Log(gone, came)
		}
		b.Run(name+" removed", func(b *testing.B) { report(b, gone, time.Second) })
		b.Run(name+" inserted", func(b *testing.B) { report(b, came, time.Second) })
	}
}
