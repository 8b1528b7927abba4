package haproxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"glia/internal/figures"
	"glia/internal/testbed"
	"glia/synapse/haproxy"
	"glia/synapse/service"
)

const (
	manyServices = 1000
	manyBackends = 10
)

func manyNamed() (all []haproxy.Service) {
	for i := range manyServices {
		all = append(all, haproxy.Service{Name: fmt.Sprint("s", i), ServerOptions: "check inter 60s rise 1 fall 3", Listen: []string{"mode tcp", "balance roundrobin"}})
	}
	return all
}

func backendsOf(number, count int) (all []service.Backend) {
	for i := range count {
		all = append(all, service.Backend{Name: fmt.Sprint("i", i), Host: fmt.Sprintf("127.%d.%d.%d", 1+number/250, number%250, 1+i), Port: 3000})
	}
	return all
}

func asServers(list []service.Backend) (all []haproxy.Server) {
	for _, b := range list {
		all = append(all, haproxy.Server{Backend: b})
	}
	return all
}

// BenchmarkRenderer_ThousandServices renders 1,000 services of 10 backends for the first time, and then with one change each time.
func BenchmarkRenderer_ThousandServices(b *testing.B) {
	all := manyNamed()
	render := func() *haproxy.Renderer {
		r, err := haproxy.NewRenderer(haproxy.Config{Global: []string{"daemon"}, Defaults: []string{"mode tcp"}}, all)
		if err != nil {
			b.Fatal(err)
		}
		for i, s := range all {
			if err := r.Set(s.Name, asServers(backendsOf(i, manyBackends))); err != nil {
				b.Fatal(err)
			}
		}
		if len(r.Text()) < manyServices*manyBackends {
			b.Fatal("nothing was rendered")
		}
		return r
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			render()
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/first-render")
		b.ReportMetric(200, "ms/first-render"+figures.AtMost)
	})
	b.Run("change", func(b *testing.B) {
		r := render()
		n := 0
		for b.Loop() {
			n++
			if err := r.Set(all[n%manyServices].Name, asServers(backendsOf(n%manyServices, manyBackends-n%2))); err != nil {
				b.Fatal(err)
			}
			_ = r.Text()
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/change")
		b.ReportMetric(5, "ms/change"+figures.AtMost)
	})
}

// BenchmarkOutput_ChangesReachHAProxy makes 100 changes each second for a minute, one service at a time of 1,000 with 10 backends each, and
// measures the time from each one until a real HAProxy shows it.
func BenchmarkOutput_ChangesReachHAProxy(b *testing.B) {
	const rate, length = 100, time.Minute
	dir, err := os.MkdirTemp("", "glia-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }
	c := haproxy.Config{
		Global:   []string{fmt.Sprintf("stats socket %s mode 600 level admin expose-fd listeners", at("s")), "maxconn 1000"},
		Defaults: []string{"mode tcp", "timeout connect 2s", "timeout client 10s", "timeout server 10s"},
	}
	if err := os.WriteFile(at("cfg"), []byte("global\n\t"+strings.Join(c.Global, "\n\t")+"\ndefaults\n\t"+strings.Join(c.Defaults, "\n\t")+"\nbackend none\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	_, reload := testbed.HAProxy(b, at("cfg"), at("s"))
	all := manyNamed()
	for i := range all {
		all[i].ServerOptions = "weight 1" // no checks of ten thousand servers that nobody is behind
	}
	o, err := haproxy.New(haproxy.Options{
		Config: c, Services: all, File: haproxy.File{Path: at("cfg"), Check: []string{"haproxy", "-c", "-f", "{file}"}, Timeout: time.Minute},
		Sockets: []haproxy.Socket{{Path: at("s"), Timeout: 5 * time.Second}}, Reload: reload, StateFile: at("state"),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = o.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	for i, s := range all {
		o.Set(s.Name, backendsOf(i, manyBackends))
	}
	ask := func(command string) string {
		c, err := net.Dial("unix", at("s"))
		if err != nil {
			return ""
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, command+"\n")
		out, _ := io.ReadAll(c)
		return string(out)
	}
	// Servers that are removed are put into maintenance before they are deleted.
	shows := func(i, n int) bool {
		in := 0
		for line := range strings.Lines(ask("show servers state " + all[i].Name)) {
			if f := strings.Fields(line); len(f) > 6 && f[1] == all[i].Name && f[6] == "0" {
				in++
			}
		}
		return in == n
	}
	until := func(ok func() bool) {
		for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				b.Fatalf("never: %v", o.Problem())
			}
		}
	}
	until(func() bool { return shows(manyServices-1, manyBackends) })
	pid := ask("show info")
	pid, _, _ = strings.Cut(pid[strings.Index(pid, "Pid: "):], "\n")
	time.Sleep(2 * time.Second) // the file and the state are written
	var took []time.Duration
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for b.Loop() {
		took = took[:0]
		for n := range int(length/time.Second) * rate {
			<-tick.C
			i, want := n%manyServices, manyBackends-(1+n/manyServices)%2
			began := time.Now()
			o.Set(all[i].Name, backendsOf(i, want))
			until(func() bool { return shows(i, want) })
			took = append(took, time.Since(began))
		}
	}
	if now := ask("show info"); !strings.Contains(now, pid+"\n") {
		b.Error("HAProxy was reloaded")
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "ms/median")
	b.ReportMetric(ms(took[len(took)*99/100]), "ms/p99")
	b.ReportMetric(50, "ms/p99"+figures.AtMost)
	b.ReportMetric(ms(took[len(took)-1]), "ms/worst")
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "changes/s")
}
