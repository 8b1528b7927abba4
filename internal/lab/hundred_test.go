//go:build lab

package lab_test

import (
	"math"
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

// BenchmarkNerve_HundredDisks tells what a nerve uses that probes the 100 SCSI disks of a machine with all that is
// switched on by default, each once a minute. The machine counts its instructions, so that nothing else disturbs; what one
// is worth in CPU time of this machine is measured in the same run, with a program that does little but system calls.
func BenchmarkNerve_HundredDisks(b *testing.B) {
	var disks []lab.Disk
	for i := range 100 {
		d := lab.Disk{Bus: lab.SCSI, Port: i, Serial: "DISK" + strconv.Itoa(i), Model: "LABDISK", Image: filepath.Join(b.TempDir(), "image")}
		if err := lab.Blank(d.Image, 8); err != nil {
			b.Fatal(err)
		}
		disks = append(disks, d)
	}
	h := boot(b, lab.Spec{Disks: disks, Counted: true})
	h.nerve(b, "state_dir = \"/var/lib/glia/nerve\"\n[probe]\ninterval = \"60s\"\n")
	h.seen(b, "DISK99", "healthy", func(d glia.DiskStatus) bool { return d.Verdict.State == glia.StateHealthy })
	probed := func(at float64) bool { return at >= 60 }
	began, used, _, _ := h.usage(b, probed)
	var ended, usedThen, kib, own float64
	for b.Loop() {
		ended, usedThen, kib, own = h.usage(b, func(at float64) bool { return at >= began+120 })
	}
	b.ReportMetric(0, "ns/op") // of no meaning
	worth := spent(b, func(argv []string) (string, error) {
		out, err := exec.CommandContext(b.Context(), argv[0], argv[1:]...).CombinedOutput()
		return string(out), err
	}) / spent(b, func(argv []string) (string, error) { return h.Shell(b.Context(), strings.Join(argv, " ")+" 2>&1") })
	b.Logf("%.3f s of %.1f s; a second there is %.2f s here", usedThen-used, ended-began, worth)
	b.ReportMetric(100*(usedThen-used)/(ended-began)*worth, "%-of-a-core")
	b.ReportMetric(0.5, "%-of-a-core"+figures.AtMost)
	b.ReportMetric(kib/1000*1.024, "MB-resident")
	b.ReportMetric(25, "MB-resident"+figures.AtMost)
	b.ReportMetric(own/1000*1.024, "MB-without-program")
}

// spent is the CPU time in seconds that a million reads and writes of one byte take, best of five.
func spent(b *testing.B, run func(argv []string) (string, error)) float64 {
	b.Helper()
	best := math.Inf(1)
	for range 5 {
		out, err := run([]string{"busybox", "time", "-p", "busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000000"})
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		best = min(best, metricAfter(b, out, "user")+metricAfter(b, out, "sys"))
	}
	return best
}

// metricAfter is the number behind a word.
func metricAfter(b *testing.B, out, word string) float64 {
	b.Helper()
	_, rest, _ := strings.Cut(out, word+" ")
	number, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		b.Fatalf("%v in %q", err, out)
	}
	return v
}

// usage waits until the machine is up for so many seconds, and tells how many it was, how many seconds of CPU time its
// nerve has used, and its memory in KiB, with and without the pages of its program.
func (h *host) usage(b *testing.B, until func(up float64) bool) (up, used, kib, own float64) {
	b.Helper()
	limit := time.After(lifetime)
	for {
		f := strings.Fields(h.sh(b, "set -- $(pidof nerve); cut -d' ' -f1 /proc/uptime; cut -d' ' -f14,15 /proc/$1/stat; sed -n 's/^\\(VmRSS\\|RssAnon\\):\\(.*\\)kB/\\2/p' /proc/$1/status"))
		if len(f) != 5 {
			b.Fatalf("the machine says %q", f)
		}
		var v [5]float64
		for i := range v {
			var err error
			if v[i], err = strconv.ParseFloat(f[i], 64); err != nil {
				b.Fatal(err)
			}
		}
		if until(v[0]) {
			return v[0], (v[1] + v[2]) / 100, v[3], v[4] // ticks of 10 ms
		}
		select {
		case <-limit:
			b.Fatalf("the machine is up for %g s only", v[0])
		case <-time.After(time.Second):
		}
	}
}
