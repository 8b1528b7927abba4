package program_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/serf/client"

	"glia/internal/program/nerved"
	"glia/internal/testbed"
	"glia/synapse/source"
)

// TestNerve_ServiceIsATagOfItsMember starts a whole nerve with a member of Serf of its own: what the stock serf command reads is what a
// synapse takes for the service.
func TestNerve_ServiceIsATagOfItsMember(t *testing.T) {
	t.Parallel()
	one, dir, rpc := backend(t, "one"), t.TempDir(), testbed.Addr(t)
	file := filepath.Join(dir, "nerve.toml")
	text := fmt.Sprintf(`host = "node-1"
state_dir = %q
[api]
listen = %q
[serf]
bind = %q
rpc = %q
[hand]
enabled = false
[[service]]
name = "web_3000"
host = "127.0.0.1"
port = %d
interval = "20ms"
[[service.check]]
type = "tcp"
timeout = "30s"
[[service.place]]
registry = "serf"
`, dir, testbed.Addr(t), testbed.Addr(t), rpc, one.Port)
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
	var last source.Observation
	for deadline := time.Now().Add(patience); len(last.Backends) != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the members tell %+v", last)
		}
		agent, err := client.NewRPCClient(rpc)
		if err != nil {
			continue
		}
		if members, err := agent.Members(); err == nil {
			last = source.FromMembers(members, "web")
		}
		_ = agent.Close()
	}
	if b := last.Backends[0]; b.Name != "node-1" || b.Host != "127.0.0.1" || b.Port != one.Port {
		t.Errorf("the service is told as %+v", b)
	}
}
