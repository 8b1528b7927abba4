package program_test

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
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"glia/config"
	"glia/internal/program/synapsed"
	"glia/internal/testbed"
	"glia/registry/smartstack"
)

// silent is a logger for a client whose server is away on purpose.
// stack is a synapse with a HAProxy of its own, both real.
type stack struct {
	t      *testing.T
	c      config.Synapse
	port   string // of the frontend web
	socket string
	file   string // of its configuration
	stop   func()

	reloaded chan synapsed.Reload
}

// newStack starts them on the services web, below /web, and other, below /other, with the changes to its configuration.
func newStack(t *testing.T, zookeeper string, changes ...func(*config.Synapse)) *stack {
	t.Helper()
	return rewrittenStack(t, zookeeper, nil, changes...)
}

// rewrittenStack is newStack with replacements in the file of the configuration, old and new by turns.
func rewrittenStack(t *testing.T, zookeeper string, replacements []string, changes ...func(*config.Synapse)) *stack {
	t.Helper()
	dir := t.TempDir()
	sockets, err := os.MkdirTemp("", "glia-stack") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	s := &stack{t: t, socket: filepath.Join(sockets, "s")}
	_, s.port, _ = net.SplitHostPort(testbed.Addr(t))
	cfg := filepath.Join(dir, "haproxy.cfg")
	global := fmt.Sprintf("stats socket %s mode 600 level admin expose-fd listeners", s.socket)
	defaults := []string{"mode http", "timeout connect 2s", "timeout client 10s", "timeout server 10s", "option redispatch", "retries 2"}
	if err := os.WriteFile(cfg, []byte("global\n\t"+global+"\ndefaults\n\t"+strings.Join(defaults, "\n\t")+"\nbackend none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, reload := testbed.HAProxy(t, cfg, s.socket)
	quoted := func(list []string) string { return `["` + strings.Join(list, `", "`) + `"]` }
	s.file = filepath.Join(dir, "synapse.toml")
	text := fmt.Sprintf(`state_dir = %q
[api]
listen = %q
[serf]
bind = %q
[zookeeper]
servers = [%q]
session_timeout = "2s"
[haproxy]
config_file = %q
sockets = [%q]
reload_command = %s
reload_interval = "1s"
global = [%q]
defaults = %s
[[service]]
name = "web"
[service.haproxy]
port = %s
bind_address = "127.0.0.1"
server_options = "check inter 100ms rise 1 fall 1"
listen = ["balance roundrobin"]
[[service.source]]
method = "zookeeper"
path = "/web"
[[service]]
name = "other"
[[service.source]]
method = "zookeeper"
path = "/other"
`, filepath.Join(dir, "state"), testbed.Addr(t), testbed.Addr(t), zookeeper, cfg, s.socket, quoted(reload), global, quoted(defaults), s.port)
	s.write(strings.NewReplacer(replacements...).Replace(text))
	if s.c, err = synapsed.Load(s.file); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(&s.c)
	}
	s.start()
	return s
}

func (s *stack) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// text is the configuration.
func (s *stack) text() string {
	s.t.Helper()
	b, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// reload is what SIGHUP does.
func (s *stack) reload(text string) error {
	s.t.Helper()
	s.write(text)
	c, err := synapsed.Load(s.file)
	if err != nil {
		return err
	}
	return synapsed.Later(s.t.Context(), s.reloaded, c)
}

// rendered is the file of HAProxy.
func (s *stack) rendered() string {
	b, _ := os.ReadFile(s.c.HAProxy.ConfigFile)
	return string(b)
}

func (s *stack) start() {
	s.t.Helper()
	s.reloaded = make(chan synapsed.Reload)
	s.stop = run(s.t, func(ctx context.Context, started func()) error {
		return synapsed.Run(ctx, s.c, synapsed.Parts{Started: started, Reloaded: s.reloaded}, slog.New(slog.NewTextHandler(s.t.Output(), nil)))
	})
}

// runtime asks HAProxy.
func (s *stack) runtime(command string) string {
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, command+"\n")
	out, _ := io.ReadAll(c)
	return string(out)
}

func (s *stack) pid() string {
	for line := range strings.Lines(s.runtime("show info")) {
		if strings.HasPrefix(line, "Pid: ") {
			return line
		}
	}
	return ""
}

func (s *stack) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			file, _ := os.ReadFile(s.c.HAProxy.ConfigFile)
			s.t.Fatalf("never: %s; ready: %s\n%s\n%s", what, s.readyz(), s.runtime("show servers state"), file)
		}
	}
}

