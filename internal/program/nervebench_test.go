package program_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"glia/internal/figures"
	"glia/internal/testbed"
	"glia/registry/smartstack"
)

// BenchmarkNerve_TwoHundredChecks runs the real nerve with 200 services, each of which is checked once a second and announced in ZooKeeper:
// the first half by HTTP, the other by TCP.
func BenchmarkNerve_TwoHundredChecks(b *testing.B) {
	const services, length = 200, time.Minute
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
		floor := connecting(b, one, services, length) / length.Seconds() * 100
		used := (cpu() - before) / time.Since(began).Seconds() * 100
		s, err := p.NewStatus()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(used, "%-of-a-core")
		b.ReportMetric(3, "%-of-a-core"+figures.AtMost)
		b.ReportMetric(floor, "%-the-kernel-takes") // of the same machine, in the same seconds
		b.ReportMetric(used/floor, "x-the-kernel")
		b.ReportMetric(float64(s.VmRSS)/1e6, "MB-resident")
		b.ReportMetric(25, "MB-resident"+figures.AtMost)
		b.ReportMetric(float64(s.RssAnon)/1e6, "MB-private") // without the pages of the program itself
	}
	b.ReportMetric(0, "ns/op") // of no meaning
}

// connecting asks a server as often each second as the checks do, half by HTTP and half by TCP, for so long, by as few system calls as that can
// be done with, one check after the other. It returns the seconds of CPU time that they took: what no checker can go below.
func connecting(b *testing.B, at smartstack.Service, each int, length time.Duration) float64 {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() float64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	to := &unix.SockaddrInet4{Port: at.Port, Addr: netip.MustParseAddr(at.Host).As4()}
	request, answer := []byte("GET / HTTP/1.1\r\nHost: "+at.Host+"\r\nConnection: close\r\n\r\n"), make([]byte, 4096)
	ask := func(http bool) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		if err := unix.Connect(fd, to); err != nil || !http {
			return err
		}
		if _, err = unix.Write(fd, request); err == nil {
			_, err = unix.Read(fd, answer)
		}
		return err
	}
	before, next := used(), time.Now()
	for i := range each * int(length/time.Second) {
		if err := ask(i%2 == 0); err != nil {
			b.Fatal(err)
		}
		next = next.Add(time.Second / time.Duration(each))
		pause := unix.NsecToTimespec(max(0, time.Until(next)).Nanoseconds())
		_ = unix.Nanosleep(&pause, nil) // a signal ends it early, which changes nothing
	}
	return used() - before
}
