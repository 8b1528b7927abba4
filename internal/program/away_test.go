package program_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gliav1 "glia/api/glia/v1"
	"glia/config"
	"glia/internal/program/nerved"
	"glia/internal/program/synapsed"
	"glia/internal/testbed"
)

// Registries that do not answer at the start are tried on, and told of: by the readiness of nerve and synapse, and by the
// status of the repairer that sees no fleet.
func TestPrograms_SayWhichRegistryIsAway(t *testing.T) {
	t.Parallel()
	log, nobody := slog.New(slog.DiscardHandler), testbed.Addr(t)
	use := []config.Registry{config.RegistrySerf, config.RegistryZooKeeper, config.RegistryConsul}
	n := config.DefaultNerve()
	n.Host, n.StateDir, n.Hand.Enabled, n.API.Listen = "node-1", t.TempDir(), false, testbed.Addr(t)
	n.Registries, n.Serf.Bind, n.Serf.RPC, n.Serf.Join = use, testbed.Addr(t), "", []string{nobody}
	n.ZooKeeper.Servers, n.Consul.Address = []string{nobody}, nobody
	n.Resolve("")
	run(t, func(ctx context.Context, started func()) error {
		return nerved.Run(ctx, n, nerved.Parts{Inventory: noDisks{}, Prober: noDisks{}, Started: started}, log)
	})
	s := config.DefaultSynapse()
	s.Host, s.API.Listen, s.Registries, s.Serf, s.ZooKeeper, s.Consul = "watcher", testbed.Addr(t), use, n.Serf, n.ZooKeeper, n.Consul
	s.Serf.Bind, s.Serf.Node = testbed.Addr(t), ""
	s.Resolve("")
	run(t, func(ctx context.Context, started func()) error {
		return synapsed.Run(ctx, s, synapsed.Parts{Started: started}, log)
	})
	for _, addr := range []string{n.API.Listen, s.API.Listen} {
		for _, want := range []string{"serf: not ready: joined 0 of [" + nobody + "]", "zookeeper: not ready: no session with any of its servers: dial tcp " + nobody, "consul: not ready: "} {
			untilUnready(t, addr, want)
		}
	}
	a := start(t, filepath.Join(t.TempDir(), "glia.db"), func(c *config.Repairer) { c.Synapse = "http://" + s.API.Listen })
	a.until(t, "what the synapse has not", func(r *gliav1.GetStatusResponse, err error) bool {
		return err == nil && strings.Contains(r.GetViewProblem(), "no fleet view yet: one of 3 registries: read ")
	})
}

// untilUnready asks a program whether it is ready until it says that it is not for that reason.
func untilUnready(t *testing.T, addr, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := http.DefaultClient.Do(req); err == nil {
			b, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if last = string(b); r.StatusCode == http.StatusServiceUnavailable && strings.Contains(last, want) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s does not say %q; it says %s", addr, want, last)
		}
	}
}
