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
	"time"

	"github.com/go-zookeeper/zk"

	"glia/config"
	"glia/internal/cli"
	"glia/internal/program/nerved"
	"glia/internal/testbed"
)

// announcing runs a nerve that announces the service web, and a synapse as the service synapse, and returns the address of its API.
func announcing(t *testing.T, host, zookeeper string, web int, synapse string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(synapse)
	if err != nil {
		t.Fatal(err)
	}
	dir, api := t.TempDir(), testbed.Addr(t)
	file := filepath.Join(dir, "nerve.toml")
	text := fmt.Sprintf(`host = %q
state_dir = %q
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
[[service]]
name = "web"
host = "127.0.0.1"
port = %d
interval = "20ms"
[[service.check]]
type = "tcp"
timeout = "30s"
[[service.place]]
path = "/web"
[[service]] # without a check: one that is away is told of, and not forgotten
name = "synapse"
host = "127.0.0.1"
port = %s
interval = "20ms"
[[service.place]]
path = "/synapse"
`, host, dir, api, zookeeper, web, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := nerved.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	run(t, func(ctx context.Context, started func()) error {
		return nerved.Run(ctx, c, nerved.Parts{Inventory: noDisks{}, Prober: noDisks{}, Started: started}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	})
	return api
}

// TestMaintenance_IsSeenByEverySynapse plays a fleet of two nerves, an announcer of old format, and two synapses with a HAProxy each: a
// maintenance of one host is begun from the other one.
func TestMaintenance_IsSeenByEverySynapse(t *testing.T) {
	t.Parallel()
	server := testbed.ZooKeeper(t, "maxSessionTimeout=60000")
	one, two, old := backend(t, "one"), backend(t, "two"), backend(t, "old")
	watcher := func(host string) *stack {
		return newStack(t, server.Addr, func(c *config.Synapse) {
			c.Host, c.Registries = host, []config.Registry{config.RegistryZooKeeper}
			fellows := c.Services[1]
			fellows.Name, fellows.HAProxy.Disabled, fellows.Sources = "synapse", true, []config.ServiceSource{{Method: "zookeeper", Path: "/synapse"}}
			c.Services = append(c.Services, fellows)
		})
	}
	both := []*stack{watcher("watcher-1"), watcher("watcher-2")}
	announcing(t, "node-1", server.Addr, one.Port, both[0].c.API.Listen)
	nerve := announcing(t, "node-2", server.Addr, two.Port, both[1].c.API.Listen)
	conn := testbed.ZooKeeperClient(t, server, time.Minute)
	insist(t, func() error {
		_, err := conn.Create("/web/old_", fmt.Appendf(nil, `{"host":%q,"port":%d,"name":"old"}`, old.Host, old.Port), zk.FlagEphemeral|zk.FlagSequence, zk.WorldACL(zk.PermAll))
		return err
	})
	pids := map[*stack]string{}
	for _, s := range both {
		s.until("all three serve", s.serves("one", "two", "old"))
		pids[s] = s.pid()
	}
	glia := func(args ...string) (code int, out string) {
		t.Helper()
		var b bytes.Buffer
		args = append(args, "--nerve", nerve, "--synapse", both[1].c.API.Listen)
		code = cli.Main(t.Context(), args, cli.Options{Out: &b, Err: &b, Env: func(string) string { return "" }})
		return code, strings.Join(strings.Fields(b.String()), " ")
	}
	said := ""
	both[1].until("both nerves and both synapses are known", func() bool {
		code, out := glia("services")
		_, list := glia("maint", "list")
		far, other := glia("services", "--host", "node-1")
		said = out + list + other
		return code+far == cli.ExitDone && strings.Contains(out, "synapse - 2 discovered") && strings.Contains(list, "nothing is in maintenance")
	})
	for _, drain := range []bool{true, false} {
		args := []string{"maint", "on", "web", "--host", "node-1", "--for", "1h", "--reason", "new kernel", "--as", "ann"}
		state := "in maintenance"
		if drain {
			args, state = append(args, "--drain"), "draining"
		}
		if code, out := glia(args...); code != cli.ExitDone || !strings.Contains(out, "seen by 2 synapses: watcher-1 watcher-2") {
			t.Errorf("%s: exit code %d: %s; before: %s", state, code, out, said)
		}
		for _, s := range both {
			if !s.serves("two", "old")() {
				t.Errorf("%s: HAProxy of %s sends clients there, or not to the others", state, s.c.Host)
			}
		}
		if code, out := glia("maint", "list"); code != cli.ExitDone || !strings.Contains(out, "node-1 web "+state) || !strings.Contains(out, "new kernel") {
			t.Errorf("exit code %d: %s", code, out)
		}
	}
	if code, out := glia("maint", "off", "web", "--host", "node-1", "--reason", "done", "--as", "ann"); code != cli.ExitDone {
		t.Errorf("end: exit code %d: %s", code, out)
	}
	for _, s := range both {
		s.until("all three serve again", s.serves("one", "two", "old"))
		if now := s.pid(); now != pids[s] {
			t.Errorf("HAProxy of %s was reloaded: %q, was %q", s.c.Host, now, pids[s])
		}
	}

	both[0].stop() // its HAProxy goes on
	code, out := glia("maint", "on", "web", "--host", "node-1", "--for", "1h", "--reason", "new kernel", "--as", "ann", "--wait", "2s")
	if code != cli.ExitDegraded || !strings.Contains(out, "! the synapse at "+both[0].c.API.Listen+": ") || !strings.Contains(out, "seen by 1 synapse: watcher-2") {
		t.Errorf("with a synapse that is away: exit code %d: %s", code, out)
	}
}