func (s *stack) readyz() string {
	r, err := http.Get("http://" + s.c.API.Listen + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Body.Close() }()
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

// serves says whether just these answer through HAProxy.
func (s *stack) serves(want ...string) func() bool {
	return func() bool {
		seen := map[string]bool{}
		for range 2 * len(want) {
			body, err := s.get()
			if err != nil {
				return false
			}
			seen[body] = true
		}
		for _, w := range want {
			if !seen[w] {
				return false
			}
		}
		return len(seen) == len(want)
	}
}

func (s *stack) get() (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := client.Get("http://127.0.0.1:" + s.port + "/")
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// insist tries until it succeeds: a client of ZooKeeper may lose its connection on a busy machine.
func insist(t *testing.T, do func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// backend is a web server that says its name, as an announcement of it.
func backend(t testing.TB, name string) smartstack.Service {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	a := s.Listener.Addr().(*net.TCPAddr)
	return smartstack.Service{Host: a.IP.String(), Port: a.Port, Name: name}
}

// TestSmartstack_AnnouncementsReachTwoHAProxies plays the announcers of a site through ZooKeeper to two synapses, each with a HAProxy.
func TestSmartstack_AnnouncementsReachTwoHAProxies(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t, "maxSessionTimeout=60000")
	conn := testbed.ZooKeeperClient(t, server, time.Minute)
	create := func(path, data string, flags int32) (p string) {
		t.Helper()
		insist(t, func() (err error) {
			p, err = conn.Create(path, []byte(data), flags, zk.WorldACL(zk.PermAll))
			return err
		})
		return p
	}
	create("/web", "", 0)
	create("/other", "", 0)
	// One node as nerve 0.9.7 writes it, one as it does with path encoding.
	one, two, three := backend(t, "one"), backend(t, "two"), backend(t, "three")
	old := create("/web/i-1_", fmt.Sprintf(`{"host":%q,"port":%d,"name":"one"}`, one.Host, one.Port), zk.FlagEphemeral|zk.FlagSequence)
	encode := func(s smartstack.Service) string {
		data, err := smartstack.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		return smartstack.NodeName("i", data, true)
	}
	create("/web/"+encode(two), "", zk.FlagEphemeral|zk.FlagSequence)

	both := []*stack{newStack(t, server.Addr), newStack(t, server.Addr)}
	pids := map[*stack]string{}
	for _, s := range both {
		s.until("both serve", s.serves("one", "two"))
		pids[s] = s.pid()
	}
	unchanged := func(when string) {
		t.Helper()
		for _, s := range both {
			if got := s.pid(); got != pids[s] {
				t.Errorf("%s HAProxy was reloaded: %q, was %q", when, got, pids[s])
			}
		}
	}

	insist(t, func() error { return conn.Delete(old, -1) })
	create("/web/"+encode(three), "", zk.FlagEphemeral|zk.FlagSequence)
	for _, s := range both {
		s.until("the one that went is gone, the new one serves", s.serves("two", "three"))
		s.until("it is deleted", func() bool { return !strings.Contains(s.runtime("show servers state web"), " one_") })
	}
	unchanged("for servers that come and go")

	create("/web/torn_", `{"host":`, zk.FlagEphemeral|zk.FlagSequence)
	create("/web/nowhere_", `{"host":null,"port":70000}`, zk.FlagEphemeral|zk.FlagSequence)
	insist(t, func() error { _, err := conn.Set("/other", []byte(`{"haproxy":{"port":7000}}`), -1); return err })
	create("/other/i_", fmt.Sprintf(`{"host":%q,"port":%d,"name":"x"}`, one.Host, one.Port), zk.FlagEphemeral|zk.FlagSequence)
	for _, s := range both {
		s.until("another service still follows", func() bool { return strings.Contains(s.runtime("show servers state other"), " x_") })
		if !s.serves("two", "three")() {
			t.Error("nodes that can not be read have changed what serves")
		}
	}
	unchanged("for nodes that can not be read")

	server.Stop(t)
	for _, s := range both {
		s.until("it is told that ZooKeeper is away", func() bool { return strings.Contains(s.readyz(), "services: not ready: service web, other: zookeeper") })
	}
	both[0].stop()
	both[0].start() // without registry it knows what it used last
	for _, s := range both {
		if !s.serves("two", "three")() {
			t.Error("a backend was lost with ZooKeeper")
		}
	}
	server.Start(t)
	for _, s := range both {
		s.until("ZooKeeper answers again", func() bool { return strings.Contains(s.readyz(), "services: ready") && s.serves("two", "three")() })
	}
	unchanged("while ZooKeeper was away, and by a restart,")
	create("/web/"+encode(one), "", zk.FlagEphemeral|zk.FlagSequence)
	for _, s := range both {
		s.until("all is followed again", s.serves("one", "two", "three"))
	}
	unchanged("after ZooKeeper came back")
}
