package program_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glia/config"
	"glia/internal/cli"
	"glia/internal/program/nerved"
	"glia/internal/testbed"
)

// TestNerve_ServicesReachHAProxy starts a whole nerve and a whole synapse: a web server that fails its check leaves HAProxy, and comes
// back with it; a service that a reload brings is announced too.
func TestNerve_ServicesReachHAProxy(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t, "maxSessionTimeout=60000")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("services"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, two := backend(t, "one"), backend(t, "two")
	write("nerve.toml", fmt.Sprintf(`host = "node-1"
state_dir = %q
services_dir = %q
registries = ["zookeeper"]
[api]
listen = %q
[access]
loopback = "operate"
[zookeeper]
servers = [%q]
session_timeout = "30s"
[hand]
enabled = false
`, at("state"), at("services"), testbed.Addr(t), server.Addr))
	announce := func(port int, check string) string {
		return fmt.Sprintf("host = \"127.0.0.1\"\nport = %d\ninterval = \"20ms\"\n[[check]]\ntype = \"http\"\n%s\n[[place]]\nregistry = \"zookeeper\"\npath = \"/web\"\n", port, check)
	}
	// The second one is healthy for as long as a file is there.
	write("healthy", "")
	write("services/one.toml", announce(one.Port, `expect = "one"`))
	write("services/two.toml", announce(two.Port, "")+fmt.Sprintf("[[check]]\ntype = \"exec\"\ncommand = [\"test\", \"-e\", %q]\ntimeout = \"30s\"\n", at("healthy")))
	load := func() config.Nerve {
		t.Helper()
		n, err := nerved.Load(at("nerve.toml"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	reloaded := make(chan config.Nerve)
	n := load()
	stop := run(t, func(ctx context.Context, started func()) error {
		parts := nerved.Parts{Inventory: noDisks{}, Prober: noDisks{}, Started: started, Reloaded: reloaded}
		return nerved.Run(ctx, n, parts, slog.New(slog.NewTextHandler(t.Output(), nil)))
	})
	s := newStack(t, server.Addr)
	s.until("both serve", s.serves("one", "two"))
	pid := s.pid()

	if err := os.Remove(at("healthy")); err != nil {
		t.Fatal(err)
	}
	s.until("the one that fails its check is gone", s.serves("one"))
	write("healthy", "")
	s.until("it is back", s.serves("one", "two"))
	glia := func(args ...string) (code int, out string) {
		t.Helper()
		var b bytes.Buffer
		args = append(args, "--nerve", n.API.Listen, "--synapse", s.c.API.Listen)
		code = cli.Main(t.Context(), args, cli.Options{Out: &b, Err: &b, Env: func(string) string { return "" }})
		return code, b.String()
	}
	said := ""
	defer func() {
		if t.Failed() {
			t.Log(said)
		}
	}()
	s.until("nothing holds it up", func() bool {
		code, out := glia("why", "service", "web")
		said = out
		return code == cli.ExitDone
	})
	if code, out := glia("maint", "on", "two", "--for", "1h", "--reason", "new kernel", "--as", "ann"); code != cli.ExitDone || !s.serves("one")() {
		t.Errorf("maintenance: exit code %d: %s", code, out)
	}
	if code, out := glia("why", "service", "web"); code != cli.ExitDegraded || !strings.Contains(out, "maintenance by ann until") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := glia("maint", "on", "two", "--drain", "--for", "1h", "--reason", "new kernel", "--as", "ann"); code != cli.ExitDone || !s.serves("one")() {
		t.Errorf("draining: exit code %d: %s", code, out)
	}
	if stat := s.runtime("show stat -1 4 -1"); !strings.Contains(stat, fmt.Sprintf("node-1_%s:%d,", two.Host, two.Port)) {
		t.Errorf("a server that drains is gone: %s", stat)
	}
	if code, out := glia("maint", "off", "two", "--reason", "done", "--as", "ann"); code != cli.ExitDone {
		t.Errorf("end: exit code %d: %s", code, out)
	}
	s.until("it serves again", s.serves("one", "two"))

	three := backend(t, "three")
	write("services/three.toml", announce(three.Port, ""))
	reloaded <- load()
	s.until("what the reload brings serves too", s.serves("one", "two", "three"))
	if err := os.Remove(at("services/one.toml")); err != nil {
		t.Fatal(err)
	}
	reloaded <- load()
	s.until("what the reload takes is gone", s.serves("two", "three"))
	if now := s.pid(); now != pid {
		t.Errorf("HAProxy was reloaded: %q, was %q", now, pid)
	}
	stop()
	if _, err := net.Dial("tcp", n.API.Listen); err == nil {
		t.Error("nerve still serves")
	}

	write("services/bad.toml", "port = 70000\ncheck = []\n")
	_, err := nerved.Load(at("nerve.toml"))
	for _, want := range []string{"bad.toml:1:1: port: 70000 is not possible", "place: is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
