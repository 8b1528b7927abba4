package program_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"glia/internal/figures"
	"glia/internal/testbed"
)

// BenchmarkNerve_TwoHundredChecks runs the real nerve with 200 services, each of which is checked once a second and announced in ZooKeeper:
// the first half by HTTP, the other by TCP.
func BenchmarkNerve_TwoHundredChecks(b *testing.B) {
	const services, length = 200, 20 * time.Second
	dir := b.TempDir()
	bin := filepath.Join(dir, "nerve")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "glia/cmd/nerve")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	server := testbed.ZooKeeper(b)
	one := backend(b, "one")
	api := testbed.Addr(b)
	var text strings.Builder
	fmt.Fprintf(&text, `host = "node-1"
state_dir = %q
registries = ["zookeeper"]
[api]
listen = %q
[zookeeper]
servers = [%q]
[hand]
enabled = false
[inventory]
ignore = ["*"]
`, filepath.Join(dir, "state"), api, server.Addr)
	for i := range services {
		kind := "http"
		if i >= services/2 {
			kind = "tcp"
		}
		fmt.Fprintf(&text, "[[service]]\nname = \"s%d\"\nhost = %q\nport = %d\n[[service.check]]\ntype = %q\n[[service.place]]\npath = \"/services/s%d\"\n", i, one.Host, one.Port, kind, i)
	}
	file := filepath.Join(dir, "nerve.toml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(bin, "-config", file)
	cmd.Stderr = b.Output()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	up := func() int {
		r, err := http.Get("http://" + api + "/metrics")
		if err != nil {
			return 0
		}
		defer func() { _ = r.Body.Close() }()
		text, _ := io.ReadAll(r.Body)
		return strings.Count(string(text), "\nglia_service_announced{")
	}
	for deadline := time.Now().Add(patience); up() != services; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d services are up", up(), services)
		}
	}
	p, err := procfs.NewProc(cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	cpu := func() float64 {
		s, err := p.Stat()
		if err != nil {
			b.Fatal(err)
		}
		return s.CPUTime()
	}
	for b.Loop() {
		time.Sleep(length / 4) // what the start took has been given back
		began, before := time.Now(), cpu()
		time.Sleep(length)
		used := (cpu() - before) / time.Since(began).Seconds() * 100
		s, err := p.NewStatus()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(used, "%-of-a-core")
		b.ReportMetric(3, "%-of-a-core"+figures.AtMost)
		b.ReportMetric(float64(s.VmRSS)/1e6, "MB-resident")
		b.ReportMetric(25, "MB-resident"+figures.AtMost)
		b.ReportMetric(float64(s.RssAnon)/1e6, "MB-private") // without the pages of the program itself
	}
	b.ReportMetric(0, "ns/op") // of no meaning
}
