package program_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"glia/internal/figures"
	"glia/internal/program/synapsed"
	"glia/internal/testbed"
)

// BenchmarkSynapse_AgainstConsulTemplate measures the time from a change in Consul until HAProxy has it: with synapse, and with
// consul-template, which writes the file of an HAProxy of its own and reloads it. Both follow the same service of the same Consul, one
// after the other.
func BenchmarkSynapse_AgainstConsulTemplate(b *testing.B) {
	peer := filepath.Join(b.TempDir(), "consul-template")
	build := exec.Command("go", "build", "-o", peer, "github.com/hashicorp/consul-template")
	build.Dir = "../testbed/peers/consul-template"
	if out, err := build.CombinedOutput(); err != nil {
		b.Skipf("consul-template can not be built here: %v: %s", err, out)
	}
	server := testbed.Consul(b, "")
	client, err := api.NewClient(&api.Config{Address: server.Addr})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10 {
		register(b, client, i)
	}
	for b.Loop() {
		ours := median(b, client, proxied(b, func(p proxy) func() {
			file := filepath.Join(p.dir, "synapse.toml")
			text := fmt.Sprintf("state_dir = %q\n[api]\nlisten = %q\n[serf]\nbind = %q\n[consul]\naddress = %q\n[haproxy]\nconfig_file = %q\nsockets = [%q]\nreload_command = [\"%s\"]\nglobal = [%q]\ndefaults = [\"%s\"]\n"+
				"[[service]]\nname = \"web\"\n[service.haproxy]\nserver_options = \"weight 1\"\nlisten = [\"balance roundrobin\"]\n[[service.source]]\nmethod = \"consul\"\nservice = \"web\"\n",
				p.dir, testbed.Addr(b), testbed.Addr(b), server.Addr, p.file, p.socket, strings.Join(p.reload, `", "`), p.global, strings.Join(p.defaults, `", "`))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				b.Fatal(err)
			}
			c, err := synapsed.Load(file)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan struct{})
			go func() { defer close(done); _ = synapsed.Run(ctx, c, synapsed.Parts{}, slog.New(slog.DiscardHandler)) }()
			return func() { cancel(); <-done }
		}))
		theirs := median(b, client, proxied(b, func(p proxy) func() {
			source := filepath.Join(p.dir, "haproxy.ctmpl")
			text := "global\n\t" + p.global + "\ndefaults\n\t" + strings.Join(p.defaults, "\n\t") + "\nbackend web\n\tbalance roundrobin\n" +
				"{{range service \"web\"}}\tserver {{.ID}} {{.Address}}:{{.Port}} weight 1\n{{end}}"
			if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
				b.Fatal(err)
			}
			cmd := exec.Command(peer, "-consul-addr", server.Addr, "-log-level", "err", "-template", source+":"+p.file+":haproxy -c -f "+p.file+" && "+strings.Join(p.reload, " "))
			cmd.Stderr = b.Output()
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
		}))
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		b.ReportMetric(ms(ours), "ms/synapse")
		b.ReportMetric(ms(theirs), "ms/consul-template")
		b.ReportMetric(float64(theirs)/float64(ours), "times-shorter")
		b.ReportMetric(10, "times-shorter"+figures.AtLeast)
	}
	b.ReportMetric(0, "ns/op") // of no meaning
}

func register(b *testing.B, c *api.Client, i int) {
	b.Helper()
	if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: fmt.Sprint("i", i), Name: "web", Address: fmt.Sprintf("127.0.1.%d", 1+i), Port: 3000}); err != nil {
		b.Fatal(err)
	}
}

// proxy is an HAProxy that runs.
type proxy struct {
	dir, file, socket, global string
	defaults, reload          []string
	stop                      func() // what keeps it
}

// proxied starts an HAProxy, and what keeps it.
func proxied(b *testing.B, keep func(proxy) (stop func())) proxy {
	b.Helper()
	dir, err := os.MkdirTemp("", "glia-peer") // b.TempDir is too long for a socket
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := proxy{dir: dir, file: filepath.Join(dir, "cfg"), socket: filepath.Join(dir, "s")}
	p.global = fmt.Sprintf("stats socket %s mode 600 level admin expose-fd listeners", p.socket)
	p.defaults = []string{"mode http", "timeout connect 2s", "timeout client 10s", "timeout server 10s"}
	if err := os.WriteFile(p.file, []byte("global\n\t"+p.global+"\ndefaults\n\t"+strings.Join(p.defaults, "\n\t")+"\nbackend none\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	_, p.reload = testbed.HAProxy(b, p.file, p.socket)
	p.stop = keep(p)
	return p
}

// servers is how many HAProxy has in the service, and uses.
func (p proxy) servers() (n int) {
	c, err := net.Dial("unix", p.socket)
	if err != nil {
		return -1
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second)) // of a process that ends, nobody may answer
	_, _ = io.WriteString(c, "show servers state web\n")
	out, _ := io.ReadAll(c)
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 6 && f[1] == "web" && f[6] == "0" {
			n++
		}
	}
	return n
}

// median is the time from a change in Consul until the proxy has it, of 21 changes.
func median(b *testing.B, c *api.Client, p proxy) time.Duration {
	b.Helper()
	defer p.stop()
	until := func(n int) {
		for deadline := time.Now().Add(patience); p.servers() != n; time.Sleep(200 * time.Microsecond) {
			if time.Now().After(deadline) {
				b.Fatalf("HAProxy has %d servers, and should have %d", p.servers(), n)
			}
		}
	}
	until(10)
	var took []time.Duration
	for i := range 21 {
		time.Sleep(1500 * time.Millisecond) // neither is to be slowed by the change before
		want := 9 + i%2
		if want == 9 {
			if err := c.Agent().ServiceDeregister("i9"); err != nil {
				b.Fatal(err)
			}
		} else {
			register(b, c, 9)
		}
		began := time.Now() // Consul has taken the change
		until(want)
		took = append(took, time.Since(began))
	}
	register(b, c, 9)
	slices.Sort(took)
	return took[len(took)/2]
}
