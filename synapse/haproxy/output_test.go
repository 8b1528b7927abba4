package haproxy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"glia/internal/testbed"
	"glia/synapse/haproxy"
	"glia/synapse/service"
)

// bed is a running HAProxy with an Output on it.
type bed struct {
	t      *testing.T
	o      haproxy.Options
	port   int
	socket string
	log    *testbed.Log

	out  *haproxy.Output
	stop func()
}

// newBed starts HAProxy with a section that is not glia's and a service named web.
func newBed(t *testing.T, change func(*haproxy.Service)) *bed {
	t.Helper()
	dir := t.TempDir()
	b := &bed{t: t, log: &testbed.Log{}}
	_, port, _ := net.SplitHostPort(testbed.Addr(t))
	b.port, _ = strconv.Atoi(port)
	sockets, err := os.MkdirTemp("", "glia-hap") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	b.socket = filepath.Join(sockets, "s")
	web := haproxy.Service{Name: "web", Port: b.port, BindAddress: "127.0.0.1", ServerOptions: "check inter 100ms rise 1 fall 1", Listen: []string{"mode http", "balance roundrobin"}}
	if change != nil {
		change(&web)
	}
	b.o = haproxy.Options{
		Config: haproxy.Config{
			Global:   []string{"stats socket " + b.socket + " mode 600 level admin expose-fd listeners"},
			Defaults: []string{"mode http", "timeout connect 2s", "timeout client 10s", "timeout server 10s", "option redispatch", "retries 2"},
			Sections: []haproxy.Section{{"backend theirs", []string{"server static 127.0.0.1:9"}}},
		},
		Services: []haproxy.Service{web}, Sockets: []haproxy.Socket{{Path: b.socket, Timeout: 5 * time.Second}},
		File:           haproxy.File{Path: filepath.Join(dir, "haproxy.cfg"), Check: []string{"haproxy", "-c", "-f", "{file}"}, Timeout: time.Minute},
		ReloadInterval: 100 * time.Millisecond, ReloadTimeout: time.Minute, FileInterval: 20 * time.Millisecond, Resync: 100 * time.Millisecond, StateFile: filepath.Join(dir, "state.json"),
		Log: slog.New(slog.NewTextHandler(b.log, nil)),
	}
	first, err := haproxy.NewRenderer(b.o.Config, nil)
	if err == nil {
		err = os.WriteFile(b.o.File.Path, []byte(first.Text()), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, b.o.Reload = testbed.HAProxy(t, b.o.File.Path, b.socket)
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

// start runs an Output until stop.
func (b *bed) start() {
	out, err := haproxy.New(b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = out.Run(ctx) }()
	b.out, b.stop = out, func() { cancel(); <-done }
}

// runtime asks HAProxy.
func (b *bed) runtime(command string) string {
	c, err := net.Dial("unix", b.socket)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, command+"\n")
	out, _ := io.ReadAll(c)
	return string(out)
}

func (b *bed) pid() string {
	return regexp.MustCompile(`(?m)^Pid: (\d+)`).FindString(b.runtime("show info"))
}

// theirs is the state of the server that is not glia's, without its age.
func (b *bed) theirs() string {
	for line := range strings.Lines(b.runtime("show servers state theirs")) {
		if f := strings.Fields(line); len(f) > 10 && f[3] == "static" {
			return strings.Join(append(f[:9:9], f[10:]...), " ")
		}
	}
	return ""
}

// until waits for a condition.
func (b *bed) until(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			file, _ := os.ReadFile(b.o.File.Path)
			b.t.Fatalf("never: %s; problem: %v\n%s\n%s\n%s", what, b.out.Problem(), b.runtime("show servers state"), file, b.log)
		}
	}
}

// reaches says whether the servers that answer through HAProxy are just these.
func (b *bed) reaches(want ...string) func() bool {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	return func() bool {
		seen := map[string]bool{}
		for range 2 * len(want) {
			r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", b.port))
			if err != nil {
				return false
			}
			body, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			seen[string(body)] = true
		}
		for _, w := range want {
			if !seen[w] {
				return false
			}
		}
		return len(seen) == len(want)
	}
}

// web is an HTTP server that says its name.
func web(t *testing.T, name string) service.Backend {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	host, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	return service.Backend{Name: name, Host: host, Port: n}
}

func (b *bed) file() string {
	f, err := os.ReadFile(b.o.File.Path)
	if err != nil {
		b.t.Error(err)
	}
	return string(f)
}

func TestOutput_ChangesServersWithoutReload(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	one, two, weighty := web(t, "one"), web(t, "two"), web(t, "two")
	b.out.Set("web", []service.Backend{one})
	b.until("the first server serves", b.reaches("one"))
	pid, theirs := b.pid(), b.theirs()

	b.out.Set("web", []service.Backend{one, two})
	b.until("the second one serves too", b.reaches("one", "two"))
	b.out.Set("web", []service.Backend{two})
	b.until("the first one does not any more", b.reaches("two"))
	gone := one.Name + "_" + one.Host
	b.until("it is deleted", func() bool { return !strings.Contains(b.runtime("show servers state web"), gone) })
	b.until("the file says so", func() bool { return !strings.Contains(b.file(), gone) && strings.Contains(b.file(), "server two_") })
	b.out.Set("web", []service.Backend{two, one})
	b.until("it comes back", b.reaches("one", "two"))

	other := web(t, "other")
	b.out.Set("web", []service.Backend{two, other})
	b.until("one takes the place of another at once, whose id is not free yet", b.reaches("two", "other"))
	b.out.Set("web", []service.Backend{one, two})
	b.until("and back", b.reaches("one", "two"))

	// A synapse that is started again finds everything as it should be.
	b.stop()
	before, was := b.file(), b.log.String()
	b.start()
	b.out.Set("web", []service.Backend{two, one})
	weighty.Name, weighty.Port = "three", two.Port
	b.out.Set("web", []service.Backend{two, one, weighty})
	b.until("the new output works", func() bool { return strings.Contains(b.file(), "server three_") })
	if b.pid() != pid || strings.Contains(strings.TrimPrefix(b.log.String(), was), "reloaded") {
		t.Errorf("HAProxy was reloaded: %s, was %s\n%s", b.pid(), pid, b.log)
	}
	if !strings.HasPrefix(b.file(), strings.Split(before, "\tserver")[0]) {
		t.Errorf("the file was\n%s\nand is\n%s", before, b.file())
	}
	if now := b.theirs(); now != theirs {
		t.Errorf("the server of others was %q and is %q", theirs, now)
	}
	if err := b.out.Problem(); err != nil {
		t.Error(err)
	}
}

func TestOutput_KeepsServersThatCouldNotBeAddedAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(s *haproxy.Service) { s.Backend = []string{"cookie SRV insert"} })
	one, two := web(t, "one"), web(t, "two")
	b.out.Set("web", []service.Backend{one, two})
	b.until("both serve", b.reaches("one", "two"))
	pid := b.pid()
	b.out.Set("web", []service.Backend{two})
	b.until("one serves", b.reaches("two"))
	b.until("the other is in the file as disabled", func() bool { return regexp.MustCompile(`server one_.* disabled\n`).MatchString(b.file()) })
	b.out.Set("web", []service.Backend{one, two})
	b.until("both serve again", b.reaches("one", "two"))
	if b.pid() != pid {
		t.Errorf("HAProxy was reloaded\n%s", b.log)
	}
	b.out.Set("web", []service.Backend{one, two, {Host: "127.0.0.1", Port: one.Port, Name: "copy"}})
	b.until("a new one needs a reload", func() bool { return b.pid() != pid && strings.Contains(b.runtime("show servers state web"), "copy_") })
}

func TestOutput_KeepsTheFileThatHAProxyAccepts(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	one := web(t, "one")
	b.out.Set("web", []service.Backend{one})
	b.until("it serves", b.reaches("one"))
	b.until("all is written", func() bool { return strings.Contains(b.file(), "server one_") })
	good, pid := b.file(), b.pid()
	bad := one
	bad.Name, bad.Options = "bad", "no-such-option"
	b.out.Set("web", []service.Backend{one, bad})
	b.until("the check refuses it", func() bool {
		err := b.out.Problem()
		return err != nil && strings.Contains(err.Error(), "no-such-option")
	})
	if b.file() != good || b.pid() != pid || !b.reaches("one")() {
		t.Errorf("file:\n%s", b.file())
	}
	b.out.Set("web", []service.Backend{one})
	b.until("all is well again", func() bool { return b.out.Problem() == nil })
}

func TestOutput_PutsTheFileBackWhenTheReloadFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := haproxy.Options{
		Services: []haproxy.Service{{Name: "a"}}, File: haproxy.File{Path: filepath.Join(dir, "cfg"), Check: []string{"true"}, Timeout: 10 * time.Second},
		Reload: []string{"sh", "-c", "echo no such unit; exit 3"}, StateFile: filepath.Join(dir, "state"),
	}
	if err := os.WriteFile(o.File.Path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := haproxy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, o: o, out: out, log: &testbed.Log{}}
	b.start()
	defer b.stop()
	b.out.Set("a", nil)
	b.until("it is told", func() bool {
		err := b.out.Problem()
		return err != nil && strings.Contains(err.Error(), "no such unit")
	})
	b.until("the file is as it was", func() bool { return b.file() == "old" })
}
